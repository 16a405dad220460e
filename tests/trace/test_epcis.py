"""The genealogy as EPCIS 2.0 events: valid by the standard's schema, with IDs that another implementation gives too."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pyarrow as pa
import pytest

from include.errors import DeclarationError
from include.packs.factorypack.epcis import (
    MARTS,
    Names,
    _links_of_shift,
    canonical,
    corrections,
    document,
    event_id,
    events,
)
from tests.trace.links import assembled, moved

SCHEMA = json.loads((Path(__file__).parent / "epcis" / "EPCISDocument.schema.json").read_text())
WINTER, SUMMER = datetime(2026, 1, 30, 15, tzinfo=UTC), datetime(2026, 7, 30, 15, tzinfo=UTC)
NAMES = Names("urn:x-plant:riverside:", "riverside", ZoneInfo("America/Chicago"))
SHIPMENT = f"shipment:SO-A:Aqua Works:{WINTER.isoformat()}"
DECLARED = datetime(2026, 2, 1, 12, tzinfo=UTC)


def link(own: dict[str, Any], at: datetime = WINTER, unit: str | None = None) -> dict[str, Any]:
    return {"transformation_id": None, **own, "unit": unit, "station_id": "PRESS", "linked_at": at}


def unit(serial: str, status: str = "good", at: datetime = WINTER) -> dict[str, Any]:
    return {"serial": serial, "order_id": "ORDER", "product_id": "P", "serial_status": status, "made_at": at}


def shipped(serial: str) -> dict[str, Any]:
    return {
        "shipment_id": serial, "serial": serial, "customer": "Aqua Works", "sales_order": "SO-A", "shipped_at": WINTER
    }  # fmt: skip


def visit(scan: str, serial: str, is_revisit: bool = False, at: datetime = WINTER) -> dict[str, Any]:
    return {"scan_id": scan, "serial": serial, "station_id": "PRESS", "left_at": at, "is_revisit": is_revisit}


def told(links=(), units=(), visits=(), shipments=()) -> dict[str, dict]:
    return events(dict(zip(MARTS, (links, units, visits, shipments), strict=True)), NAMES)


@pytest.fixture
def plant() -> dict[str, dict]:
    """R is split into S1 and S2, of which U1 is made, with the unit U0 in it; S1 was washed; U1 and U2 leave."""
    links = [
        link(moved("SP A", "R", "S1", 100, 60, 60), unit="piece"),
        link(moved("SP A", "R", "S2", 100, 38, 38), unit="piece"),
        link(assembled("S1", "U1", 2)),
        link(assembled("S2", "U1", 1)),
        link(assembled("U0", "U1", 1, input_kind="unit")),
        link(moved("RW", "S1", "S1", 3, 3, 3, kind="reworked"), unit="piece"),
    ]
    return told(links, [unit("U1")], [visit("1", "U1")], [shipped("U1"), shipped("U2")])


def validate(found: dict) -> None:
    checker = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    errors = sorted(checker.iter_errors(found), key=str)
    assert not errors, errors[0].message


def test_every_kind_of_event_is_valid_by_the_schema_of_the_standard(plant):
    more = told(
        [link(moved("ME", "A", "M", 1, 2, 1, kind="merged"), unit="kg")],
        [unit("U3", "scrapped"), unit("U4", "rework")],
        [visit("2", "U4", is_revisit=True)],
    )
    wrong = corrections(plant, {}, DECLARED)

    validate(document([*wrong, *plant.values(), *more.values()], DECLARED))
    assert {event["type"] for event in plant.values()} == {"ObjectEvent", "AggregationEvent", "TransformationEvent"}


@pytest.mark.parametrize("damage", [{"action": "MAKE"}, {"eventTimeZoneOffset": "CST"}, {"epcList": "urn:x"}])
def test_the_schema_sees_what_is_not_of_the_standard(plant, damage):
    with pytest.raises(AssertionError):
        validate(document([{**plant["scan:1"], **damage}], DECLARED))


def test_what_is_consumed_is_transformed_and_what_can_be_taken_out_again_is_aggregated(plant):
    made, inside = plant["unit:U1"], plant["U0>U1"]

    assert made["type"] == "TransformationEvent" and made["outputEPCList"] == ["urn:x-plant:riverside:unit:U1"]
    assert made["inputQuantityList"] == [
        {"epcClass": "urn:x-plant:riverside:lot:S1", "quantity": 2},
        {"epcClass": "urn:x-plant:riverside:lot:S2", "quantity": 1},
    ]
    assert (inside["type"], inside["action"], inside["parentID"]) == (
        "AggregationEvent",
        "ADD",
        made["outputEPCList"][0],
    )
    assert inside["childEPCs"] == ["urn:x-plant:riverside:unit:U0"]
    assert plant["SP A"]["transformationID"] == "urn:x-plant:riverside:transformation:SP%20A"
    assert [q["quantity"] for q in plant["SP A"]["outputQuantityList"]] == [60, 38]


def test_a_rework_that_gives_back_its_lot_is_observed_and_not_transformed(plant):
    assert (plant["RW"]["type"], plant["RW"]["bizStep"]) == ("ObjectEvent", "repairing")
    assert plant["RW"]["quantityList"] == [{"epcClass": "urn:x-plant:riverside:lot:S1", "quantity": 3}]


def test_the_offset_is_that_of_the_site_s_clock_at_that_time():
    found = told(visits=[visit("1", "U"), visit("2", "U", at=SUMMER)])

    assert [e["eventTimeZoneOffset"] for e in found.values()] == ["-06:00", "-05:00"]
    assert found["scan:2"]["eventTime"] == "2026-07-30T15:00:00.000Z"


def test_units_that_leave_together_are_one_event(plant):
    (shipping,) = [event for event in plant.values() if event["bizStep"] == "shipping"]

    assert shipping["epcList"] == ["urn:x-plant:riverside:unit:U1", "urn:x-plant:riverside:unit:U2"]
    assert shipping["bizTransactionList"][0]["bizTransaction"].endswith("sales-order:SO-A")


def test_ids_are_those_that_another_implementation_of_the_hash_gives(plant):
    """By epcis2.js 2.7.3, for names without digits: it takes a name that ends in some for a date."""
    hashes = {
        "RW": "952dbdc4f79deb3ce2ce2575996ded439813e4889cbc79d1ef8dd15fc1cee1bb",
        "SP A": "d0347c9bfe75c97840469bd289a9e7b941bd548fbf2684c1fe1dc21f515a9150",
        "U0>U1": "356a0480ac9d90caefb7d9e50b733edd6e933eb07b405a782371d8c2822fff58",
        "scan:1": "39367bf845fc337c3e0b29662c4d3b9eabe61d5ee1a61af2f30888993dce5e37",
        SHIPMENT: "a43a5f269e7e800bf46ce5a4c2ad11af470f79d546b575a503074094fe9b3a71",
        "unit:U1": "7de3eb49526cdfef0aa5bee94884dd1cfb5dc3af1ad7dbfb96d326d1921fa83c",
    }
    assert {name: event["eventID"] for name, event in plant.items()} == {
        name: f"ni:///sha-256;{value}?ver=CBV2.0" for name, value in hashes.items()
    }


def test_the_order_of_records_does_not_matter_and_every_figure_does(plant):
    """Nor does an error declaration: the event that it takes back keeps its ID."""
    made = plant["unit:U1"]
    turned = {**made, "inputQuantityList": made["inputQuantityList"][::-1]}
    other = {**made, "inputQuantityList": [{**made["inputQuantityList"][0], "quantity": 3}]}

    assert event_id(turned) == made["eventID"] != event_id(other)
    assert event_id({**made, "errorDeclaration": {"reason": "did_not_occur"}}) == made["eventID"]
    assert canonical(made).startswith("eventType=TransformationEventeventTime=2026-01-30T15:00:00.000Z")


def test_what_was_wrong_is_declared_under_its_own_id_with_what_replaces_it():
    """U1 was made of S1 by the first version and of S2 by the second; the scan never was."""
    before = told([link(assembled("S1", "U1", 2))], [unit("U1")], [visit("1", "U1"), visit("2", "U1", at=SUMMER)])
    now = told([link(assembled("S2", "U1", 2))], [unit("U1")], [visit("2", "U1", at=SUMMER)])

    wrong = {event["eventID"]: event["errorDeclaration"] for event in corrections(before, now, DECLARED)}

    at = "2026-02-01T12:00:00.000Z"
    assert wrong == {
        before["unit:U1"]["eventID"]: {
            "declarationTime": at, "reason": "incorrect_data", "correctiveEventIDs": [now["unit:U1"]["eventID"]]
        },
        before["scan:1"]["eventID"]: {"declarationTime": at, "reason": "did_not_occur", "correctiveEventIDs": []},
    }  # fmt: skip
    assert corrections(now, now, DECLARED) == []


def test_quantities_have_the_code_of_their_unit_or_the_export_says_what_is_missing():
    made = [
        link(moved("SP", "R", "S", 2, 1, 1), unit="kg"),
        link(assembled("S", "U", 1) | {"input_quantity": Decimal("0.25")}),
    ]
    found = told(made)

    assert found["SP"]["outputQuantityList"] == [
        {"epcClass": "urn:x-plant:riverside:lot:S", "quantity": 1, "uom": "KGM"}
    ]
    assert found["unit:U"]["inputQuantityList"][0] | {"epcClass": ""} == {
        "epcClass": "",
        "quantity": 0.25,
        "uom": "KGM",
    }
    with pytest.raises(DeclarationError, match="furlong"):
        told([link(moved("SP", "R", "S", 2, 1, 1), unit="furlong")])


def test_a_unit_is_told_whole_by_the_shift_in_which_it_was_made():
    """U got its first component in the shift before; what X is made of is told though nobody made X."""
    rows = [
        ("1", "S1", "U", "a", None), ("2", "S2", "U", "b", None), ("2", "S2", "LATER", "c", None),
        ("2", "S2", "X", "d", None), ("2", "R", "S9", "e", "SP"), ("1", "R", "S8", "f", "SP0"),
    ]  # fmt: skip
    names = ("shift_id", "input_id", "output_id", "link_id", "transformation_id")
    links = pa.table({name: [row[n] for row in rows] for n, name in enumerate(names)})
    units = pa.table({"shift_id": ["2", "3"], "serial": ["U", "LATER"]})

    assert _links_of_shift(links, units, "2")["link_id"].to_pylist() == ["a", "b", "d", "e"]


def test_what_the_export_reads_is_in_the_published_marts():
    from include.catalog import marts

    declared = {mart.name: set(mart.columns) for mart in marts("factorypack")}
    for mart, columns in MARTS.items():
        assert set(columns) <= declared[mart]
