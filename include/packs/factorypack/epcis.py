"""The published genealogy as EPCIS 2.0 events (GS1), in JSON-LD.

    python -m include.packs.factorypack.epcis --shift 2026-01-31.1 --out events.jsonld
    python -m include.packs.factorypack.epcis --item SEAL-260131-07 --corrected-since 2026-02-01

* What is consumed loses its identity: lots that go into a unit, and every split, merge, blend or rework that makes
  another lot, are TransformationEvents. A component with a serial number keeps it and can be taken out again:
  AggregationEvent.
* A unit that passes a station or is reworked there, and one that leaves the plant, is an ObjectEvent.
* There is no GS1 company prefix in the sources, so names are URIs under a base of the plant's own (`--base`).
* An event's ID is its hash by the EPCIS event hash ID rules (CBV 2.0, section 8.9: canonical property order, no record
  time, event ID or error declaration), so that the same event has the same ID in every export.
* `--corrected-since` compares with what readers saw then: an event that is no longer true is declared an error, under
  the ID that it had, and names the events that replace it.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from include import catalog
from include.errors import DeclarationError, HnaiError, PublishError
from include.packs.factorypack import as_known
from include.packs.factorypack.genealogy import COLUMNS, Genealogy

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
VOCABULARY = "https://ref.gs1.org/cbv/"
MARTS = {
    "fct_genealogy_link": ("calendar", "shift_id", *COLUMNS, "unit", "station_id", "linked_at"),
    "fct_unit": ("calendar", "shift_id", "serial", "order_id", "product_id", "serial_status", "made_at"),
    "fct_station_visit": ("calendar", "shift_id", "scan_id", "serial", "station_id", "left_at", "is_revisit"),
    "fct_unit_shipment": ("calendar", "shift_id", "shipment_id", "serial", "customer", "sales_order", "shipped_at"),
}
UNITS_OF_MEASURE = {
    "piece": None,
    "kg": "KGM",
    "g": "GRM",
    "t": "TNE",
    "l": "LTR",
    "ml": "MLT",
    "m": "MTR",
    "m2": "MTK",
}
DISPOSITIONS = {"good": "conformant", "scrapped": "non_conformant", "rework": "needs_replacement"}
# The canonical order of the hash; a tuple holds the properties of the elements of a list, in order.
ORDER: tuple[tuple[str, tuple[str, ...] | None], ...] = (
    ("eventTime", None),
    ("eventTimeZoneOffset", None),
    ("epcList", ("epc",)),
    ("parentID", None),
    ("inputEPCList", ("epc",)),
    ("childEPCs", ("epc",)),
    ("quantityList", ("epcClass", "quantity", "uom")),
    ("childQuantityList", ("epcClass", "quantity", "uom")),
    ("inputQuantityList", ("epcClass", "quantity", "uom")),
    ("outputEPCList", ("epc",)),
    ("outputQuantityList", ("epcClass", "quantity", "uom")),
    ("action", None),
    ("transformationID", None),
    ("bizStep", None),
    ("disposition", None),
    ("readPoint", ("id",)),
    ("bizLocation", ("id",)),
    ("bizTransactionList", ("type", "bizTransaction")),
    ("sourceList", ("type", "source")),
    ("destinationList", ("type", "destination")),
)
WORDS = {"bizStep": "BizStep-", "disposition": "Disp-"}
WORDS_OF_LISTS = {"bizTransactionList": "BTT-", "sourceList": "SDT-", "destinationList": "SDT-"}
Event = dict[str, Any]
Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Names:
    """URIs of the plant's things, under its own base; and its clock."""

    base: str
    calendar: str
    zone: ZoneInfo

    def of(self, kind: str, name: str) -> str:
        return f"{self.base}{kind}:{quote(name, safe='')}"

    def when(self, instant: datetime) -> Event:
        utc = instant.astimezone(UTC)
        offset = instant.astimezone(self.zone).strftime("%z")
        return {
            "eventTime": utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "eventTimeZoneOffset": f"{offset[:3]}:{offset[3:5]}",
        }

    def where(self, station_id: str | None) -> Event:
        location = {"bizLocation": {"id": self.of("site", self.calendar)}}
        return {"readPoint": {"id": self.of("station", station_id)}, **location} if station_id else location


