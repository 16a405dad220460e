"""A gap is told once, by tag, and somebody says what becomes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.ot import gaps, lake, tables
from include.ot.gaps import OpenGap
from include.ot.reading import Gap, gap
from tests.ot.lake_trial import SECOND, empty_spool, ordinals, readings, rows_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=9)


@pytest.fixture
def spool(lake_platform, tmp_path):
    yield from empty_spool(tmp_path / "spool")


def a_gap(*tag_ids: str, source: str = "field_scada", cause: str = "connection_lost", minute: int = 0) -> Gap:
    return gap(source, tag_ids or ["T0"], NOON + minute * 60 * SECOND, NOON + (minute * 60 + 30) * SECOND, cause)


def states() -> list[tuple[str, str, str]]:
    return [(row["tag_id"], row["state"], row["reason"]) for row in rows_of(tables.GAPS_TABLE, "recorded_at", "tag_id")]


@pytest.mark.platform
def test_a_gap_told_twice_is_one_and_its_parts_are_one_gap(spool):
    whole = a_gap("T0", "T1", "T2")
    first, second = replace(whole, tag_ids=("T0", "T1")), replace(whole, tag_ids=("T2",))
    spool.seal(readings(3, NOON), [first, whole])
    spool.drain()
    spool.seal((), [second, first])
    spool.seal((), [a_gap("T9", minute=5)])
    done = spool.drain()

    assert (done.rows, done.segments, done.gaps) == (0, 2, 1)  # a segment may hold gaps alone
    assert [tag for tag, _, _ in states()] == ["T0", "T1", "T2", "T9"]
    found = {one.gap_id: one for one in gaps.open_gaps()}
    assert found[whole.gap_id].tag_ids == ("T0", "T1", "T2")
    assert (found[whole.gap_id].from_at, found[whole.gap_id].cause) == (NOON, "connection_lost")
    assert [one.to_at for one in gaps.open_gaps()] == sorted((g.to_at for g in found.values()), reverse=True)


@pytest.mark.platform
def test_gaps_of_sources_without_a_history_are_lost_and_say_why(spool):
    spool.seal((), [a_gap("T0", source="field_rtu"), a_gap("T1"), a_gap("T2", source="sold_long_ago")])
    spool.drain()

    due = gaps.due(LATER, limit=9)

    assert [one.source for one in due] == ["field_scada"]
    assert ("T0", "lost", "field_rtu keeps no history (modbus)") in states()
    assert [one.source for one in gaps.open_gaps()] == ["field_scada", "sold_long_ago"]
    assert "its source is not declared" in gaps.as_text(gaps.open_gaps())
    assert ordinals() == [1, 2]  # a state has an ordinal of its own: a close that froze before does not see it


@pytest.mark.platform
def test_the_latest_gaps_come_first_and_those_tried_before_come_last(spool):
    told = [a_gap(minute=n) for n in range(4)]
    spool.seal((), told)
    spool.drain()
    tried = gaps.one(told[3].gap_id)
    gaps.settle(gaps.state_rows(tried, tried.tag_ids, "open", "no answer"))

    assert [one.gap_id for one in gaps.due(LATER + timedelta(days=999), limit=3)] == [g.gap_id for g in told[2::-1]]
    assert gaps.one(told[3].gap_id).tries == 1
    assert gaps.one(told[3].gap_id).reason == "no answer"


@pytest.mark.platform
def test_on_call_sees_the_open_gaps_and_dismisses_one(spool, capsys):
    told = a_gap("T0", "T1")
    spool.seal((), [told])
    spool.drain()

    assert gaps.main(["list"]) == 0
    assert f"{told.gap_id}  field_scada connection_lost 2026-11-24 12:00:00 to" in capsys.readouterr().out
    assert gaps.main(["dismiss", told.gap_id, "--who", "jo", "--why", "the plant stood still"]) == 0
    capsys.readouterr()

    assert gaps.main(["list"]) == 0
    assert capsys.readouterr().out.strip() == "No gap is open"
    assert states()[2:] == [(tag, "dismissed", "jo: the plant stood still") for tag in ("T0", "T1")]
    assert gaps.main(["dismiss", told.gap_id, "--who", "jo", "--why", "again"]) == 1
    assert "is open" in capsys.readouterr().err


@pytest.mark.platform
def test_a_state_is_recorded_beside_a_drain_that_is_always_faster(spool, monkeypatch):
    told = a_gap("T0")
    spool.seal((), [told])
    spool.drain()
    position, meanwhile = lake.position, []

    def a_drain_is_faster(readings_table):
        found = position(readings_table)
        if len(meanwhile) < 3:
            meanwhile.append(True)
            spool.seal(readings(3, NOON + len(meanwhile) * timedelta(hours=1)))
            monkeypatch.setattr(lake, "position", position)
            spool.drain()
            monkeypatch.setattr(lake, "position", a_drain_is_faster)
        return found

    monkeypatch.setattr(lake, "position", a_drain_is_faster)
    gaps.dismiss(told.gap_id, "jo", "none")

    assert len(meanwhile) == 3
    assert gaps.open_gaps() == []
    assert ordinals() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("tries", "pause"), [(1, "0:02"), (2, "0:04"), (3, "0:08"), (8, "4:16"), (9, "6:00"), (99, "6:00")]
)
def test_a_gap_that_could_not_be_filled_is_tried_less_and_less_often(tries, pause):
    one = OpenGap("g", "field_scada", "connection_lost", NOON, NOON + SECOND, ("T0",), tries, NOON)
    hours, minutes = map(int, pause.split(":"))

    assert one.due_at == NOON + timedelta(hours=hours, minutes=minutes)


def test_a_gap_that_nobody_tried_is_due_when_it_is_over():
    assert OpenGap("g", "field_scada", "first_seen", NOON, NOON + SECOND, ("T0",)).due_at == NOON + SECOND
