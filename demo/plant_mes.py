"""The rows of the MES: master data, what the plant's days put into it, and what people write down of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from demo import plant_bearings, plant_calendar, plant_line, plant_trace
from demo.plant_line import LINES, STATIONS, Line
from demo.plant_truth import Stop, stops
from include.periods import Period

SERIAL_LINE = "ASM"  # its units have serials; those of the other lines are counted only
PEOPLE = ("M. Ortiz", "J. Novak", "S. Okafor", "L. Brandt")
ROUNDED_TO_S = 300
NOT_WRITTEN_BELOW_S = 180
FAMILIES = {"HSG": "Housings", "PMP": "Pumps", "BOX": "Boxes"}
COMPONENTS = (("ROT", Decimal("1.000")), ("SEAL", Decimal("2.000")))
REASONS = (
    ("P10", "Planned", "Personnel", "Meal break", True, False),
    ("P20", "Planned", "Maintenance", "Preventive maintenance", True, False),
    ("S10", "Set-up", "Changeover", "Change of product", False, True),
    ("T10", "Technical", "Mechanics", "Spindle drive", False, False),
    ("T20", "Technical", "Mechanics", "Tool breakage", False, False),
    ("T30", "Technical", "Transport", "Conveyor jam", False, False),
    ("T40", "Technical", "Controls", "Sensor", False, False),
    ("T50", "Technical", "Mechanics", "Gripper", False, False),
    (plant_bearings.CODE, "Technical", "Mechanics", "Drive bearing", False, False),
    ("Q10", "Quality", "Dimensions", "Out of tolerance", False, False),
    ("L10", "Logistics", "Material", "Material missing", False, False),
    ("L20", "Logistics", "Material", "Labels missing", False, False),
    ("M10", "Short stops", "Transport", "Short jam", False, False),
    ("M20", "Short stops", "Handling", "Part misaligned", False, False),
    ("M30", "Short stops", "Mechanics", "Chip removal", False, False),
)
SCHEMAS = {
    "lines": (("line_id", "site", "name"), {"micro_stop_s": pa.int32()}),
    "stations": (("station_id", "line_id", "name", "vocabulary"), {"position": pa.int32(), "is_pacing": pa.bool_()}),
    "products": (("product_id", "family", "name"), {}),
    "routings": (("product_id", "station_id"), {"ideal_cycle_time_s": pa.decimal128(12, 3)}),
    "shift_patterns": (("pattern_id", "name", "starts_at", "ends_at"), {"shift": pa.int32()}),
    "reasons": (("reason_code", "level_1", "level_2", "level_3"), {"is_planned": pa.bool_(), "is_setup": pa.bool_()}),
    "production_orders": (
        ("order_id", "line_id", "product_id", "status"),
        {"quantity_ordered": pa.int32(), "started_at": None, "ended_at": None},
    ),
    "planned_stops": (
        ("planned_stop_id", "line_id", "station_id", "reason_code"),
        {"from_at": None, "to_at": None},
    ),
    "serials": (("serial", "order_id", "product_id", "status"), {"made_at": None}),
    "inspections": (
        ("inspection_id", "serial", "station_id", "order_id", "product_id", "result", "defect_code"),
        {"inspected_at": None},
    ),
    "component_genealogy": (
        ("genealogy_id", "serial", "component_serial", "component_product_id", "station_id"),
        {"quantity": pa.decimal128(12, 3), "assembled_at": None},
    ),
    "station_scans": (("scan_id", "serial", "station_id"), {"entered_at": None, "left_at": None}),
    "work_orders": (
        ("work_order_id", "station_id", "kind", "description"),
        {"opened_at": None, "closed_at": None},
    ),
    "manual_log": (
        ("log_id", "line_id", "station_id", "reason_code", "entered_by"),
        {"started_at": None, "ended_at": None, "entered_at": None},
    ),
    "manual_counts": (
        ("count_id", "line_id", "station_id", "entered_by"),
        {
            "shift_date": pa.date32(),
            "shift": pa.int32(),
            "good_units": pa.int32(),
            "scrap_units": pa.int32(),
            "rework_units": pa.int32(),
            "entered_at": None,
        },
    ),
    "manual_corrections": (
        ("correction_id", "station_id", "what", "value", "why", "entered_by"),
        {"from_at": None, "to_at": None, "entered_at": None},
    ),
    **plant_trace.SCHEMAS,
}
_INSTANT = pa.timestamp("us", tz="UTC")
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Plant:
    """Which plant it is, and since when it has been recorded."""

    seed: int
    start: date


def tables(plant: Plant, as_of: datetime, since: date | None = None) -> dict[str, pa.Table]:
    """What the MES holds at `as_of` of the plant days from `since` (default: all), in an order that references allow.

    A later `as_of` adds rows; the one thing that changes is that an order ends.
    """
    rows: Rows = {name: [] for name in SCHEMAS}
    for name, some in master(as_of).items():
        rows[name] += some
    day, last = max(since or plant.start, plant.start), plant_calendar.plant_day(as_of)
    while day <= last:
        for line in LINES:
            _orders(rows, plant, line, day, as_of)
            _paper(rows, plant, line, day)
        _units(rows, plant, day)
        day += timedelta(days=1)
    seen_at = {
        "planned_stops": "from_at",
        "serials": "made_at",
        "inspections": "inspected_at",
        "component_genealogy": "assembled_at",
        "station_scans": "left_at",
        "work_orders": "closed_at",
        "manual_log": "entered_at",
        "manual_counts": "entered_at",
        "manual_corrections": "entered_at",
        **plant_trace.SEEN_AT,
    }
    for name, column in seen_at.items():
        rows[name] = [row for row in rows[name] if row[column] <= as_of]
    made = {row["serial"] for row in rows["serials"]}
    made.add(None)  # a scanner that read nothing
    for name in ("component_genealogy", "station_scans", "inspections"):  # what is still on the line has no serial yet
        rows[name] = [row for row in rows[name] if row["serial"] in made]
    return {name: pa.Table.from_pylist(rows[name], schema=_schema(name)) for name in SCHEMAS}


def _schema(name: str) -> pa.Schema:
    texts, others = SCHEMAS[name]
    return pa.schema([*((column, pa.string()) for column in texts), *((c, t or _INSTANT) for c, t in others.items())])


def shift_patterns(day: date) -> list[dict[str, Any]]:
    """The parts of shifts that hold on a plant day, by the clock on the wall."""
    spans = [
        span for span in plant_calendar.calendar().shifts.spans if span.valid_from <= day <= (span.valid_to or day)
    ]
    return [
        {
            "pattern_id": f"{plant_calendar.SITE}-{n}",
            "shift": span.shift,
            "name": span.name,
            "starts_at": span.starts.isoformat("minutes"),
            "ends_at": span.ends.isoformat("minutes"),
        }
        for n, span in enumerate(sorted(spans, key=lambda span: (span.shift, span.starts)), start=1)
    ]


def master(as_of: datetime) -> Rows:
    """What changes seldom: lines, stations, products, routings, shifts and reasons."""
    stations = [
        {
            "station_id": station,
            "line_id": line.line_id,
            "name": f"{line.name} {n}",
            "position": n,
            "is_pacing": station == line.pacing,
            "vocabulary": line.vocabulary,
        }
        for line in LINES
        for n, station in enumerate(line.stations, start=1)
    ]
    products = [
        {"product_id": product, "family": FAMILIES[product[:3]], "name": f"{FAMILIES[product[:3]]} {product[-1]}"}
        for line in LINES
        for product in line.cycles_s
    ]
    routings = [
        {
            "product_id": product,
            "station_id": station,
            "ideal_cycle_time_s": Decimal(plant_line.ideal_cycle_ms(station, product)).scaleb(-3),
        }
        for station, line in STATIONS.items()
        for product in line.cycles_s
    ]
    return {
        "lines": [
            {"line_id": o.line_id, "site": "riverside", "name": o.name, "micro_stop_s": o.micro_stop_s} for o in LINES
        ],
        "stations": stations,
        "products": products,
        "routings": routings,
        "shift_patterns": shift_patterns(plant_calendar.plant_day(as_of)),
        "reasons": [
            dict(zip(("reason_code", "level_1", "level_2", "level_3", "is_planned", "is_setup"), reason, strict=True))
            for reason in REASONS
        ],
    }


def _orders(rows: Rows, plant: Plant, line: Line, day: date, as_of: datetime) -> None:
    shared = plant_line.line_day(line.line_id, day, plant.seed)
    for one in shared.orders:
        started = shared.starts_at + timedelta(seconds=one.starts_s)
        ended = shared.starts_at + timedelta(seconds=one.ends_s)
        if started > as_of:
            continue
        cycle_ms = plant_line.ideal_cycle_ms(line.pacing, one.product_id)
        rows["production_orders"].append(
            {
                "order_id": one.order_id,
                "line_id": line.line_id,
                "product_id": one.product_id,
                "quantity_ordered": (one.ends_s - one.starts_s) * 800 // cycle_ms // 10 * 10,
                "started_at": started,
                "ended_at": ended if ended <= as_of else None,
                "status": "closed" if ended <= as_of else "open",
            }
        )
    for n, (start, end) in enumerate(shared.maintenance):
        rows["planned_stops"].append(
            {
                "planned_stop_id": f"PS-{line.line_id}-{day:%y%m%d}-{n + 1}",
                "line_id": line.line_id,
                "station_id": None,
                "from_at": shared.starts_at + timedelta(seconds=start),
                "to_at": shared.starts_at + timedelta(seconds=end),
                "reason_code": plant_bearings.PREVENTIVE,
            }
        )
    for station in line.stations:
        for bearing, _ in plant_line.bearing_stops(station, day, plant.seed):
            _bearing(rows, line, bearing)


def _bearing(rows: Rows, line: Line, bearing: plant_bearings.Bearing) -> None:
    """The job of a bearing's replacement; one that did not fail was planned."""
    is_failure = bearing.end == "failed"
    rows["work_orders"].append(
        {
            "work_order_id": bearing.work_order_id,
            "station_id": bearing.station,
            "kind": bearing.work_kind,
            "opened_at": bearing.stopped_at + timedelta(minutes=5 if is_failure else 0),
            "closed_at": bearing.replaced_at,
            "description": "Drive bearing failed and replaced" if is_failure else "Drive bearing replaced",
        }
    )
    if not is_failure:
        rows["planned_stops"].append(
            {
                "planned_stop_id": f"PS-{bearing.station}-B{bearing.number}",
                "line_id": line.line_id,
                "station_id": bearing.station,
                "from_at": bearing.stopped_at,
                "to_at": bearing.replaced_at,
                "reason_code": plant_bearings.PREVENTIVE,
            }
        )