def events(tables: Tables, names: Names) -> dict[str, Event]:
    """What the rows of the marts (`MARTS`) tell, as events with their IDs, by the record that they tell of."""
    units_of = _units_of_measure(tables["fct_genealogy_link"])
    made = [
        *_assemblies(tables, names, units_of),
        *_transformations(tables["fct_genealogy_link"], names),
        *_visits(tables["fct_station_visit"], names),
        *_shipments(tables["fct_unit_shipment"], names),
    ]
    made.sort(key=lambda pair: (pair[1]["eventTime"], pair[0]))
    return {about: {**event, "eventID": event_id(event)} for about, event in made}


def _units_of_measure(links: Iterable[Row]) -> dict[str, str | None]:
    """The unit in which transformations count each lot; an assembly counts in the same."""
    found: dict[str, str | None] = {}
    for link in links:
        if link["unit"]:
            found[link["input_id"]] = found[link["output_id"]] = link["unit"]
    return found


def _quantity(names: Names, lot: str, quantity: Decimal, unit: str | None) -> Event:
    if unit not in UNITS_OF_MEASURE and unit is not None:
        raise DeclarationError(
            f"The unit {unit!r} of {lot} has no code of UN/CEFACT Recommendation 20 here. "
            "Add it to UNITS_OF_MEASURE in include/packs/factorypack/epcis.py"
        )
    number = int(quantity) if quantity == int(quantity) else float(quantity)
    code = UNITS_OF_MEASURE[unit] if unit else None
    return {"epcClass": names.of("lot", lot), "quantity": number, **({"uom": code} if code else {})}


def _assemblies(tables: Tables, names: Names, units_of: Mapping[str, str | None]) -> Iterator[tuple[str, Event]]:
    """The making of each unit, of the lots that it consumed or without any; and the units that went into it."""
    parts: dict[str, list[Row]] = defaultdict(list)
    for link in tables["fct_genealogy_link"]:
        if link["kind"] == "assembled":
            parts[link["output_id"]].append(link)
    known = {unit["serial"]: unit for unit in tables["fct_unit"]}
    for serial in sorted(known.keys() | parts.keys()):
        unit, own = known.get(serial), parts.get(serial, [])
        epc = names.of("unit", serial)
        consumed = [link for link in own if link["input_kind"] != "unit"]
        if unit or consumed:
            at = unit["made_at"] if unit else max(link["linked_at"] for link in consumed)
            order = unit and unit["order_id"] and names.of("order", unit["order_id"])
            common = {
                **names.when(at),
                "bizStep": "commissioning",
                "disposition": DISPOSITIONS.get(unit["serial_status"] if unit else "", "in_progress"),
                **names.where(None),
                **({"bizTransactionList": [{"type": "prodorder", "bizTransaction": order}]} if order else {}),
            }
            if consumed:
                lots = [
                    _quantity(names, c["input_id"], c["input_quantity"], units_of.get(c["input_id"])) for c in consumed
                ]
                yield (
                    f"unit:{serial}",
                    {"type": "TransformationEvent", "inputQuantityList": lots, "outputEPCList": [epc], **common},
                )
            else:
                yield f"unit:{serial}", {"type": "ObjectEvent", "action": "ADD", "epcList": [epc], **common}
        for link in own:
            if link["input_kind"] == "unit":
                yield (
                    link["link_id"],
                    {
                        "type": "AggregationEvent",
                        "action": "ADD",
                        "parentID": epc,
                        "childEPCs": [names.of("unit", link["input_id"])],
                        **names.when(link["linked_at"]),
                        "bizStep": "assembling",
                        "disposition": "in_progress",
                        **names.where(link["station_id"]),
                    },
                )


def _transformations(links: Iterable[Row], names: Names) -> Iterator[tuple[str, Event]]:
    by_name: dict[str, list[Row]] = defaultdict(list)
    for link in links:
        if link["transformation_id"]:
            by_name[link["transformation_id"]].append(link)
    for name, own in by_name.items():
        inputs = {link["input_id"]: link for link in own}
        outputs = {link["output_id"]: link for link in own}
        common = {**names.when(own[0]["linked_at"]), **names.where(None), "disposition": "in_progress"}
        if inputs.keys() == outputs.keys() and own[0]["kind"] == "reworked":
            # What comes back under its own name was not transformed into anything.
            said = _items(names, outputs.values(), "output", "epcList", "quantityList")
            yield name, {"type": "ObjectEvent", "action": "OBSERVE", **said, **common, "bizStep": "repairing"}
            continue
        makes_units = any(link["output_kind"] == "unit" for link in own)
        yield (
            name,
            {
                "type": "TransformationEvent",
                "transformationID": names.of("transformation", name),
                **_items(names, inputs.values(), "input", "inputEPCList", "inputQuantityList"),
                **_items(names, outputs.values(), "output", "outputEPCList", "outputQuantityList"),
                **common,
                "bizStep": "commissioning" if makes_units else "creating_class_instance",
            },
        )


