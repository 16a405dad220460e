"""Which units and customers hold a lot, and what went into a unit, by the published genealogy.

python -m include.packs.factorypack.recall LOT            # forward: all that holds something of it
python -m include.packs.factorypack.recall --backward UNIT
python -m include.packs.factorypack.recall LOT --as-known-on 2026-01-31 --csv units.csv --json
"""

import argparse
import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.errors import HnaiError, PublishError
from include.packs.factorypack import as_known
from include.packs.factorypack.genealogy import COLUMNS, Direction, Genealogy, Reached

UNIT_COLUMNS = ("serial", "order_id", "line_id", "product_id", "serial_status", "made_at")
LOT_COLUMNS = ("lot_id", "received_quantity")
SHIPMENT_COLUMNS = ("serial", "customer", "sales_order", "shipped_at")
CSV_COLUMNS = (
    "serial",
    "product_id",
    "serial_status",
    "order_id",
    "made_at",
    "customer",
    "sales_order",
    "shipped_at",
    "quantity",
    "is_exact",
    "via",
)
UNITS_SHOWN = 20


@dataclass(frozen=True)
class Affected:
    """A unit that was reached, with its order and, where it left the plant, the customer who got it last."""

    serial: str
    product_id: str | None
    serial_status: str | None  # None: no published unit has this serial number
    order_id: str | None
    line_id: str | None
    made_at: datetime | None
    customer: str | None
    sales_order: str | None
    shipped_at: datetime | None
    quantity: Decimal | None
    is_exact: bool
    via: tuple[str, ...]


@dataclass(frozen=True)
class Recall:
    """The answer to one question."""

    item_id: str
    direction: Direction
    as_known_at: datetime | None
    units: Sequence[Affected]
    lots: Sequence[Reached]  # and items that nobody knows
    on_cycle: Sequence[str]  # links that contradict themselves among all that were followed

    @property
    def customers(self) -> dict[str, int]:
        """Units by customer, most first; those that did not leave the plant are not among them."""
        return dict(Counter(unit.customer for unit in self.units if unit.customer).most_common())


def recall(
    item_id: str,
    links: pa.Table,
    units: pa.Table,
    shipments: pa.Table,
    direction: Direction,
    at: datetime | None = None,
) -> Recall:
    """Follow an item through `links`. Raises `PublishError` where no link knows it, with the nearest names."""
    with Genealogy(links) as genealogy:
        if not genealogy.knows(item_id):
            nearest = ", ".join(genealogy.nearest(item_id))
            raise PublishError(
                f"No published link knows {item_id!r}. "
                + (f"Written most alike: {nearest}" if nearest else "No link is published yet")
            )
        reached = genealogy.follow(item_id, direction)
    serials = pa.array([one.item_id for one in reached if one.kind == "unit"], pa.string())
    made = {row["serial"]: row for row in _of(units, serials)}
    sent = {row["serial"]: row for row in sorted(_of(shipments, serials), key=lambda row: row["shipped_at"])}
    among = {one.item_id for one in reached} | {item_id}
    cycles = [
        link["link_id"]
        for link in links.filter(links["is_on_cycle"]).to_pylist()
        if link["input_id"] in among and link["output_id"] in among
    ]
    return Recall(
        item_id,
        direction,
        at,
        [_affected(one, made.get(one.item_id, {}), sent.get(one.item_id, {})) for one in reached if one.kind == "unit"],
        [one for one in reached if one.kind != "unit"],
        cycles,
    )


def _of(rows: pa.Table, serials: pa.Array) -> list[dict[str, Any]]:
    return rows.filter(pc.is_in(rows["serial"], serials)).to_pylist()


def _affected(one: Reached, unit: Mapping[str, Any], shipment: Mapping[str, Any]) -> Affected:
    return Affected(
        serial=one.item_id,
        product_id=unit.get("product_id") or one.product_id,
        serial_status=unit.get("serial_status"),
        order_id=unit.get("order_id"),
        line_id=unit.get("line_id"),
        made_at=unit.get("made_at"),
        customer=shipment.get("customer"),
        sales_order=shipment.get("sales_order"),
        shipped_at=shipment.get("shipped_at"),
        quantity=one.quantity,
        is_exact=one.is_exact,
        via=one.via,
    )