def _paper(rows: Rows, plant: Plant, line: Line, day: date) -> None:
    """What people write: stops to five minutes and none below three, a wrong reason now and then, counts by shift."""
    random = np.random.default_rng([plant.seed, 200 + LINES.index(line), day.toordinal()])
    codes = [*line.faults, *line.short_stops]
    for station in line.stations:
        for n, stop in enumerate(stops(station, day, day, plant.seed)):
            if stop.seconds >= 1800 and stop.code != plant_bearings.CODE:
                rows["work_orders"].append(_work_order(stop, day, n))
            if stop.seconds < NOT_WRITTEN_BELOW_S:
                continue
            is_wrong = random.random() < 0.1
            written = {
                "log_id": f"ML-{station}-{day:%y%m%d}-{n}",
                "line_id": line.line_id,
                "station_id": station,
                "started_at": _rounded(stop.started_at),
                "ended_at": max(_rounded(stop.ended_at), _rounded(stop.started_at) + timedelta(seconds=ROUNDED_TO_S)),
                "reason_code": str(random.choice(codes)) if is_wrong else stop.code,
                "entered_by": str(random.choice(PEOPLE)),
                "entered_at": stop.ended_at + timedelta(minutes=int(random.integers(5, 40))),
            }
            rows["manual_log"].append(written)
            if is_wrong and random.random() < 0.3:
                rows["manual_corrections"].append(_correction(stop, written, day, n))
    for shift in plant_calendar.shifts(day):
        rows["manual_counts"].append(_counts_by_hand(plant, line, shift, random))