def _items(names: Names, links: Iterable[Row], side: str, epcs: str, quantities: str) -> Event:
    units, lots = [], []
    for link in links:
        if link[f"{side}_kind"] == "unit":
            units.append(names.of("unit", link[f"{side}_id"]))
        else:
            lots.append(_quantity(names, link[f"{side}_id"], link[f"{side}_quantity"], link["unit"]))
    return {**({epcs: units} if units else {}), **({quantities: lots} if lots else {})}


def _visits(visits: Iterable[Row], names: Names) -> Iterator[tuple[str, Event]]:
    for visit in visits:
        yield (
            f"scan:{visit['scan_id']}",
            {
                "type": "ObjectEvent",
                "action": "OBSERVE",
                "epcList": [names.of("unit", visit["serial"])],
                **names.when(visit["left_at"]),
                "bizStep": "repairing" if visit["is_revisit"] else "assembling",
                "disposition": "in_progress",
                **names.where(visit["station_id"]),
            },
        )


def _shipments(shipments: Iterable[Row], names: Names) -> Iterator[tuple[str, Event]]:
    """One event for what left at one time on one sales order."""
    together: dict[tuple[str, str, datetime], list[str]] = defaultdict(list)
    for row in shipments:
        together[row["sales_order"] or "", row["customer"] or "", row["shipped_at"]].append(row["serial"])
    for (order, customer, at), serials in together.items():
        transaction = {"type": "po", "bizTransaction": names.of("sales-order", order)}
        party = {"type": "owning_party", "destination": names.of("customer", customer)}
        yield (
            f"shipment:{order}:{customer}:{at.isoformat()}",
            {
                "type": "ObjectEvent",
                "action": "OBSERVE",
                "epcList": [names.of("unit", serial) for serial in sorted(serials)],
                **names.when(at),
                "bizStep": "shipping",
                "disposition": "in_transit",
                **names.where(None),
                **({"bizTransactionList": [transaction]} if order else {}),
                **({"destinationList": [party]} if customer else {}),
            },
        )


def event_id(event: Event) -> str:
    """The event's hash ID, as an `ni` URI (RFC 6920)."""
    return f"ni:///sha-256;{sha256(canonical(event).encode()).hexdigest()}?ver=CBV2.0"


def canonical(event: Event) -> str:
    """The text that is hashed: properties in their order, elements of a list sorted, words as their full URIs."""
    said = f"eventType={event['type']}"
    for name, parts in ORDER:
        if name not in event:
            continue
        value = event[name]
        if parts is None:
            said += f"{name}={VOCABULARY}{WORDS[name]}{value}" if name in WORDS else f"{name}={value}"
        elif isinstance(value, dict):
            said += f"{name}id={value['id']}"
        else:
            said += name + "".join(sorted(_element(name, one, parts) for one in value))
    return said


def _element(name: str, one: str | Event, parts: tuple[str, ...]) -> str:
    if isinstance(one, str):
        return f"epc={one}"
    listed = "quantityElement" if "epcClass" in parts else ""
    words = WORDS_OF_LISTS.get(name)
    values = {k: f"{VOCABULARY}{words}{v}" if k == "type" and words else v for k, v in one.items()}
    return listed + "".join(f"{part}={values[part]}" for part in parts if part in values)


def corrections(before: Mapping[str, Event], now: Mapping[str, Event], declared_at: datetime) -> list[Event]:
    """The events of `before` that `now` does not tell any more, each declared an error with what replaces it."""
    still = {event["eventID"] for event in now.values()}
    at = declared_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found = []
    for about, event in before.items():
        if event["eventID"] in still:
            continue
        replaced_by = [now[about]["eventID"]] if about in now else []
        reason = "incorrect_data" if replaced_by else "did_not_occur"
        declaration = {"declarationTime": at, "reason": reason, "correctiveEventIDs": replaced_by}
        found.append({**event, "errorDeclaration": declaration})
    return found


def document(told: Iterable[Event], created_at: datetime) -> Event:
    return {
        "@context": [CONTEXT],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "epcisBody": {"eventList": list(told)},
    }


