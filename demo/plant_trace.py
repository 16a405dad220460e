"""What the plant knows of lots and shipments, and what goes wrong with its scans; all of it with its truth.

A day's rotors are split from one delivery, its seals from a blend of two rubbers with a declared loss; what is left of
a lot in the evening is written off. Reworked units pass the last two stations again. A few components are booked under
a lot that nobody knows, so that the right lot has more left than was written off; of the scans that are missing, some
left a row without a serial number.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from demo import plant_line

SCHEMAS = {
    "lots": (
        ("lot_id", "site", "product_id", "supplier", "unit"),
        {"quantity_received": pa.decimal128(14, 3), "created_at": None},
    ),
    "lot_transformations": (
        ("movement_id", "transformation_id", "site", "kind", "role", "item_id", "product_id", "unit", "reason"),
        {"quantity": pa.decimal128(14, 3), "happened_at": None},
    ),
    "shipments": (("shipment_id", "site", "serial", "customer", "sales_order"), {"shipped_at": None}),
}
SEEN_AT = {"lots": "created_at", "lot_transformations": "happened_at", "shipments": "shipped_at"}
SITE = "riverside"
CUSTOMERS = ("Aqua Works", "Hydro Nord", "Basin Supply")
SPARE = Decimal(5)  # of a lot, left when the day ends
MISREAD_SHARE, NO_READ_SHARE = 0.003, 0.2  # of components; of scans that are missing
REWORK_AFTER = timedelta(hours=2)


@dataclass
class Truth:
    """What is wrong with the records of a day."""

    missing: list[tuple[str, str]] = field(default_factory=list)  # serial, station: no scan tells of the passage
    no_reads: list[str] = field(default_factory=list)  # scans without a serial number
    misread: list[tuple[str, str, Decimal]] = field(default_factory=list)  # serial, right lot, quantity


def add(rows: dict[str, list[dict[str, Any]]], seed: int, day: date, stations: tuple[str, ...]) -> Truth:
    """Add a day's lots, transformations, shipments and revisits to what the MES holds of that day's units."""
    shared = plant_line.line_day("ASM", day, seed)
    random = np.random.default_rng([seed, 400, day.toordinal()])
    orders = {one.order_id for one in shared.orders}
    units = [row for row in rows["serials"] if row["order_id"] in orders]
    serials = {row["serial"] for row in units}
    components = [row for row in rows["component_genealogy"] if row["serial"] in serials]
    scans = [row for row in rows["station_scans"] if row["serial"] in serials]
    truth = Truth()
    used: Counter[tuple[str, str]] = Counter()
    for row in components:
        used[row["component_product_id"], row["component_serial"]] += row["quantity"]
        if random.random() < MISREAD_SHARE:
            truth.misread.append((row["serial"], row["component_serial"], row["quantity"]))
            row["component_serial"] += "-?"
    _lots(rows, shared.starts_at, shared.seconds, f"{day:%y%m%d}", used)
    _missing(rows, units, scans, stations, random, truth)
    for row in units:
        if row["status"] == "rework":
            rows["station_scans"] += _revisits(row, stations)
    _shipments(rows, units, shared.starts_at + timedelta(seconds=shared.seconds), day)
    return truth


def _lots(rows: dict, starts_at: datetime, seconds: int, name: str, used: Mapping[tuple[str, str], Decimal]) -> None:
    def at(second: int) -> datetime:
        return starts_at + timedelta(seconds=second)

    def lot(
        lot_id: str, product: str, second: int, supplier: str | None = None, quantity: Decimal = Decimal(0)
    ) -> None:
        rows["lots"].append(
            {
                "lot_id": lot_id,
                "site": SITE,
                "product_id": product,
                "supplier": supplier,
                "quantity_received": quantity,
                "unit": "piece",
                "created_at": at(second),
            }
        )

    def moved(kind: str, key: str, second: int, inputs: dict, outputs: dict, loss: Decimal, reason: str | None) -> None:
        found = [("input", *one) for one in inputs.items()] + [("output", *one) for one in outputs.items()]
        found += [("loss", None, loss)] if loss else []
        for n, (role, item, quantity) in enumerate(found, start=1):
            rows["lot_transformations"].append(
                {
                    "movement_id": f"{key}-{n}",
                    "transformation_id": key,
                    "site": SITE,
                    "kind": kind,
                    "role": role,
                    "item_id": item,
                    "product_id": item and item.partition("-")[0],
                    "quantity": quantity,
                    "unit": "piece",
                    "reason": reason if role == "loss" else None,
                    "happened_at": at(second),
                }
            )

    by_product = {p: {lot_id: q + SPARE for (own, lot_id), q in used.items() if own == p} for p in ("ROT", "SEAL")}
    if not used:
        return
    for lots in by_product.values():
        for lot_id in lots:
            lot(lot_id, lot_id.partition("-")[0], 20)
    rotors, seals = (sum(lots.values(), Decimal(0)) for lots in by_product.values())
    delivered = f"ROTS-{name}"
    lot(delivered, "ROTS", 5, "Rotor Supply", rotors + 2)
    moved("split", f"SP-ROT-{name}", 20, {delivered: rotors + 2}, by_product["ROT"], Decimal(2), "damaged in transport")
    first, second, mixed = f"RUBA-{name}", f"RUBB-{name}", f"SEALMIX-{name}"
    share = (seals * Decimal("0.6")).to_integral_value()
    lost = (seals * Decimal("0.015")).to_integral_value()
    lot(first, "RUBA", 5, "Rubber East", share)
    lot(second, "RUBB", 5, "Rubber West", seals - share + lost)
    lot(mixed, "SEALMIX", 10)
    moved("blend", f"BL-{name}", 10, {first: share, second: seals - share + lost}, {mixed: seals}, lost, "flash")
    moved("split", f"SP-SEAL-{name}", 20, {mixed: seals}, by_product["SEAL"], Decimal(0), None)
    washed = min(by_product["ROT"])
    moved("rework", f"RW-{name}", 60, {washed: Decimal(3)}, {washed: Decimal(3)}, Decimal(0), None)
    for lots in by_product.values():
        for lot_id in lots:
            moved("write_off", f"WO-{lot_id}", seconds - 5, {lot_id: SPARE}, {}, SPARE, "left over")


def _missing(
    rows: dict,
    units: list[dict],
    scans: list[dict],
    stations: tuple[str, ...],
    random: np.random.Generator,
    truth: Truth,
) -> None:
    seen = {(row["serial"], row["station_id"]) for row in scans}
    step = timedelta(seconds=20)
    for unit in units:
        for place, station in enumerate(stations):
            if (unit["serial"], station) in seen:
                continue
            truth.missing.append((unit["serial"], station))
            if random.random() < NO_READ_SHARE:
                left_at = unit["made_at"] - step * (len(stations) - 1 - place)
                scan_id = f"NR-{unit['order_id']}-{len(truth.no_reads) + 1:04d}"
                truth.no_reads.append(scan_id)
                rows["station_scans"].append(
                    {
                        "scan_id": scan_id,
                        "serial": None,
                        "station_id": station,
                        "entered_at": left_at - step,
                        "left_at": left_at,
                    }
                )


def _revisits(unit: dict, stations: tuple[str, ...]) -> list[dict[str, Any]]:
    """A reworked unit passes the last two stations once more."""
    again = unit["made_at"] + REWORK_AFTER
    return [
        {
            "scan_id": f"{unit['serial']}-{station}-2",
            "serial": unit["serial"],
            "station_id": station,
            "entered_at": again - timedelta(minutes=4 - 2 * n),
            "left_at": again - timedelta(minutes=2 - 2 * n),
        }
        for n, station in enumerate(stations[-2:])
    ]


def _shipments(rows: dict, units: list[dict], day_ends_at: datetime, day: date) -> None:
    """The day's good units leave in the night after, an order of 200 each, customer by customer."""
    good = [row["serial"] for row in units if row["status"] == "good"]
    for n, serial in enumerate(good):
        order = n // 200
        rows["shipments"].append(
            {
                "shipment_id": f"SH-{serial}",
                "site": SITE,
                "serial": serial,
                "customer": CUSTOMERS[(order + day.toordinal()) % len(CUSTOMERS)],
                "sales_order": f"SO-{day:%y%m%d}-{order + 1}",
                "shipped_at": day_ends_at + timedelta(hours=3, minutes=30 * order),
            }
        )
