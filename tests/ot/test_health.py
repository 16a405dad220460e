"""`ot.tag_health` is what the readings and gaps of each hour say, whenever they came."""

from datetime import UTC, datetime, timedelta

import pytest

from include import lakehouse
from include.lakehouse_upkeep import compact
from include.ot import gaps, health, tables
from include.ot.reading import BAD_NO_COMMUNICATION, UNCERTAIN, gap
from include.ot.tags import Tag
from tests.ot.lake_trial import SECOND, empty_spool, reading, rows_of

pytestmark = pytest.mark.platform

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)  # in the past, whatever the clock says
HOUR = timedelta(hours=1)


@pytest.fixture
def spool(lake_platform, tmp_path, monkeypatch):
    """Two tags are declared; the lake says when a commit was made as of the time that a trial measures silence at."""
    declared = (
        Tag("A.pressure", "x/a/pressure", "A", "pressure", "field_scada", "", "double", "psi", 0.0, 100.0, owner="jo"),
        Tag("B.pressure", "x/b/pressure", "B", "pressure", "field_rtu", "", "double", "psi"),
    )
    monkeypatch.setattr(health, "tags", lambda: declared)
    monkeypatch.setattr(health, "_committed_at", lambda _: None)
    yield from empty_spool(tmp_path / "spool")


def of(tag_id: str, hour: datetime = NOON) -> dict:
    (row,) = [row for row in rows_of(tables.TAG_HEALTH_TABLE) if (row["tag_id"], row["hour_at"]) == (tag_id, hour)]
    return row


def counts(tag_id: str, hour: datetime = NOON) -> tuple:
    row = of(tag_id, hour)
    return tuple(row[name] for name in ("readings", "good", "uncertain", "bad", "out_of_range"))


def test_an_hour_of_a_tag_is_counted_by_quality_and_range(spool):
    told = [(10.0, 0), (150.0, 0), (-1.0, UNCERTAIN), (500.0, BAD_NO_COMMUNICATION), (20.0, 0)]
    spool.seal([reading("A.pressure", NOON + n * 600 * SECOND, value, quality=q) for n, (value, q) in enumerate(told)])
    spool.seal([reading("C.pressure", NOON + 59 * 60 * SECOND, 7.0), reading("A.pressure", NOON + HOUR, 1.0)])
    spool.drain()

    found = health.update(NOON + HOUR)

    assert counts("A.pressure") == (5, 3, 1, 1, 2)  # a bad one is in no range
    assert counts("A.pressure", NOON + HOUR) == (1, 1, 0, 0, 0)
    assert (of("A.pressure")["last_observed_at"], of("A.pressure")["last_value_double"]) == (NOON + 2400 * SECOND, 20.0)
    assert [of(tag)["is_declared"] for tag in ("A.pressure", "B.pressure", "C.pressure")] == [True, True, False]
    assert [of(tag)["is_stale"] for tag in ("A.pressure", "B.pressure", "C.pressure")] == [True, True, False]
    assert counts("B.pressure") == (0, 0, 0, 0, 0)
    assert found.tags == 2  # of the hour that runs: C has nothing in it yet
    assert "C.pressure" in {row["tag_id"] for row in rows_of(tables.TAG_HEALTH_TABLE)}


def test_silence_is_measured_when_the_hour_ends_or_at_the_look(spool):
    spool.seal([reading("A.pressure", NOON - 60 * SECOND), reading("B.pressure", NOON + 1000 * SECOND)])
    spool.drain()

    health.update(NOON + 300 * SECOND)
    assert (of("A.pressure")["is_stale"], of("A.pressure")["readings"]) == (
        False,
        0,
    )  # 6 minutes, over the hour's start
    health.update(NOON + 1200 * SECOND)
    assert (of("A.pressure")["is_stale"], of("B.pressure")["is_stale"]) == (True, False)
    health.update(NOON + HOUR + 100 * SECOND)
    assert (of("A.pressure")["is_stale"], of("B.pressure")["is_stale"]) == (True, True)


def test_a_steady_tag_of_a_source_that_is_heard_is_not_stale_unless_it_is_silent_for_longer_than_it_may(
    spool, monkeypatch, capsys
):
    now = datetime.now(UTC)
    begun = now.replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    choke, heart, other = (
        Tag(f"A.{name}", f"x/a/{name}", "A", name, "field_scada", "", "double", "1", silence_s=silence_s)
        for name, silence_s in (("choke", None), ("heartbeat", 2400.0), ("pressure", None))
    )
    monkeypatch.setattr(health, "tags", lambda: (choke, heart, other))
    spool.seal([reading(tag.tag_id, begun) for tag in (choke, heart)])
    spool.seal([reading("A.pressure", begun + n * 300 * SECOND) for n in range(12)])
    spool.drain()

    health.update(begun + 2100 * SECOND)
    assert [of(tag.tag_id, begun)["is_stale"] for tag in (choke, heart, other)] == [False, False, False]
    health.update(begun + 2700 * SECOND)
    assert [of(tag.tag_id, begun)["is_stale"] for tag in (choke, heart, other)] == [False, True, False]
    told = {one.tag_id: one.what for one in health.conditions(begun + HOUR)}
    assert told == {"A.choke": "", "A.heartbeat": "silent for 60 min", "A.pressure": ""}
    health.update(begun + 2 * HOUR)
    assert {of(tag.tag_id, begun + HOUR)["is_stale"] for tag in (choke, heart, other)} == {True}
    told = {one.tag_id: one.what for one in health.conditions(begun + 2 * HOUR)}
    assert told["A.choke"] == "source field_scada silent for 65 min"


