"""The simulated plant: the same from every process, and true to its own seconds."""

import asyncio
import shutil
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demo import plant_bearings, plant_calendar, plant_history, plant_line, plant_mes, plant_shown, plant_truth
from demo.line_simulator import LineClient
from demo.plant_calendar import ONE_DAY
from demo.plant_line import LINES, MODULUS, SECOND, STATIONS, Kind, station_day
from demo.plant_mes import Plant
from demo.plant_shown import shown
from demo.plant_signals import signals
from demo.scada import microseconds, moment
from demo.scada_tags import PLANT_SOURCE
from include import catalog
from include.ot.reading import BAD_NO_DATA
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


@pytest.mark.trial
@pytest.mark.parametrize("station", ["MCH-20", "ASM-10", "PKG-40"])
def test_the_truth_of_a_shift_is_what_its_seconds_say(station):
    """Second by second: the words that the controller shows, what the counters gain, and the cycle of the order."""
    row = next(
        r
        for r in plant_truth.by_shift(DAY, DAY).to_pylist()
        if (r["station_id"], r["shift_id"]) == (station, f"{DAY}.2")
    )
    late = plant_calendar.shifts(DAY)[1]
    starts_at, ends_at = late.starts_at, late.ends_at
    words = plant_line.WORDS[STATIONS[station].vocabulary]
    kinds = station_day(station, DAY).kind
    begun = plant_calendar.starts_at(DAY)
    said = {name: 0 for name in plant_truth.NAMES}
    at = starts_at
    while at < ends_at:
        kind = Kind(kinds[int((at - begun).total_seconds())])
        now = shown(station, at)
        assert (now.execution, now.mode) == words[kind]
        said[plant_truth.CATEGORIES[kind]] += 1
        at += timedelta(seconds=1)
    first, last = (shown(station, at - timedelta(seconds=1)) for at in (starts_at, ends_at))
    made = {n: (getattr(last, n) - getattr(first, n)) % MODULUS for n in plant_shown.COUNTS}

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
    found = plant_mes.tables(plant, plant_calendar.at_clock(date(2026, 6, 25), 12))
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
    found = plant_mes.tables(Plant(PLANT.seed, date(2026, 6, 11)), plant_calendar.at_clock(date(2026, 6, 12), 12))
    serials = set(found["serials"]["serial"].to_pylist())

    passed = {(row["serial"], row["station_id"]) for row in found["station_scans"].to_pylist() if row["serial"]}
    assert 0.02 < 1 - len(passed) / (4 * len(serials)) < 0.06
    serials.add(None)  # of a scanner that read nothing
    for name in ("station_scans", "inspections", "component_genealogy"):
        assert set(found[name]["serial"].to_pylist()) <= serials
        key = found[name].column_names[0]
        assert len(set(found[name][key].to_pylist())) == found[name].num_rows
    assert set(found["shipments"]["serial"].to_pylist()) <= serials - {None}
    orders = set(found["production_orders"]["order_id"].to_pylist())
    assert set(found["serials"]["order_id"].to_pylist()) <= orders


def test_a_later_look_only_adds_rows_and_ends_orders():
    plant = Plant(PLANT.seed, date(2026, 6, 11))
    now, later = (plant_calendar.at_clock(date(2026, 6, 12), hour) for hour in (12, 20))
    before, after = plant_mes.tables(plant, now), plant_mes.tables(plant, later)

    for name, table in before.items():
        old, new = ({tuple(r.values()) for r in t.to_pylist()} for t in (table, after[name]))
        if name == "production_orders":
            old, new = ({row[:3] for row in rows} for rows in (old, new))
        assert old <= new, name
    assert sum(t.num_rows for t in after.values()) > sum(t.num_rows for t in before.values())


