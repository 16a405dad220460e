"""A gap is filled from history once, whatever is killed, and beside a drain that goes on."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include import lakehouse
from include.errors import NoHistory, OtError
from include.ot import backfill, gaps, lake, tables
from include.ot.reading import GOOD, Reading, Sample, gap
from include.ot.tags import Tag, tags
from include.settings import postgres_dsn
from tests.ot.lake_trial import SECOND, empty_spool, in_the_table, ordinals, rows_of

pytestmark = pytest.mark.platform

NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
TAGS = sorted(tag.tag_id for tag in tags("field_scada"))[:3]
END = NOON + timedelta(minutes=1)


@pytest.fixture
def spool(lake_platform, tmp_path):
    yield from empty_spool(tmp_path / "spool")


@pytest.fixture
def run(request) -> str:
    """A run's name, of the trial alone: leases know it."""
    return request.node.name


class History:
    """A source that remembers a value a second of each tag; `breaks` after so many samples, once."""

    def __init__(self, monkeypatch, *, without: Sequence[str] = (), breaks: int | None = None, during=None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.without, self.breaks, self.during = without, breaks, during
        monkeypatch.setattr("include.ot.opcua_history.history", self)

    async def __call__(self, source, wanted: Sequence[Tag], from_at: datetime, to_at: datetime):
        self.asked.append(tuple(tag.tag_id for tag in wanted))
        told = 0
        for tag in wanted:
            if tag.tag_id in self.without:
                continue
            at = from_at
            while at <= to_at:
                if told == self.breaks:
                    self.breaks = None
                    raise ConnectionRefusedError("[Errno 111] Connect call failed")
                told += 1
                yield Sample(tag.tag_id, float((at - NOON).total_seconds()), GOOD, at, at, datetime.now(UTC))
                at += SECOND
        if self.during:
            self.during()
        if self.without:
            raise NoHistory("no history of 1 tags", dict.fromkeys(self.without, "the node keeps no history"))


def live(tag_id: str, second: int, value: float | None = None) -> Reading:
    at = NOON + second * SECOND
    value = float(second) if value is None else value
    return Reading(tag_id, value, None, None, GOOD, at, "source", None, at, 0, "psi")


def open_gap(spool, *known: Reading, tag_ids: Sequence[str] = TAGS) -> str:
    told = gap("field_scada", tag_ids, NOON, END, "connection_lost")
    spool.seal(known, [told])
    spool.drain()
    return told.gap_id


def states() -> dict[str, tuple[str, int]]:
    found = rows_of(tables.GAPS_TABLE, "_ordinal", "recorded_at")
    return {row["tag_id"]: (row["state"], row["recovered_rows"]) for row in found}


def test_a_gap_is_filled_and_what_is_known_is_not_doubled(spool, run, monkeypatch):
    History(monkeypatch)
    gap_id = open_gap(spool, live(TAGS[0], 0), live(TAGS[0], 60), live(TAGS[1], 30, 99.0))

    done = backfill.backfill(gap_id, run)

    assert (done.recovered, done.filled, done.lost, done.left) == (3 * 61 - 3, 3, 0, 0)
    assert len(in_the_table()) == 3 * 61 and max(in_the_table().values()) == 1
    assert states() == {TAGS[0]: ("backfilled", 59), TAGS[1]: ("backfilled", 60), TAGS[2]: ("backfilled", 61)}
    of_tag = {row["observed_at"]: row for row in rows_of(tables.READINGS_TABLE) if row["tag_id"] == TAGS[1]}
    assert of_tag[NOON + 30 * SECOND]["value_double"] == 99.0  # what came live stays
    assert of_tag[NOON + 31 * SECOND]["value_double"] == 31.0
    assert of_tag[NOON + 31 * SECOND]["_segment_id"] == f"backfill-{gap_id}"
    assert gaps.open_gaps() == []
    assert backfill.backfill(gap_id, f"after {run}") is None
    assert ordinals() == [1, 2]


def test_what_a_backfill_brought_is_known_to_the_drain_that_runs_beside_it(spool, run, monkeypatch):
    """After a cut a server tells each tag's value anew, with the time at which it changed: within the gap."""
    from include.ops.lease import hold
    from include.ot import mirror

    History(monkeypatch)
    with hold(mirror.LEASE, run) as lease:
        drain = mirror.Drain(spool.reader, lease)
        told = gap("field_scada", TAGS, NOON, END, "connection_lost")
        spool.seal([live(TAGS[0], -5)], [told])
        drain.run(lasts_s=0, idle_s=0)
        backfill.backfill(told.gap_id, run)
        spool.seal([live(TAGS[0], 45), live(TAGS[0], 75)])
        done = drain.run(lasts_s=0, idle_s=0)

    assert (done.rows, done.repeated) == (1, 1)
    assert max(in_the_table().values()) == 1


def test_a_backfill_looks_again_at_what_was_committed_meanwhile(spool, run, monkeypatch):
    gap_id = open_gap(spool)
    meanwhile = []
    unknown = backfill.unknown

    def a_drain_is_faster(readings, rows, above=0):
        found = unknown(readings, rows, above)
        if len(meanwhile) < 2:
            second = 10 * len(meanwhile)
            meanwhile.append(second)
            spool.seal([live(TAGS[2], second, -1.0), live("another", second)])
            spool.drain()
        return found

    History(monkeypatch)
    monkeypatch.setattr(backfill, "unknown", a_drain_is_faster)
    done = backfill.backfill(gap_id, run)

    assert done.recovered == 3 * 61 - 2
    assert max(in_the_table().values()) == 1
    assert states()[TAGS[2]] == ("backfilled", 59)


def test_a_backfill_that_is_killed_goes_on_with_the_tags_that_are_left(spool, run, monkeypatch):
    gap_id = open_gap(spool)
    monkeypatch.setattr(backfill, "CHUNK_ROWS", 40)  # less than a tag's: a commit within it, and each tag is alone
    history = History(monkeypatch)
    commit, commits = lake.commit, []

    def killed(*given, **more):
        if len(commits) == 3:
            raise KeyboardInterrupt
        commits.append(commit(*given, **more))
        return commits[-1]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lake, "commit", killed)
        backfill.backfill(gap_id, run, 1)
    assert len(in_the_table()) == 61 + 40  # the second tag's first part is in, and not yet said to be filled
    history.asked.clear()

    done = backfill.backfill(gap_id, run, 2)

    assert history.asked == [(TAGS[1],), (TAGS[2],)]
    assert (done.recovered, done.filled) == (21 + 61, 2)
    assert states() == {tag: ("backfilled", 61) for tag in TAGS}
    assert max(in_the_table().values()) == 1


