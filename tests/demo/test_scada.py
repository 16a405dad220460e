"""The simulated plant: its truth is one for everybody, fits the operator, and what is lost or wrong is found."""

import struct
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from demo import scada
from demo.modbus_simulator import words_of
from demo.opcua_simulator import kept_times
from demo.operator import Config, operate
from demo.scada import DAY, HOUR, QUARTER, SECOND, World, microseconds, moment, truth
from demo.scada_compare import Stored, compare_tag, true_at
from demo.scada_tags import AGENT_SOURCE, PLANT_SOURCE, files, line_rows, registers, well_rows
from demo.simulators import Runs, read_runs
from include.ot.sources import source
from include.ot.tags import tags

CONFIG = Config(seed=20, start=date(2024, 11, 24), days=730, wells=66)
WORLD = World(CONFIG)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROWS = {row.tag_id: row for row in (*well_rows(), *line_rows())}


def seconds_from(at: datetime, count: int) -> np.ndarray:
    return microseconds(at) + np.arange(count) * SECOND


def test_the_committed_dictionaries_are_those_of_the_wells():
    differing = [path.name for path, text in files().items() if path.read_text() != text]

    assert not differing, "run: python -m demo.scada_tags"


def test_every_tag_of_the_demo_can_be_read_by_the_mirror():
    read = ("field_scada", "field_rtu", PLANT_SOURCE, AGENT_SOURCE)
    assert {t.tag_id for t in tags() if t.source in read} == set(ROWS)


def test_an_injector_has_no_oil_and_a_producer_no_injection():
    named = {(row.asset_id, row.measurement) for row in well_rows()}

    assert ("MES-24", "water_injection_rate") in named and ("MES-24", "oil_rate") not in named
    assert ("MES-01", "oil_rate") in named and ("MES-01", "water_injection_rate") not in named


def test_the_bridge_reads_the_registers_where_the_simulator_keeps_them():
    from include.ot.modbus_map import map_of

    declared = map_of(source("field_rtu")).registers

    for r in registers():
        there = declared[r.tag_id]
        assert (there.unit_id, there.function, there.offset) == (r.unit_id, r.function, r.offset), r.tag_id


@pytest.mark.parametrize(
    ("tag_id", "words"),
    [("EAG-01.oil_rate", (0x42F7, 0x3333)), ("MES-01.oil_rate", (0x3333, 0x42F7)), ("NOR-01.oil_rate", (0, 12360))],
)
def test_each_field_lays_a_value_out_as_its_maker_does(tag_id, words):
    register = next(r for r in registers() if r.tag_id == tag_id)

    assert words_of(register, 123.6) == words
    assert struct.unpack(">f", struct.pack(">HH", 0x42F7, 0x3333))[0] == pytest.approx(123.6)


def test_truth_does_not_depend_on_how_it_is_asked():
    at = seconds_from(NOON, 600)
    farsighted = World(CONFIG)
    truth("MES-01.oil_rate", NOON + timedelta(days=40), farsighted)

    for tag_id in ("MES-01.oil_rate", "EAG-03.casing_pressure", "NOR-02.tubing_head_temperature"):
        values, _ = truth(tag_id, at, WORLD)
        again, _ = truth(tag_id, at, farsighted)
        one_by_one = [truth(tag_id, moment(t), WORLD)[0] for t in at[::60]]
        assert (values == again).all() and values[::60].tolist() == one_by_one


def test_a_well_is_down_exactly_when_the_operator_says_so():
    operator = operate(CONFIG, NOON)
    zero = microseconds(operator.days.zero)
    latest = operator.downtime.grid.shape[1] - 96
    full = operator.downtime.events.query(
        "asset < 48 and fraction == 1 and end < @latest", local_dict={"latest": latest}
    )
    for _, event in full.tail(3).iterrows():
        well = operator.network.well_ids[event["asset"]]
        down = operator.downtime.grid[event["asset"]] == 1
        first = last = event["start"]
        while down[first - 1]:
            first -= 1
        while down[last]:
            last += 1
        start, end = zero + first * QUARTER, zero + last * QUARTER
        at = np.array([start - SECOND, start, end - SECOND, end])
        running, _ = truth(f"{well}.is_running", at, WORLD)
        oil, _ = truth(f"{well}.oil_rate", at, WORLD)
        assert running.tolist() == [1, 0, 0, 1]
        assert oil[0] > 0 and oil[1] == oil[2] == 0