def test_the_past_of_the_machines_is_what_they_would_have_shown(tmp_path):
    until = plant_calendar.at_clock(date(2026, 6, 2), 12)
    rows = plant_history.write(tmp_path / "h.parquet", PLANT, until)
    table = pq.read_table(tmp_path / "h.parquet")

    assert table.num_rows == rows and pc.max(table["observed_at"]).as_py() < until
    for tag_id in ("MCH-30.execution", "ASM-20.fault_code", "PKG-40.good_count", "MCH-30.drive_load_pct"):
        of = table.filter(pc.equal(table["tag_id"], tag_id))
        at = np.array([microseconds(t) for t in of["observed_at"].to_pylist()])
        values, quality = plant_shown.truth(tag_id, at)
        told = of["value"].to_pylist()
        assert told == list(values) if values.dtype == object else [float(v) for v in told] == list(values), tag_id
        assert not quality.any()
    good = table.filter(pc.equal(table["tag_id"], "PKG-40.good_count"))
    last = {}
    for at, value in zip(good["observed_at"].to_pylist(), good["value"].to_pylist(), strict=True):
        last[at] = int(value)
    early = plant_truth.by_shift(PLANT.start, PLANT.start).to_pylist()
    row = next(r for r in early if (r["station_id"], r["shift_id"]) == ("PKG-40", f"{PLANT.start}.1"))
    edge = plant_calendar.at_clock(PLANT.start, 14)
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

    assert len(sent[0]) == 9 * 8 and len(sent) > 10
    assert all(0 < len(more) < 36 for more in sent[1:])
    last: dict = {}
    for some in sent:
        assert not {k for k, v in some.items() if last.get(k) == v}
        last |= some
    end = moment(at + 120 * SECOND)
    assert last["PKG-40.good_count"] == shown("PKG-40", end).good_count
    assert last["ASM-10.execution"] == shown("ASM-10", end).execution
    assert abs(last["ASM-10.drive_load_pct"] - shown("ASM-10", end).drive_load_pct) <= 2
    assert not any(tag_id.startswith("MCH") for tag_id in last)  # those speak MTConnect


def test_the_lines_are_of_the_kinds_that_the_pack_knows():
    assert [line.vocabulary for line in LINES] == ["mtconnect", "packml", "line"]
    assert len(STATIONS) == 12 and {line.pacing for line in LINES} == {"MCH-40", "ASM-40", "PKG-40"}


def test_a_controller_that_does_not_answer_shows_nothing_and_loses_no_unit(tmp_path):
    day, station, second = next(
        (DAY + n * ONE_DAY, station, seconds[0])
        for n in range(200)
        for station in LINES[0].stations
        if len(seconds := np.flatnonzero(station_day(station, DAY + n * ONE_DAY).kind == Kind.UNAVAILABLE))
        and station_day(station, DAY + n * ONE_DAY).counted[:, seconds[0]].sum()
    )
    at = plant_calendar.starts_at(day) + timedelta(seconds=int(second))
    assert shown(station, at) == plant_shown.NOTHING
    for measurement in ("execution", "good_count", "vibration_mm_per_s"):
        (value,), (quality,) = plant_shown.truth(f"{station}.{measurement}", np.array([microseconds(at)]))
        assert quality == BAD_NO_DATA and (value is None or np.isnan(value))

    plant_history.write(tmp_path / "h.parquet", Plant(PLANT.seed, day), at + timedelta(minutes=2))
    table = pq.read_table(tmp_path / "h.parquet")
    of = table.filter(pc.equal(table["tag_id"], f"{station}.good_count")).to_pylist()
    before = shown(station, at - timedelta(seconds=1)).good_count
    assert [row["value"] for row in of if row["observed_at"] < at][-1] == str(before)
    assert [row["value"] for row in of if row["observed_at"] > at] == [None]


# The calendar