def test_a_server_that_is_away_leaves_the_gap_open_with_the_reason(spool, run, monkeypatch):
    History(monkeypatch, breaks=10)
    gap_id = open_gap(spool)

    with pytest.raises(OtError, match="cannot be filled now: .*Connect call failed.*tried again by itself"):
        backfill.backfill(gap_id, run)

    (one,) = gaps.open_gaps()
    assert (one.tries, one.tag_ids) == (1, tuple(TAGS))
    assert "Connect call failed" in one.reason
    assert backfill.backfill(gap_id, f"after {run}").filled == 3
    assert len(in_the_table()) == 3 * 61


def test_a_tag_without_history_is_lost_and_the_others_are_filled(spool, run, monkeypatch):
    History(monkeypatch, without=[TAGS[1]])
    gap_id = open_gap(spool, tag_ids=[*TAGS, "GONE-01.pressure"])

    done = backfill.backfill(gap_id, run)

    assert (done.filled, done.lost) == (2, 2)
    assert states() == {
        TAGS[0]: ("backfilled", 61),
        TAGS[1]: ("lost", 0),
        TAGS[2]: ("backfilled", 61),
        "GONE-01.pressure": ("lost", 0),
    }
    reasons = {row["tag_id"]: row["reason"] for row in rows_of(tables.GAPS_TABLE) if row["state"] == "lost"}
    assert reasons == {TAGS[1]: "the node keeps no history", "GONE-01.pressure": "not in the dictionary any more"}


def test_a_long_gap_is_filled_over_several_runs(spool, run, monkeypatch):
    monkeypatch.setattr(backfill, "CHUNK_ROWS", 61)
    history, clock = History(monkeypatch), time.monotonic
    gap_id = open_gap(spool)

    assert backfill.backfill(gap_id, f"before {run}", lasts_s=0).left == 3
    history.during = lambda: monkeypatch.setattr(backfill.time, "monotonic", lambda: clock() + 999)
    first = backfill.backfill(gap_id, run, lasts_s=900)
    second = backfill.backfill(gap_id, f"after {run}")

    assert (first.filled, first.left, second.filled) == (1, 2, 2)
    assert states() == {tag: ("backfilled", 61) for tag in TAGS}


def test_what_is_recent_goes_to_the_hot_store_as_well(spool, run, monkeypatch):
    History(monkeypatch)
    backfill.backfill(open_gap(spool), run)

    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        found = connection.execute(
            "select tag_id, count(*) from ot.readings where observed_at between %s and %s group by 1", [NOON, END]
        ).fetchall()
    assert dict(found) == dict.fromkeys(TAGS, 61)


def test_a_hot_store_that_is_away_does_not_hold_up_the_lake(spool, run, monkeypatch, caplog):
    History(monkeypatch)

    def away(_):
        raise OtError("The hot store does not take readings")

    monkeypatch.setattr("include.ot.hot.open_store", away)
    done = backfill.backfill(open_gap(spool), run)

    assert done.filled == 3
    assert "not in the hot store" in caplog.text


def test_the_lakehouse_must_answer_but_that_is_no_try_of_the_source(spool, run, monkeypatch):
    History(monkeypatch)
    gap_id = open_gap(spool)

    def away(*_):
        raise lakehouse.LakehouseError("The catalog did not answer")

    with monkeypatch.context() as patched, pytest.raises(lakehouse.LakehouseError):
        patched.setattr(lakehouse, "commit_many", away)
        backfill.backfill(gap_id, run, 1)

    assert gaps.one(gap_id).tries == 0
    assert backfill.backfill(gap_id, run, 2).filled == 3
