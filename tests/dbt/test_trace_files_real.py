"""A machine shop's work orders and NIST's parts, traced by files alone, against figures reckoned in plain Python.

The shop's log (4TU) knows sessions: who worked on a work order at which machine, from when to when. It knows no serial
numbers, so a work order stands for a unit; no status, so all are good; no routing, so a product is asked for at each
station that any of its work orders passed; no scanner, so what is missing is what a work order did not need; no lots
and no components. A work order is made when its last session ends. NIST's records have no genealogy either: covers and
plates are never told to be parts of one another, nor of which stock they were milled.
"""

import csv
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.factory_lake import Lake
from tests.dbt.test_factory_real import SHOP_LATER, csv_of, empty_mes, instant, land, of_plant, shifts

pytestmark = pytest.mark.platform  # needs none, but it builds the pack
LINE = "ASM"  # the one line of the calendar of which traces are asked
SKIPPED = datetime(2026, 3, 8, 2)  # the hour that the clock skips, told by a log whose clock skipped another one
MOVED = timedelta(days=4 * 365 + 1)  # of NIST's parts, to when the calendar has shifts


def shop_scans() -> list[dict[str, Any]]:
    """A scan a session, by the local clock; of a session without a trustworthy end nobody knows when it left."""
    with (of_plant("production_event_log_4tu") / "production_event_log_restored.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["start_restored"]]
    return [
        {
            "scan_id": row["row"],
            "serial": row["Case ID"],
            "station_id": row["Resource"],
            "entered_at": datetime.fromisoformat(row["start_restored"]) + SHOP_LATER,
            "left_at": datetime.fromisoformat(row["complete_restored"]) + SHOP_LATER
            if "end not in" not in row["restore_rule"]
            else None,
            "product_id": row["Part Desc."],
        }
        for row in rows
    ]


def lands(row: dict[str, Any]) -> bool:
    times = [value for value in row.values() if isinstance(value, datetime)]
    return not any(SKIPPED <= at < SKIPPED + timedelta(hours=1) for at in times)


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_the_work_orders_of_a_machine_shop_are_traced_from_files_alone(tmp_path):
    """Three months of 225 work orders at 31 stations, over a night whose clock goes forward."""
    log = shop_scans()
    scans = [row for row in log if lands(row)]
    told = [row for row in scans if row["left_at"]]
    product = {row["serial"]: row["product_id"] for row in log}
    made: dict[str, datetime] = {}
    for row in told:
        made[row["serial"]] = max(made.get(row["serial"], row["left_at"]), row["left_at"])
    stations = sorted({row["station_id"] for row in log})
    routed = {(product[row["serial"]], row["station_id"]) for row in log}
    units = [
        {"serial": s, "line_id": LINE, "product_id": product[s], "made_at": at, "status": "Good"}
        for s, at in made.items()
    ]
    counts = [
        {
            "station_id": "Packing", "from_at": at, "to_at": at, "good_units": 1, "product_id": product[s],
            "order_id": s,
        }
        for s, at in made.items()
    ]  # fmt: skip
    lake = Lake(tmp_path)
    empty_mes(lake)
    found = land(lake, "unit_scans_shop.csv", csv_of([without(row, "product_id") for row in log]))
    assert (found.rows.num_rows, len(found.rejected)) == (len(scans), len(log) - len(scans))
    assert land(lake, "units_shop.csv", csv_of(units)).rows.num_rows == len(units)
    land(lake, "machine_counts_shop.csv", csv_of(counts))
    land(
        lake,
        "stations_file_shop.csv",
        csv_of(
            [{"station_id": s, "line_id": LINE, "vocabulary": "line", "is_pacing": s == "Packing"} for s in stations]
        ),
    )
    land(
        lake,
        "routings_file_shop.csv",
        csv_of([{"product_id": p, "station_id": s, "ideal_cycle_time_s": 60} for p, s in sorted(routed)]),
    )

    days = sorted(at.date() for at in made.values())
    first, last = min(row["entered_at"].date() for row in log) - timedelta(days=1), days[-1] + timedelta(days=1)
    # A work order is on its way for weeks, which is no scan of an unknown unit.
    con = lake.close(first.isoformat(), last.isoformat(), trace_wait_h=24 * 120)

    by_hand = {}
    nth: Counter[tuple[str, str]] = Counter()
    for row in sorted(told, key=lambda row: (instant(row["left_at"]), instant(row["entered_at"]), row["scan_id"])):
        nth[row["serial"], row["station_id"]] += 1
        visit = nth[row["serial"], row["station_id"]]
        seconds = Decimal(int((instant(row["left_at"]) - instant(row["entered_at"])).total_seconds()))
        by_hand[row["scan_id"]] = (row["serial"], row["station_id"], product[row["serial"]], seconds, visit, visit > 1)
    rows = con.sql(
        "select scan_id, serial, station_id, product_id, duration_s, visit, is_revisit from fct_station_visit"
    ).fetchall()
    assert len(rows) == len(by_hand) and {row[0]: row[1:] for row in rows} == by_hand
    again = sum(visit[-1] for visit in by_hand.values())
    assert con.sql("select count(*) filter (where is_revisit) from fct_station_visit").fetchone() == (again,)
    assert again > 2_000

    at_station: Counter[str] = Counter()
    for _, station, _, seconds, _, _ in by_hand.values():
        at_station[station] += seconds
    built = con.sql("select station_id, sum(duration_s) from fct_station_visit group by station_id").fetchall()
    assert dict(built) == dict(at_station)

    passed = {(row["serial"], row["station_id"]) for row in told}
    asked: dict[str, Counter[str]] = defaultdict(Counter)
    missing = set()
    for shift in shifts(first, (last - first).days + 1):
        for serial, at in made.items():
            if shift.starts_at <= instant(at) < shift.ends_at:
                asked[shift.shift_id]["units"] += 1
                for station in (s for p, s in routed if p == product[serial]):
                    asked[shift.shift_id]["asked"] += 1
                    asked[shift.shift_id]["scans"] += (serial, station) in passed
                    if (serial, station) not in passed:
                        missing.add((serial, station))
    rows = con.sql(
        """
        select shift_id, expected_units, serial_units, expected_scans, scans, coverage
        from fct_trace_line_shift where expected_units > 0
        """
    ).fetchall()
    assert {row[0] for row in rows} == set(asked)
    for shift_id, expected, serials, expected_scans, seen, coverage in rows:
        one = asked[shift_id]
        assert (expected, serials, expected_scans, seen) == (one["units"], one["units"], one["asked"], one["scans"])
        assert abs(coverage - Decimal(one["scans"]) / one["asked"]) <= Decimal("0.0000005")
    assert sum(one["units"] for one in asked.values()) == len(made)
    told_missing = con.sql("select item_id, station_id from fct_trace_exception where issue = 'missing_scan'")
    assert set(told_missing.fetchall()) == missing
    others = con.sql("select count(*) from fct_trace_exception where issue <> 'missing_scan'").fetchone()
    assert others == (sum((row["serial"] not in made) for row in told),) == (0,)
    assert con.sql("select count(*) from fct_genealogy_link").fetchone() == (0,)


def test_nist_s_parts_are_traced_from_files_alone(tmp_path):
    """A hundred operations of forty parts, by the microsecond."""
    runs = []
    for part in ("cover", "plate"):
        with (of_plant("nist_part_traceability") / f"{part}_operation_summary.csv").open(newline="") as lines:
            runs += list(csv.DictReader(lines))

    def at(text: str) -> datetime:
        return datetime.fromisoformat(text[:26] + "+00:00").astimezone(UTC) + MOVED

    scans = [
        {
            "scan_id": run["source_file"], "serial": run["serial"], "station_id": f"OP{run['operation']}",
            "entered_at": at(run["first_ts"]), "left_at": at(run["last_ts"]),
        }
        for run in runs
    ]  # fmt: skip
    made: dict[str, datetime] = {}
    for scan in scans:
        made[scan["serial"]] = max(made.get(scan["serial"], scan["left_at"]), scan["left_at"])
    lake = Lake(tmp_path)
    empty_mes(lake)
    moments = ("entered_at", "left_at")
    as_text = [scan | {name: scan[name].isoformat() for name in moments} for scan in scans]
    assert land(lake, "unit_scans_nist.csv", csv_of(as_text)).rows.num_rows == 100
    units = [
        {
            "serial": serial, "line_id": LINE, "product_id": serial.split("-")[0], "made_at": when.isoformat(),
            "status": "good",
        }
        for serial, when in made.items()
    ]  # fmt: skip
    assert land(lake, "units_nist.csv", csv_of(units)).rows.num_rows == 40
    stations = [{"station_id": f"OP{n}", "line_id": LINE, "vocabulary": "line"} for n in (1, 2, 3)]
    land(lake, "stations_file_nist.csv", csv_of(stations))

    days: list[date] = sorted(when.date() for when in made.values())
    first = min(scan["entered_at"] for scan in scans).date() - timedelta(days=1)
    con = lake.close(first.isoformat(), (days[-1] + timedelta(days=1)).isoformat(), trace_wait_h=24 * 30)

    built = con.sql("select scan_id, serial, station_id, entered_at, left_at from fct_station_visit").fetchall()
    assert sorted(built) == sorted(tuple(scan.values()) for scan in scans)
    made_by_station = con.sql("select product_id, station_id, count(*) from fct_station_visit group by all").fetchall()
    assert set(made_by_station) == {
        ("COVER", "OP1", 20), ("COVER", "OP2", 20), ("COVER", "OP3", 20), ("PLATE", "OP1", 20), ("PLATE", "OP2", 20),
    }  # fmt: skip
    assert con.sql("select count(*) from fct_unit where serial_status = 'good'").fetchone() == (40,)
    assert con.sql("select count(*) from fct_genealogy_link").fetchone() == (0,)