@pytest.fixture
def seeds(tmp_path, monkeypatch):
    """A copy of the pack's seeds that may be changed: file, old, new."""
    folder = tmp_path / "dbt" / "seeds" / plant_calendar.PACK
    shutil.copytree(catalog.DBT / "seeds" / plant_calendar.PACK, folder)
    monkeypatch.setattr(catalog, "DBT", tmp_path / "dbt")
    monkeypatch.setattr(catalog, "ROOT", tmp_path)

    def change(seed: str, old: str, new: str) -> None:
        path = folder / f"{plant_calendar.PACK}_{seed}.csv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        plant_calendar._in_second.cache_clear()

    return change


def test_on_a_holiday_the_plant_stands_and_nobody_writes_anything(seeds):
    ordinary = station_day("PKG-40", DAY).counted[:, -1].sum()
    seeds("holidays", "calendar,date,name\n", f"calendar,date,name\nriverside,{DAY},Trial\n")

    stands = station_day("PKG-40", DAY)
    assert ordinary > 3000 and set(stands.kind) == {Kind.FREE} and not stands.counted.any()
    assert shown("PKG-40", NOON).execution == "IDLE"
    days = plant_truth.by_shift(DAY - ONE_DAY, DAY + ONE_DAY).to_pylist()
    assert {row["shift_id"][:10] for row in days} == {str(DAY - ONE_DAY), str(DAY + ONE_DAY)}
    found = plant_mes.tables(Plant(PLANT.seed, DAY - ONE_DAY), plant_calendar.at_clock(DAY + ONE_DAY, 15))
    assert not [o for o in found["production_orders"].to_pylist() if o["order_id"].split("-")[1] == f"{DAY:%y%m%d}"]
    assert {row["shift_date"] for row in found["manual_counts"].to_pylist()} == {DAY - ONE_DAY, DAY + ONE_DAY}
    assert station_day("PKG-40", DAY + ONE_DAY).kind[0] != Kind.FREE


def test_a_shift_s_clock_that_is_changed_in_the_seed_changes_the_plant(seeds):
    """Early from 05:00, before the plant day begins, Late until 21:00, no Night: eight hours nobody works."""
    seeds("shifts", "1,Early,06:00,14:00", "1,Early,05:00,13:00")
    seeds("shifts", "2,Late,14:00,22:00", "2,Late,13:00,21:00")
    seeds("shifts", "riverside,2020-01-01,,Mon-Sun,3,Night,22:00,06:00\n", "")
    seeds("breaks", "riverside,2020-01-01,,Mon-Sun,3,Meal,02:00,02:30\n", "")
    seeds("breaks", "1,Meal,10:00,10:30", "1,Meal,09:00,09:45")

    found = station_day("PKG-40", DAY)
    hour = {h: Kind(found.kind[(h - 6) * 3600 + 1800]) for h in range(6, 30)}
    assert {h for h, kind in hour.items() if kind == Kind.FREE} == set(range(21, 29))
    assert set(found.kind[3 * 3600 : 3 * 3600 + 2700]) == {Kind.BREAK} and found.kind[4 * 3600 + 60] != Kind.BREAK
    rows = [row for row in plant_truth.by_shift(DAY, DAY).to_pylist() if row["station_id"] == "PKG-40"]
    assert [row["planned_operation_time_s"] for row in rows] == [8 * 3600] * 2
    assert rows[0]["planned_busy_time_s"] <= 8 * 3600 - 2700
    last_hour = station_day("PKG-40", DAY - ONE_DAY).counted[:, -3600:]
    made = (last_hour[:, -1] - last_hour[:, 0]).sum() + found.counted[:, 7 * 3600].sum()
    assert sum(rows[0][n] for n in ("good_units", "scrap_units", "rework_units")) == pytest.approx(made, abs=1)
    patterns = plant_mes.shift_patterns(DAY)
    assert [(p["shift"], p["starts_at"], p["ends_at"]) for p in patterns] == [
        (1, "05:00", "13:00"),
        (2, "13:00", "21:00"),
    ]


# Bearings that wear