@pytest.mark.parametrize(("well", "per_hour"), [("MES-02", 24), ("EAG-22", 24), ("NOR-05", 1)])
def test_rates_add_up_to_the_true_volume_of_the_contract_day(well, per_hour):
    operator = operate(CONFIG, NOON)
    n = operator.network.well_ids.index(well)
    edges = operator.days.edges[operator.network.field[n]]
    day = operator.days.completed[operator.network.field[n]] - 1
    at = np.arange(edges[day], edges[day + 1]) * QUARTER + microseconds(operator.days.zero)
    at = (at[:, None] + np.arange(0, 900, 10) * SECOND).ravel()

    volume = truth(f"{well}.oil_rate", at, WORLD)[0].sum() * 10 / 3600 / per_hour
    hours = truth(f"{well}.is_running", at, WORLD)[0].sum() * 10 / 3600

    assert volume == pytest.approx(operator.result.true["oil"][day, n] / 1000, rel=0.01)
    assert hours == operator.downtime.hours_on[day, n]


def test_pressures_are_told_in_the_unit_of_the_field():
    us, _ = truth("MES-01.tubing_head_pressure", NOON, WORLD)
    metric, _ = truth("NOR-01.tubing_head_pressure", NOON, WORLD)

    assert 400 < us < 1500 and 30 < metric < 100


def test_sick_instruments_show_it_and_sound_ones_do_not():
    at = seconds_from(NOON, 8 * 3600)[::10]
    nan, code = truth("EAG-07.casing_pressure", at, WORLD)
    assert 0 < np.isnan(nan).sum() < len(at) / 4 and (code == scada.GOOD).all()

    dead, code = truth("NOR-08.casing_pressure", at, WORLD)
    assert ((code == scada.BAD_SENSOR) == np.isnan(dead)).all() and np.isnan(dead).any()

    vague, code = truth("EAG-15.choke_opening", at, WORLD)
    assert (code == scada.UNCERTAIN_SENSOR).any() and not np.isnan(vague).any()

    night = microseconds(NOON) // DAY * DAY + np.arange(0, DAY, 60 * SECOND)
    stuck, _ = truth("NOR-03.tubing_head_pressure", night, WORLD)
    assert len(set(stuck[120:300])) == 1 and len(set(stuck[300:])) > 100

    sound, code = truth("EAG-01.casing_pressure", at, WORLD)
    assert (code == scada.GOOD).all() and not np.isnan(sound).any()


def test_an_operator_that_was_loaded_anew_takes_over_and_the_past_stays(monkeypatch, tmp_path):
    loaded = [None, replace(CONFIG, start=date(2025, 1, 1))]
    monkeypatch.setattr(scada, "journal_path", lambda: tmp_path / "scada.json")
    monkeypatch.setattr(scada, "_loaded", lambda: loaded[0])
    monkeypatch.setattr(scada, "history", lambda: (CONFIG, NOON))
    scada.remember_operator()
    before = truth("MES-01.oil_rate", NOON)

    loaded.pop(0)
    scada.remember_operator()
    scada.remember_operator()
    first, second = scada.operators()

    assert (first.since, first.config, second.config) == (0, CONFIG, loaded[0])
    assert truth("MES-01.oil_rate", NOON) == before
    assert truth("MES-01.oil_rate", moment(second.since)) == truth(
        "MES-01.oil_rate", moment(second.since), World(loaded[0])
    )


# What the simulators leave behind


def test_a_killed_simulator_is_known_to_have_been_up_until_its_last_second(tmp_path):
    runs = Runs(tmp_path / "runs.txt")
    runs.begin(100 * SECOND)
    runs.reach(101 * SECOND)
    again = Runs(tmp_path / "runs.txt")  # the first one never closed anything
    again.begin(200 * SECOND)
    again.reach(205 * SECOND)

    expected = [(100 * SECOND, 101 * SECOND), (200 * SECOND, 205 * SECOND)]
    assert list(read_runs(tmp_path / "runs.txt")) == list(again.all()) == expected


