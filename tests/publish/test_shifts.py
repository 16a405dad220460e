"""A pack that closes shifts publishes, restates and rolls back by the same code as one that closes days."""

from datetime import UTC, date, datetime

import pytest

from include import catalog
from include.errors import DeclarationError, PublishError
from include.ops.store import read
from include.publish.freeze import freeze
from include.publish.publish import publish
from include.publish.rollback import roll_back
from include.publish.seal import close_rows, live
from tests.publish.tiny_plant import DAY, PACK, build, published

pytestmark = pytest.mark.platform


def test_a_shift_replaces_itself_alone(plant):
    for shift, good in ((1, 10), (2, 20), (3, 30)):
        publish(build(plant, f"{DAY}.{shift}", {f"{DAY}.{shift}": good}))

    publish(build(plant, f"{DAY}.2", {f"{DAY}.2": 25}))

    assert published(plant) == {f"{DAY}.1": 20, f"{DAY}.2": 50, f"{DAY}.3": 60}
    rows = close_rows(PACK, plant, date(2026, 1, 31), date(2026, 1, 31))
    assert {key: sealed.version for key, sealed in live(rows).items()} == {
        f"{DAY}.1@{plant}": 1,
        f"{DAY}.2@{plant}": 2,
        f"{DAY}.3@{plant}": 1,
    }


def test_only_the_restated_shift_has_restatements(plant):
    publish(build(plant, f"{DAY}.1", {f"{DAY}.1": 10}))
    publish(build(plant, f"{DAY}.2", {f"{DAY}.2": 20}))

    second = build(plant, DAY, {f"{DAY}.1": 10, f"{DAY}.2": 21, f"{DAY}.3": 30}, last=DAY)
    done = publish(second)

    assert done.restatements == 2  # line 1 and line 2 of shift 2; shift 3 was never published
    rows = read("restatements", run_id=second.run_id)
    assert {(r["close_key"], r["old_value"], r["new_value"], r["version"]) for r in rows} == {
        (f"{DAY}.2@{plant}", "20", "21", 2)
    }
    assert published(plant) == {f"{DAY}.1": 20, f"{DAY}.2": 42, f"{DAY}.3": 60}


def test_a_date_is_all_of_its_shifts_and_a_range_has_a_seal_each(plant):
    close = build(plant, f"{DAY}.3", {f"{DAY}.3": 1, "2026-02-01.1": 2}, last="2026-02-01.1")

    publish(close)

    assert close.label == f"{DAY}.3…2026-02-01.1@{plant}"
    assert list(close.keys) == [f"{DAY}.3@{plant}", f"2026-02-01.1@{plant}"]
    seals = read("closes", run_id=close.run_id, state="published")
    assert [s["control_totals"] for s in sorted(seals, key=lambda s: s["close_key"])] == [
        '{"fct_line_shift":{"good_units":"2"}}',
        '{"fct_line_shift":{"good_units":"4"}}',
    ]
    assert list(freeze(PACK, plant, DAY, DAY, f"{plant}.day", "test").keys) == [f"{DAY}.{n}@{plant}" for n in (1, 2, 3)]


def test_a_shift_is_rolled_back_and_its_neighbours_stay(plant):
    for shift in (1, 2, 3):
        publish(build(plant, f"{DAY}.{shift}", {f"{DAY}.{shift}": shift}))
    publish(build(plant, DAY, {f"{DAY}.{n}": 10 * n for n in (1, 2, 3)}))

    roll_back(PACK, f"{DAY}.2@{plant}", "jo", "the counter was reset")

    assert published(plant) == {f"{DAY}.1": 20, f"{DAY}.2": 4, f"{DAY}.3": 60}
    roll_back(PACK, f"{DAY}.2@{plant}", "jo", "and once more")
    assert published(plant) == {f"{DAY}.1": 20, f"{DAY}.3": 60}


def test_a_cleared_close_keeps_the_clock_of_its_shift(plant):
    """The pattern is changed after the freeze: the run keeps the clock, a new run has the new one."""
    close = build(plant, f"{DAY}.1", {f"{DAY}.1": 1}, run_id=f"{plant}.kept")
    seeds = catalog.DBT / "seeds" / PACK / f"{PACK}_shifts.csv"
    seeds.write_text(seeds.read_text().replace("06:00,14:00", "07:00,14:00"))

    again = freeze(PACK, plant, f"{DAY}.1", f"{DAY}.1", f"{plant}.kept", "test")

    assert again.periods == close.periods
    assert again.periods[0].starts_at == datetime(2026, 1, 31, 12, tzinfo=UTC)  # 06:00 Central
    new = freeze(PACK, plant, f"{DAY}.1", f"{DAY}.1", f"{plant}.new", "the clock was changed")
    assert new.periods[0].starts_at == datetime(2026, 1, 31, 13, tzinfo=UTC)
    assert new.keys == {f"{DAY}.1@{plant}": 2}


def test_what_is_no_shift_of_the_calendar_is_refused(plant):
    with pytest.raises(DeclarationError, match=r"no shift 2026-01-31\.4"):
        freeze(PACK, plant, f"{DAY}.4", f"{DAY}.4", f"{plant}.x", "test")
    with pytest.raises(PublishError, match=r"Write it as 2026-11-23 or, for a shift, 2026-11-23\.3"):
        freeze(PACK, plant, "night", "night", f"{plant}.x", "test")
    with pytest.raises(PublishError, match="Swap FROM and TO"):
        freeze(PACK, plant, f"{DAY}.3", f"{DAY}.1", f"{plant}.x", "test")
    with pytest.raises(PublishError, match="is not a close key"):
        roll_back(PACK, f"night@{plant}", "jo", "test")