def failing(station: str) -> plant_bearings.Bearing:
    """One that fails, and is not the first of its station."""
    until = datetime(2026, 12, 1, tzinfo=UTC)
    return [
        one for one in plant_bearings.bearings(station, PLANT.seed, until) if one.end == "failed" and one.number > 2
    ][3]


def running(station: str, day: date, row: int) -> np.ndarray:
    """A signal in the minutes before which the station produced without a pause."""
    kinds = station_day(station, day).kind.reshape(-1, 60)
    whole = (kinds == Kind.PRODUCE).all(axis=1)
    return signals(station, day)[row][1:][whole[:-1]]


def test_a_worn_bearing_runs_hotter_rougher_and_heavier_until_it_fails():
    """The day before it fails against the day before it began to wear, and against the new one's second day."""
    rises = []
    for station in ("MCH-10", "ASM-30", "PKG-20"):
        one = failing(station)
        sound, last = (plant_calendar.plant_day(at) - ONE_DAY for at in (one.onset_at, one.stopped_at))
        after = plant_calendar.plant_day(one.replaced_at) + ONE_DAY
        assert timedelta(days=3) < one.stopped_at - one.onset_at < timedelta(days=12)
        levels = [[float(np.median(running(station, day, row))) for row in range(3)] for day in (sound, last, after)]
        rises.append(np.array([levels[1], levels[1]]) - np.array([levels[0], levels[2]]))

    for rise in rises:
        assert (rise[:, 0] > 4).all() and (rise[:, 1] > 1).all(), rises
    assert (np.mean(rises, axis=0)[:, 2] > 2).all(), rises  # the load depends on the product too


def test_what_a_sound_drive_shows_depends_on_what_the_station_does():
    one = failing("MCH-20")
    day = plant_calendar.plant_day(one.fitted_at) + 3 * ONE_DAY
    kinds = station_day("MCH-20", day).kind.reshape(-1, 60)
    stands = (kinds != Kind.PRODUCE).all(axis=1)[:-1]
    shown_standing = signals("MCH-20", day)[:, 1:][:, stands]

    for row in (1, 2):
        produces = running("MCH-20", day, row)
        assert np.median(produces) > 4 * np.median(shown_standing[row])
        assert produces.std() > 2 * shown_standing[row].std()


def test_a_failure_stops_the_station_and_stands_in_the_books():
    one = failing("PKG-30")
    day = plant_calendar.plant_day(one.stopped_at)
    found = plant_mes.tables(Plant(PLANT.seed, day), plant_calendar.starts_at(day + 2 * ONE_DAY))
    (job,) = [w for w in found["work_orders"].to_pylist() if w["work_order_id"] == one.work_order_id]
    stops = [s for s in plant_truth.stops("PKG-30", day, day) if s.code == plant_bearings.CODE]
    (row,) = [
        r
        for r in plant_truth.bearings(day, day).to_pylist()
        if (r["station_id"], r["work_order_id"]) == ("PKG-30", one.work_order_id)
    ]

    assert job["kind"] == "corrective" and job["closed_at"] == one.replaced_at
    assert 3600 < sum(stop.seconds for stop in stops) <= (one.replaced_at - one.stopped_at).total_seconds() + 600
    assert row["failed_at"] == one.stopped_at and row["lead_s"] == (one.stopped_at - one.onset_at).total_seconds()
    logged = {entry["reason_code"] for entry in found["manual_log"].to_pylist() if entry["station_id"] == "PKG-30"}
    assert plant_bearings.CODE in logged


def test_two_months_hold_failures_enough_to_learn_from_and_some_that_were_prevented():
    rows = plant_truth.bearings(date(2026, 10, 1), date(2026, 11, 29)).to_pylist()

    assert sum(row["end"] == "failed" for row in rows) >= 12 and {row["end"] for row in rows} >= {"replaced_worn"}
    assert {row["station_id"] for row in rows} == set(STATIONS)
    assert all(row["lead_s"] is None for row in rows if row["end"] != "failed")