def test_a_plant_that_is_silent_as_a_whole_is_seen_to_be(spool):
    spool.seal([reading("A.pressure", NOON)])
    spool.drain()
    health.update(NOON + 60 * SECOND)

    found = health.update(NOON + 5 * HOUR + 60 * SECOND)

    assert (found.tags, found.stale) == (2, 2)
    assert [of("A.pressure", NOON + n * HOUR)["is_stale"] for n in range(6)] == [True] * 5 + [True]


def test_late_data_counts_in_the_hour_that_it_is_of(spool):
    spool.seal([reading("A.pressure", NOON + n * SECOND, float(n)) for n in range(3)])
    spool.drain()
    health.update(NOON + 60 * SECOND)
    spool.seal([reading("A.pressure", NOON - 30 * HOUR + n * SECOND, 50.0) for n in range(4)])
    spool.drain()

    found = health.update(NOON + 120 * SECOND)

    assert found.hours == 3  # the late one, the one that runs, and the one before it
    assert counts("A.pressure", NOON - 30 * HOUR) == (4, 4, 0, 0, 0)
    assert counts("A.pressure") == (3, 3, 0, 0, 0)


def test_counting_again_changes_nothing_and_merged_files_are_no_news(spool):
    for n in range(6):
        spool.seal([reading("A.pressure", NOON - 5 * HOUR + n * SECOND, float(n))])
        spool.drain()
    health.update(NOON)
    before = rows_of(tables.TAG_HEALTH_TABLE, "hour_at", "tag_id")
    compact(tables.READINGS_TABLE)

    found = health.update(NOON)

    assert found.hours == 2
    assert rows_of(tables.TAG_HEALTH_TABLE, "hour_at", "tag_id") == before
    lakehouse.catalog().drop_table(tables.TAG_HEALTH_TABLE)  # all is counted anew where nothing is known
    health.update(NOON)
    assert rows_of(tables.TAG_HEALTH_TABLE, "hour_at", "tag_id") == before


def test_many_hours_are_replaced_in_several_commits(spool, monkeypatch):
    monkeypatch.setattr(health, "HOURS", 7)
    spool.seal([reading("A.pressure", NOON - n * HOUR, float(n)) for n in range(20)])
    spool.drain()

    found = health.update(NOON)

    assert found.hours == 20
    assert [counts("A.pressure", NOON - n * HOUR)[0] for n in range(20)] == [1] * 20


def test_gaps_count_once_where_they_overlap_and_not_when_they_are_filled(spool):
    ids = ["A.pressure", "B.pressure"]
    first = gap("field_scada", ids, NOON - 600 * SECOND, NOON + 600 * SECOND, "connection_lost")
    second = gap("field_scada", ids[:1], NOON + 300 * SECOND, NOON + 900 * SECOND, "queue_overflow")
    third = gap("field_scada", ids[:1], NOON + 400 * SECOND, NOON + 500 * SECOND, "queue_overflow")
    spool.seal([reading("A.pressure", NOON)], [first, second, third])
    spool.drain()

    health.update(NOON + HOUR)
    assert [of(tag, NOON)["gap_s"] for tag in ids] == [900.0, 600.0]
    assert [of(tag, NOON - HOUR)["gap_s"] for tag in ids] == [600.0, 600.0]

    filled = gaps.one(first.gap_id)
    gaps.settle(gaps.state_rows(filled, ids, "backfilled"))
    health.update(NOON + HOUR)
    assert [of(tag, NOON)["gap_s"] for tag in ids] == [600.0, 0.0]
    assert [of(tag, NOON - HOUR)["gap_s"] for tag in ids] == [0.0, 0.0]


def test_on_call_sees_the_worst_first(spool, monkeypatch, capsys):
    now = datetime.now(UTC)
    spool.seal([reading("A.pressure", now - 5 * SECOND, 150.0), reading("C.pressure", now - 2 * HOUR, 1.0)])
    spool.drain()

    assert health.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    spool.seal([reading("A.pressure", now, 50.0), reading("B.pressure", now, quality=BAD_NO_COMMUNICATION)])
    spool.drain()
    assert health.main(["--all"]) == 0
    later = capsys.readouterr().out.splitlines()

    assert [line.split()[0] for line in lines[1:-1]] == ["B.pressure", "C.pressure", "A.pressure"]
    assert "not seen for two days" in lines[1] and "silent for 2 hours; in no dictionary" in lines[2]
    assert "150.0 psi" in lines[3] and "1 out of range" in lines[3] and "jo" in lines[3]
    assert lines[-1].startswith("3 tags, 0 well")
    assert "0x80310000" in later[2] and "100% bad" in later[2]