def published(
    item_id: str, direction: Direction, as_known_on: str | None = None, calendar: str = "riverside"
) -> Recall:
    """The recall by the published marts, as they are or as readers saw them then."""
    at = as_known.instant_of(as_known_on, as_known.site(calendar)) if as_known_on else None
    snapshots = as_known.snapshots_at(at) if at else None
    links = as_known.rows_of("fct_genealogy_link", COLUMNS, snapshots)
    return recall(
        item_id,
        with_receipts(links, as_known.rows_of("fct_lot_balance", LOT_COLUMNS, snapshots)),
        as_known.rows_of("fct_unit", UNIT_COLUMNS, snapshots),
        as_known.rows_of("fct_unit_shipment", SHIPMENT_COLUMNS, snapshots),
        direction,
        at,
    )


def with_receipts(links: pa.Table, lots: pa.Table) -> pa.Table:
    """The links, and one from its receipt into each lot that was received and then filled up, which thins the rest."""
    received = {row["lot_id"]: row["received_quantity"] for row in lots.to_pylist() if row["received_quantity"]}
    filled = set(received) & set(pc.unique(links["output_id"]).to_pylist())
    added = [
        {
            "link_id": f"receipt:{lot}",
            "kind": "received",
            "transformation_id": f"receipt:{lot}",
            "input_id": f"{lot} as received",
            "input_kind": "lot",
            "input_quantity": received[lot],
            "output_id": lot,
            "output_kind": "lot",
            "output_quantity": received[lot],
            "quantity": received[lot],
            "is_on_cycle": False,
        }
        for lot in sorted(filled)
    ]
    return pa.concat_tables([links, pa.Table.from_pylist(added, links.schema)]) if added else links


def as_text(found: Recall, seconds: float) -> str:
    known = f", as known at {found.as_known_at.isoformat()}" if found.as_known_at else ""
    what = "holds something of" if found.direction == "forward" else "went into"
    lines = [
        f"What {what} {found.item_id}{known}: {len(found.units):,} units, {len(found.lots):,} lots ({seconds:.1f} s)"
    ]
    for one in found.lots:
        lines.append(
            f"  {one.kind:<8} {one.item_id:<28} {_quantity(one.quantity, one.is_exact):>14}  from {_some(one.via)}"
        )
    if found.units:
        lines.append(f"  {'unit':<20} {'quantity':>14}  {'status':<9} {'order':<18} {'customer':<16} sales order")
    for one in found.units[:UNITS_SHOWN]:
        lines.append(
            f"  {one.serial:<20} {_quantity(one.quantity, one.is_exact):>14}  {one.serial_status or '?':<9} "
            f"{one.order_id or '?':<18} {one.customer or 'in the plant':<16} {one.sales_order or ''}".rstrip()
        )
    if len(found.units) > UNITS_SHOWN:
        lines.append(f"  … {len(found.units) - UNITS_SHOWN:,} more: --csv FILE or --json for all")
    if found.customers:
        lines.append("By customer: " + ", ".join(f"{name} {count:,}" for name, count in found.customers.items()))
    if any(not one.is_exact for one in (*found.units, *found.lots)):
        lines.append("~: by the share of a blend, not exact; ?: cannot be told")
    if found.on_cycle:
        lines.append(f"Contradicting links on the way, see fct_trace_exception: {_some(found.on_cycle)}")
    return "\n".join(lines)


def _quantity(quantity: Decimal | None, is_exact: bool) -> str:
    return "?" if quantity is None else f"{'' if is_exact else '~'}{quantity:f}"


def _some(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def as_json(found: Recall) -> str:
    def plain(value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    return json.dumps({**asdict(found), "customers": found.customers}, default=plain, indent=1)


def write_csv(found: Recall, path: Path) -> int:
    """Write the units, one a line; gives their number."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for unit in found.units:
            row = asdict(unit) | {"via": " ".join(unit.via)}
            writer.writerow(["" if row[name] is None else row[name] for name in CSV_COLUMNS])
    return len(found.units)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m include.packs.factorypack.recall",
        description="Which units and customers hold a lot, or what went into a unit, by the published genealogy.",
    )
    parser.add_argument("item", help="lot or serial number")
    parser.add_argument("--backward", action="store_true", help="what went into it, instead of what holds it")
    parser.add_argument(
        "--as-known-on", metavar="DAY", help="as readers saw it at the end of that day, or at a time with its offset"
    )
    parser.add_argument("--calendar", help="by whose clock DAY ends; needed where the pack has several")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the units to this file too")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    try:
        found = published(given.item, "backward" if given.backward else "forward", given.as_known_on, given.calendar)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    print(as_json(found) if given.json else as_text(found, time.monotonic() - begun))
    if given.csv:
        print(f"{write_csv(found, given.csv):,} units in {given.csv}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