def test_history_has_every_change_of_a_run_and_ten_minutes_of_the_rest():
    tag_id, up = "MES-01.tubing_head_pressure", (microseconds(NOON) + HOUR + 7 * SECOND, microseconds(NOON) + 2 * HOUR)

    kept = kept_times(tag_id, microseconds(NOON), microseconds(NOON) + 3 * HOUR, [up])

    within = kept[(kept >= up[0]) & (kept <= up[1])]
    every = np.arange(up[0], up[1] + 1, SECOND)
    values, _ = truth(tag_id, every)
    changed = every[1:][np.diff(values) != 0]
    assert within.tolist() == [up[0], *changed.tolist()]
    assert [(t - microseconds(NOON)) // (600 * SECOND) for t in kept if t < up[0]] == [0, 1, 2, 3, 4, 5, 6]
    assert all(t % (600 * SECOND) == 0 for t in kept if t > up[1])


# Comparing


def stored_of(tag_id: str, at: np.ndarray, is_source_clock: bool = True) -> Stored:
    values, quality = true_at(tag_id, at)
    return Stored(at.copy(), values.copy(), quality.copy(), np.full(len(at), is_source_clock))


def compared(tag_id: str, stored: Stored, gaps=(), slack_s: int = 0, since: datetime = NOON):
    window = microseconds(since), microseconds(since) + 600 * SECOND
    return compare_tag(ROWS[tag_id], stored, [window], gaps, *window, slack_s)


@pytest.mark.parametrize(
    "tag_id", ["MES-01.oil_rate", "EAG-07.casing_pressure", "PKG-40.execution", "PKG-40.good_count"]
)
def test_a_faithful_mirror_is_found_faithful(tag_id):
    found = compared(tag_id, stored_of(tag_id, seconds_from(NOON, 600)))

    assert (found.readings, found.different, found.off_s) == (600, 0, 0)


def test_a_changed_value_and_a_changed_quality_are_found():
    stored = stored_of("MES-01.oil_rate", seconds_from(NOON, 600))
    stored.value[7] += 0.2
    stored.quality[9] = 0x40000000

    assert compared("MES-01.oil_rate", stored).different == 2


def test_a_lost_reading_is_found_unless_its_gap_was_recorded():
    runs = NOON + timedelta(hours=2)
    at = seconds_from(runs, 600)
    stored = stored_of("PKG-40.good_count", at[(at < at[100]) | (at > at[400])])

    lost = compared("PKG-40.good_count", stored, since=runs)
    told = compared("PKG-40.good_count", stored, gaps=[(int(at[99]), int(at[401]))], since=runs)

    assert lost.off_s > 60 and lost.excused_s == 0
    assert told.off_s == 0 and told.excused_s == lost.off_s


def test_what_moves_less_than_the_deadband_is_not_missed():
    stored = stored_of("MES-01.choke_opening", seconds_from(NOON, 1))

    assert compared("MES-01.choke_opening", stored).off_s == 0


def test_a_polled_value_may_be_a_moment_old_but_not_more():
    at = seconds_from(NOON, 600)
    stored = stored_of("MES-01.oil_rate", at, is_source_clock=False)
    moments_later = replace(stored, at=stored.at + 1_700_000)
    much_later = replace(stored, at=stored.at + 9_700_000)

    assert compared("MES-01.oil_rate", moments_later, slack_s=5).different == 0
    assert compared("MES-01.oil_rate", much_later, slack_s=5).different > 0


def test_time_without_communication_is_told_apart_from_wrong_readings():
    stored = stored_of("MES-01.oil_rate", seconds_from(NOON, 600))
    cut = slice(200, 600)
    stored.value[cut], stored.quality[cut], stored.is_source_clock[cut] = np.nan, 0x80310000, False

    found = compared("MES-01.oil_rate", stored)

    assert (found.different, found.off_s, found.away_s) == (0, 0, 400)