def _counts_by_hand(plant: Plant, line: Line, shift: Period, random: np.random.Generator) -> dict[str, Any]:
    made = np.zeros(3, dtype=np.int64)
    for day, a, b in plant_calendar.slices(shift):
        counted = plant_line.station_day(line.pacing, day, plant.seed).counted
        made += counted[:, b] - counted[:, a]
    good, scrap, rework = (int(n) for n in made)
    return {
        "count_id": f"MC-{line.line_id}-{shift.production_date:%y%m%d}-{shift.shift}",
        "line_id": line.line_id,
        "station_id": line.pacing,
        "shift_date": shift.production_date,
        "shift": shift.shift,
        "good_units": max(0, good + int(round(good * random.uniform(-0.004, 0.004)))),
        "scrap_units": scrap,
        "rework_units": rework,
        "entered_by": str(random.choice(PEOPLE)),
        "entered_at": shift.ends_at - timedelta(seconds=int(random.integers(10, 50))),
    }


def _rounded(at: datetime) -> datetime:
    seconds = at.timestamp()
    return datetime.fromtimestamp((seconds + ROUNDED_TO_S // 2) // ROUNDED_TO_S * ROUNDED_TO_S, UTC)


def _work_order(stop: Stop, day: date, n: int) -> dict[str, Any]:
    return {
        "work_order_id": f"WO-{stop.station}-{day:%y%m%d}-{n}",
        "station_id": stop.station,
        "kind": "corrective",
        "opened_at": stop.started_at + timedelta(minutes=5),
        "closed_at": stop.ended_at + timedelta(minutes=20),
        "description": f"Stopped with {stop.code}",
    }


def _correction(stop: Stop, written: dict[str, Any], day: date, n: int) -> dict[str, Any]:
    """The shift lead looks at the log the next morning."""
    return {
        "correction_id": f"CO-{stop.station}-{day:%y%m%d}-{n}",
        "station_id": stop.station,
        "from_at": stop.started_at,
        "to_at": stop.ended_at,
        "what": "reason",
        "value": stop.code,
        "why": f"the log said {written['reason_code']}",
        "entered_by": "Shift lead",
        "entered_at": plant_calendar.at_clock(day, 31.0) + timedelta(minutes=n),
    }


def _units(rows: Rows, plant: Plant, day: date) -> plant_trace.Truth:
    """Serials of the assembly line's units with components, scans and inspections; gives what is wrong with them."""
    line = next(one for one in LINES if one.line_id == SERIAL_LINE)
    random = np.random.default_rng([plant.seed, 300, day.toordinal()])
    missing = random.uniform(0.02, 0.06)
    for order, n, made_at, cycle, row in units_made(line, day, plant.seed):
        serial = serial_of(order, n)
        status = ("good", "scrapped", "rework")[row]
        own = {"serial": serial, "order_id": order.order_id, "product_id": order.product_id}
        rows["serials"].append({**own, "made_at": made_at, "status": status})
        result = ("pass", "fail", "rework")[row]
        defect = None if row == 0 else str(random.choice(("leak", "torque", "scratch")))
        inspected = {**own, "station_id": line.pacing}
        rows["inspections"].append(
            {
                **inspected,
                "inspection_id": f"{serial}-1",
                "inspected_at": made_at,
                "result": result,
                "defect_code": defect,
            }
        )
        if result == "rework":
            rows["inspections"].append(
                {
                    **inspected,
                    "inspection_id": f"{serial}-2",
                    "inspected_at": made_at + timedelta(hours=2),
                    "result": "pass",
                    "defect_code": None,
                }
            )
        for place, (component, quantity) in enumerate(COMPONENTS):
            lot = f"{component}-{day:%y%m%d}-{n // 40:02d}"
            rows["component_genealogy"].append(
                {
                    "genealogy_id": f"{serial}-{component}",
                    "serial": serial,
                    "component_serial": lot,
                    "component_product_id": component,
                    "quantity": quantity,
                    "station_id": line.stations[place],
                    "assembled_at": made_at - cycle * (3 - place),
                }
            )
        for place, station in enumerate(line.stations):
            if random.random() < missing:
                continue
            left_at = made_at - cycle * (3 - place)
            rows["station_scans"].append(
                {
                    "scan_id": f"{serial}-{station}",
                    "serial": serial,
                    "station_id": station,
                    "entered_at": left_at - cycle,
                    "left_at": left_at,
                }
            )
    return plant_trace.add(rows, plant.seed, day, line.stations)


def serial_of(order: plant_line.Order, n: int) -> str:
    """The serial number of an order's nth unit."""
    return f"{order.order_id}-{n:04d}"


def units_made(line: Line, day: date, seed: int) -> Iterator[tuple[plant_line.Order, int, datetime, timedelta, int]]:
    """The units of a line's plant day, order by order: the order, the unit's number in it, when it was made, the ideal
    cycle of the pacing station, and whether it was good (0), scrap (1) or to be reworked (2)."""
    shared = plant_line.line_day(line.line_id, day, seed)
    found = plant_line.station_day(line.pacing, day, seed)
    for order in shared.orders:
        window = found.counted[:, order.starts_s : order.ends_s + 1]
        cycle = timedelta(milliseconds=plant_line.ideal_cycle_ms(line.pacing, order.product_id))
        for n, (second, row) in enumerate(_made(window), start=1):
            yield order, n, shared.starts_at + timedelta(seconds=order.starts_s + second), cycle, row


def _made(window: np.ndarray) -> Iterator[tuple[int, int]]:
    """The second at which each unit was made, and whether it was good (0), scrap (1) or to be reworked (2)."""
    found = [(int(second), row) for row in range(3) for second in np.flatnonzero(np.diff(window[row])) + 1]
    return iter(sorted(found))
