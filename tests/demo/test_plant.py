"""The simulated plant: the same from every process, and true to its own seconds."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demo import plant_history, plant_line, plant_mes, plant_truth
from demo.line_simulator import LineClient
from demo.plant_line import LINES, MODULUS, SECOND, STATIONS, Kind, shown, station_day
from demo.plant_mes import Plant
from demo.scada import microseconds, moment
from demo.scada_tags import PLANT_SOURCE
from include.ot.sources import source
from include.ot.tags import tags

DAY = date(2026, 6, 10)
SPRING, AUTUMN = date(2026, 3, 7), date(2026, 10, 31)  # the clocks change in the night of these plant days
NOON = datetime(2026, 6, 10, 17, tzinfo=UTC)
PLANT = Plant(plant_line.SEED, date(2026, 6, 1))


@pytest.mark.parametrize(("day", "hours"), [(DAY, 24), (SPRING, 23), (AUTUMN, 25)])
def test_a_plant_day_is_as_long_as_the_site_s_clock_makes_it(day, hours):
    found = station_day("ASM-40", day)

    assert len(found.kind) == hours * 3600
    assert {Kind(k) for k in np.unique(found.kind)} >= {Kind.PRODUCE, Kind.WAIT, Kind.SETUP, Kind.BREAK}
    rows = plant_truth.by_shift(day, day).to_pylist()
    night = next(r for r in rows if r["station_id"] == "ASM-40" and r["shift_id"] == f"{day}.3")
    assert night["planned_operation_time_s"] == (hours - 16) * 3600


@pytest.mark.parametrize("station", ["MCH-20", "ASM-10", "PKG-40"])
def test_the_truth_of_a_shift_is_what_its_seconds_say(station):
    """Second by second: the words that the controller shows, what the counters gain, and the cycle of the order."""
    row = next(
        r
        for r in plant_truth.by_shift(DAY, DAY).to_pylist()
        if (r["station_id"], r["shift_id"]) == (station, f"{DAY}.2")
    )
    (_, starts_at, ends_at) = plant_truth.shift_bounds(DAY)[1]
    words = plant_line.WORDS[STATIONS[station].vocabulary]
    kinds = station_day(station, DAY).kind
    begun = plant_line.at_clock(DAY, 6)
    said = {name: 0 for name in plant_truth.NAMES}
    at = starts_at
    while at < ends_at:
        kind = Kind(kinds[int((at - begun).total_seconds())])
        now = shown(station, at)
        assert (now.execution, now.mode) == words[kind]
        said[plant_truth.CATEGORIES[kind]] += 1
        at += timedelta(seconds=1)
    first, last = (shown(station, at - timedelta(seconds=1)) for at in (starts_at, ends_at))
    made = {n: (getattr(last, n) - getattr(first, n)) % MODULUS for n in plant_line.COUNTS}

    assert said["production"] == row["actual_production_time_s"] and said["delay"] == row["actual_delay_time_s"]
    assert sum(said.values()) == row["planned_operation_time_s"] == 8 * 3600
    assert sum(said.values()) - said["planned"] == row["planned_busy_time_s"]
    assert list(made.values()) == [row["good_units"], row["scrap_units"], row["rework_units"]]
    known_s = sum(said.values()) - said["planned"] - said["no_data"]
    oee = row["ideal_time_s"] / known_s * made["good_count"] / sum(made.values())
    assert row["oee"] == pytest.approx(oee) and 0.5 < row["oee"] < 1


def test_no_unit_is_made_while_a_station_stands():
    found = station_day("PKG-40", DAY)
    gained = np.diff(found.counted.sum(axis=0))

    assert gained.sum() > 3000 and not gained[found.kind != Kind.PRODUCE].any()
    assert (np.diff(found.counted, axis=1) >= 0).all() and gained.max() == 1


def test_a_plant_day_begins_with_set_up_so_that_no_stop_crosses_its_edge():
    for n in range(60):
        for line in LINES:
            first = station_day(line.pacing, DAY + timedelta(days=n)).kind[0]
            assert first in (Kind.SETUP, Kind.NO_ORDER, Kind.UNAVAILABLE, Kind.MAINTENANCE)


def test_people_round_to_five_minutes_forget_short_stops_and_err_in_some_reasons():
    plant = Plant(PLANT.seed, date(2026, 6, 20))
    found = plant_mes.tables(plant, plant_line.at_clock(date(2026, 6, 25), 12))
    log = found["manual_log"].to_pylist()
    true = {
        (stop.station, stop.started_at): stop
        for station in STATIONS
        for stop in plant_truth.stops(station, plant.start, date(2026, 6, 25))
    }
    end = datetime(2026, 6, 24, tzinfo=UTC)
    long = [stop for stop in true.values() if stop.seconds >= 180 and stop.ended_at < end]

    assert all(row["started_at"].timestamp() % 300 == 0 and row["ended_at"] > row["started_at"] for row in log)
    assert 0 < len([r for r in log if r["entered_at"] < end]) <= len(long)
    codes = {reason[0] for reason in plant_mes.REASONS}
    assert {row["reason_code"] for row in log} <= codes
    assert found["manual_corrections"].num_rows
    counts = found["manual_counts"].to_pylist()
    truth = {
        (r["station_id"], r["shift_id"]): r["good_units"]
        for r in plant_truth.by_shift(plant.start, date(2026, 6, 25)).to_pylist()
    }
    shares = [
        row["good_units"] / good
        for row in counts
        if (good := truth.get((row["station_id"], f"{row['shift_date']}.{row['shift']}")))
    ]
    assert all(abs(share - 1) < 0.02 for share in shares)


def test_scans_are_missing_at_the_usual_share_and_all_else_refers_to_what_is_there():
    found = plant_mes.tables(Plant(PLANT.seed, date(2026, 6, 11)), plant_line.at_clock(date(2026, 6, 12), 12))
    serials = set(found["serials"]["serial"].to_pylist())

    share = 1 - found["station_scans"].num_rows / (4 * len(serials))
    assert 0.02 < share < 0.06
    for name in ("station_scans", "inspections", "component_genealogy"):
        assert set(found[name]["serial"].to_pylist()) <= serials
        key = found[name].column_names[0]
        assert len(set(found[name][key].to_pylist())) == found[name].num_rows
    orders = set(found["production_orders"]["order_id"].to_pylist())
    assert set(found["serials"]["order_id"].to_pylist()) <= orders


def test_a_later_look_only_adds_rows_and_ends_orders():
    plant = Plant(PLANT.seed, date(2026, 6, 11))
    now, later = (plant_line.at_clock(date(2026, 6, 12), hour) for hour in (12, 20))
    before, after = plant_mes.tables(plant, now), plant_mes.tables(plant, later)

    for name, table in before.items():
        old, new = ({tuple(r.values()) for r in t.to_pylist()} for t in (table, after[name]))
        if name == "production_orders":
            old, new = ({row[:3] for row in rows} for rows in (old, new))
        assert old <= new, name
    assert sum(t.num_rows for t in after.values()) > sum(t.num_rows for t in before.values())


def test_the_past_of_the_machines_is_what_they_would_have_shown(tmp_path):
    until = plant_line.at_clock(date(2026, 6, 2), 12)
    rows = plant_history.write(tmp_path / "h.parquet", PLANT, until)
    table = pq.read_table(tmp_path / "h.parquet")

    assert table.num_rows == rows and pc.max(table["observed_at"]).as_py() < until
    for tag_id in ("MCH-30.execution", "ASM-20.fault_code", "PKG-40.good_count"):
        of = table.filter(pc.equal(table["tag_id"], tag_id))
        at = np.array([microseconds(t) for t in of["observed_at"].to_pylist()])
        values, _ = plant_line.truth(tag_id, at)
        assert of["value"].to_pylist() == [str(v) for v in values], tag_id
    good = table.filter(pc.equal(table["tag_id"], "PKG-40.good_count"))
    last = {}
    for at, value in zip(good["observed_at"].to_pylist(), good["value"].to_pylist(), strict=True):
        last[at] = int(value)
    early = plant_truth.by_shift(PLANT.start, PLANT.start).to_pylist()
    row = next(r for r in early if (r["station_id"], r["shift_id"]) == ("PKG-40", f"{PLANT.start}.1"))
    edge = plant_line.at_clock(PLANT.start, 14)
    assert max((v for at, v in last.items() if at < edge), default=0) == row["good_units"]


def test_the_lines_send_what_changed_and_nothing_else():
    sent = []

    class Sink:
        def put(self, samples):
            sent.append({s.tag_id: s.value for s in samples})

    client = LineClient(source(PLANT_SOURCE), Sink())
    asyncio.run(client.retag(tags(PLANT_SOURCE)))
    at = microseconds(NOON)
    for n in (0, 0, *range(1, 121)):
        client._sample(at + n * SECOND)

    assert len(sent[0]) == 6 * len(STATIONS) and len(sent) > 10
    assert all(0 < len(more) < 12 for more in sent[1:])
    last: dict = {}
    for some in sent:
        assert not {k for k, v in some.items() if last.get(k) == v}
        last |= some
    end = moment(at + 120 * SECOND)
    assert last["PKG-40.good_count"] == shown("PKG-40", end).good_count
    assert last["MCH-10.execution"] == shown("MCH-10", end).execution


def test_the_lines_are_of_the_kinds_that_the_pack_knows():
    assert [line.vocabulary for line in LINES] == ["mtconnect", "packml", "line"]
    assert len(STATIONS) == 12 and {line.pacing for line in LINES} == {"MCH-40", "ASM-40", "PKG-40"}