def published(
    calendar: str, shift: str | None = None, item: str | None = None, snapshots: as_known.Snapshots | None = None
) -> Tables:
    """The rows of a shift, or of all that a lot or unit came of and went into.

    A unit is told with all of its components by the shift in which it was made, whenever they went in.

    Raises `PublishError` where nothing is published of either.
    """
    tables = {mart: as_known.rows_of(mart, columns, snapshots) for mart, columns in MARTS.items()}
    mine = {mart: rows.filter(pc.equal(rows["calendar"], calendar)) for mart, rows in tables.items()}
    if shift:
        chosen = {mart: rows.filter(pc.equal(rows["shift_id"], shift)) for mart, rows in mine.items()}
        chosen["fct_genealogy_link"] = _links_of_shift(mine["fct_genealogy_link"], mine["fct_unit"], shift)
    else:
        chosen = _of_item(mine, item)
    if not any(rows.num_rows for rows in chosen.values()):
        raise PublishError(f"Nothing is published of {shift or item} at {calendar}")
    return {mart: rows.to_pylist() for mart, rows in chosen.items()}


def _links_of_shift(links: pa.Table, units: pa.Table, shift: str) -> pa.Table:
    in_shift = pc.equal(links["shift_id"], shift)
    is_assembly = pc.is_null(links["transformation_id"])
    made_now = pc.is_in(links["output_id"], units.filter(pc.equal(units["shift_id"], shift))["serial"])
    is_unknown = pc.invert(pc.is_in(links["output_id"], units["serial"]))
    parts = pc.and_(is_assembly, pc.or_(made_now, pc.and_(in_shift, is_unknown)))
    return links.filter(pc.or_(pc.and_(in_shift, pc.invert(is_assembly)), parts))


def _of_item(tables: Mapping[str, pa.Table], item: str) -> dict[str, pa.Table]:
    links = tables["fct_genealogy_link"]
    with Genealogy(links) as genealogy:
        if not genealogy.knows(item):
            raise PublishError(
                f"No published link knows {item!r}. Written most alike: {', '.join(genealogy.nearest(item))}"
            )
        items = pa.array(sorted({*genealogy.depths(item, "forward"), *genealogy.depths(item, "backward")}))
    among = pc.and_(pc.is_in(links["input_id"], items), pc.is_in(links["output_id"], items))
    # A transformation or unit is told whole or not at all: with its other inputs and outputs.
    names = pc.unique(links.filter(among)["transformation_id"])
    whole = pc.and_(pc.is_valid(links["transformation_id"]), pc.is_in(links["transformation_id"], names))
    parts = pc.and_(pc.is_null(links["transformation_id"]), pc.is_in(links["output_id"], items))
    chosen = {"fct_genealogy_link": links.filter(pc.or_(whole, parts))}
    for mart, rows in tables.items():
        if mart != "fct_genealogy_link":
            chosen[mart] = rows.filter(pc.is_in(rows["serial"], items))
    return chosen


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m include.packs.factorypack.epcis",
        description="The published genealogy as EPCIS 2.0 events in JSON-LD.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--shift", help="everything of a shift, as 2026-01-31.1")
    which.add_argument("--item", help="everything of a lot or unit, what it came of and what it went into")
    parser.add_argument("--calendar", help="the site; needed where the pack has several")
    parser.add_argument("--base", help="beginning of the names, a URI of your own (default: urn:x-plant:<calendar>:)")
    parser.add_argument(
        "--corrected-since", metavar="DAY", help="declare errors what readers saw then and is not true any more"
    )
    parser.add_argument("--out", type=Path, help="file to write; the terminal without it")
    given = parser.parse_args(arguments)
    try:
        site = as_known.site(given.calendar)
        names = Names(given.base or f"urn:x-plant:{site}:", site, ZoneInfo(catalog.calendar(site).zone))
        published_at = as_known.published_at()
        told = events(published(site, given.shift, given.item), names)
        wrong: list[Event] = []
        if given.corrected_since:
            then = as_known.snapshots_at(as_known.instant_of(given.corrected_since, site))
            before = events(published(site, given.shift, given.item, then), names)
            wrong = corrections(before, told, published_at)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    text = json.dumps(document([*wrong, *told.values()], published_at), indent=1)
    if given.out:
        given.out.write_text(text + "\n")
        print(f"{len(told):,} events and {len(wrong):,} error declarations in {given.out}")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
