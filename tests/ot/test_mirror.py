"""`ot.readings` is what was sealed, whatever happens to the drains: the table itself is asked."""

import os
import random
import signal
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from include import lakehouse, lakehouse_upkeep, maintain
from include.errors import CommitConflict, LakehouseError, LeaseLost, OtError
from include.lakehouse_upkeep import UPKEEP, compact
from include.ops.lease import hold
from include.ops.store import read
from include.ot import lake, mirror, tables
from include.ot.reading import gap
from include.publish import freeze
from tests.ot.lake_trial import SECOND, empty_spool, in_the_table, ordinals, reading, readings, rows_of

pytestmark = pytest.mark.platform

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def spool(lake_platform, tmp_path):
    yield from empty_spool(tmp_path / "spool")


def position() -> lake.Position:
    return lake.position(lakehouse.table(tables.READINGS_TABLE))


def test_every_reading_is_in_the_table_once_and_in_its_own_day(spool):
    late = readings(10, NOON - timedelta(days=40))
    spool.seal(readings(90, NOON))
    spool.seal([*late, reading("T0", NOON + timedelta(days=2))])  # a clock that is ahead
    spool.seal(readings(30, NOON - 15 * SECOND + timedelta(hours=12)))  # over midnight

    first, again = spool.drain(), spool.drain()

    assert (first.rows, first.segments, again.rows, again.commits) == (131, 3, 0, 0)
    assert in_the_table() == spool.keys()
    days = {f.file.partition[0] for f in lakehouse.table(tables.READINGS_TABLE).scan().plan_files()}
    assert len(days) == 4
    assert spool.reader.progress("lake") == 3
    row = min(rows_of(tables.READINGS_TABLE), key=lambda row: row["observed_at"])
    assert row["_segment_id"].endswith("-000000000002")
    assert (row["value_double"], row["unit"], row["received_at"]) == (0.0, "psi", late[0].received_at)


def test_a_spool_that_no_recorder_made_yet_is_no_error(lake_platform, tmp_path):
    assert mirror.drain("no plant", minutes=0, spool=tmp_path / "nowhere").segments == 0


@pytest.mark.parametrize("is_in", [False, True], ids=["before the commit", "after the commit"])
def test_a_drain_that_is_killed_is_made_up_for(spool, monkeypatch, is_in):
    spool.seal(readings(20, NOON), [gap("field_scada", ["T0"], NOON, NOON + SECOND, "connection_lost")])
    commit_many = lakehouse.commit_many

    def killed(transactions, *more):
        if is_in:
            commit_many(transactions, *more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lakehouse, "commit_many", killed)
        spool.drain(f"killed {is_in}", 1)
    assert spool.reader.progress("lake") == 0
    spool.seal(readings(20, NOON + timedelta(minutes=1)))
    spool.drain(f"killed {is_in}", 2)

    assert in_the_table() == spool.keys()
    assert [row["state"] for row in rows_of(tables.GAPS_TABLE)] == ["open"]
    assert spool.reader.progress("lake") == 2
    assert ordinals() == sorted(set(ordinals()))


def test_a_drain_may_be_killed_at_any_instant(spool):
    """Killed for real, again and again, while segments go on being sealed."""
    chance = random.Random(4)
    for n in range(4):
        for k in range(3):
            spool.seal(readings(200, NOON + timedelta(minutes=20 * n + 5 * k), tags=40))
        child = os.fork()
        if child == 0:
            try:
                spool.drain(seconds=30)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0.02, 0.5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    spool.drain()

    assert in_the_table() == spool.keys()
    assert ordinals() == sorted(set(ordinals()))


def test_a_drain_that_was_taken_over_writes_nothing_more(spool):
    spool.seal(readings(20, NOON))
    with hold(mirror.LEASE, "frozen", 1) as lost:
        zombie = mirror.Drain(spool.reader, lost)
        zombie.take()
        spool.seal(readings(20, NOON + timedelta(minutes=1)))
        spool.drain("frozen", 2)

        spool.seal(readings(20, NOON + timedelta(minutes=2)))
        with pytest.raises(LeaseLost, match="taken over"):
            zombie.run(lasts_s=60, idle_s=60)

    assert len(in_the_table()) == 40
    spool.drain()
    assert in_the_table() == spool.keys()


def test_two_drains_without_a_lease_still_put_no_reading_in_twice(spool):
    """The last line: whoever commits second is refused and looks again."""
    nobody = SimpleNamespace(guard=nullcontext, holder="run", try_number=1)
    drains = [threading.Thread(target=mirror.Drain(spool.reader, nobody).run, args=(60, 2)) for _ in range(2)]
    for one in drains:
        one.start()
    for k in range(8):
        spool.seal(readings(100, NOON + timedelta(minutes=5 * k), tags=20))
        time.sleep(0.1)
    for one in drains:
        one.join()

    assert in_the_table() == spool.keys()
    assert ordinals() == sorted(set(ordinals()))


def test_what_the_table_says_of_itself_survives_the_merging_of_files(spool):
    for k in range(6):
        spool.seal(readings(9, NOON + timedelta(minutes=k), tags=1))
        spool.drain()
    before = position()

    done = compact(tables.READINGS_TABLE)

    assert (done.files_before, done.files_after) == (6, 1)
    assert position() == before
    spool.seal(readings(9, NOON + timedelta(minutes=9), tags=1))
    assert spool.drain().rows == 9
    assert in_the_table() == spool.keys()


def test_a_heap_of_small_files_is_merged_in_portions_day_by_day(spool, monkeypatch):
    for k in range(12):
        spool.seal(readings(50, NOON + timedelta(days=k % 2, minutes=k), tags=5))
        spool.drain()
    before, known = in_the_table(), position()
    files = [task.file for task in lakehouse.table(tables.READINGS_TABLE).scan().plan_files()]
    monkeypatch.setattr(lakehouse_upkeep, "PORTION_BYTES", sum(f.file_size_in_bytes for f in files) // 5)

    (done,) = [step for step in maintain.compact_raw("test") if step.table_name == tables.READINGS_TABLE]

    assert in_the_table() == before and position() == known
    assert done.files_before == len(files) and done.files_after < len(files) / 2
    merged = [s for s in lakehouse.table(tables.READINGS_TABLE).metadata.snapshots if UPKEEP in lake._said(s)]
    assert len(merged) > 1


def test_a_close_reads_the_mirror_up_to_the_commit_at_its_freezing(spool, monkeypatch):
    monkeypatch.setattr(freeze, "sources", lambda: ())
    monkeypatch.setattr(freeze, "feeds", lambda: ())
    spool.seal(readings(3, NOON))

    assert freeze.cut_off_now("energypack") == ({"ot": {"epoch": 0, "commit_lsn": 0}}, True)
    spool.drain()
    spool.seal(readings(3, NOON + timedelta(minutes=1)))
    spool.drain()
    assert freeze.cut_off_now("energypack")[0]["ot"]["commit_lsn"] == 2
    assert freeze.cut_off_now("a_pack_without_tags") == ({}, True)
    lakehouse.catalog().drop_table(tables.READINGS_TABLE)
    assert freeze.cut_off_now("energypack")[0]["ot"]["commit_lsn"] == 0


def test_a_drain_goes_on_when_files_are_merged_beside_it(spool):
    with hold(mirror.LEASE, "beside upkeep") as lease:
        drain = mirror.Drain(spool.reader, lease)
        for k in range(6):
            spool.seal(readings(9, NOON + timedelta(minutes=k), tags=1))
            drain.take()
        compact(tables.READINGS_TABLE)
        spool.seal(readings(9, NOON + timedelta(minutes=9), tags=1))
        with pytest.raises(CommitConflict):  # what `run` waits out
            drain.take()
        drain.run(lasts_s=0, idle_s=0)

    assert in_the_table() == spool.keys()


def test_where_no_summary_says_so_the_rows_say_what_is_in(spool):
    spool.seal(readings(20, NOON))
    spool.seal(readings(20, NOON + timedelta(minutes=1)))
    spool.drain()
    known = position()
    by_hand = lakehouse.table(tables.READINGS_TABLE)
    rows = by_hand.scan().to_arrow()
    by_hand.overwrite(rows)  # as a tool of somebody else's would: no word of ours in its summary
    by_hand = lakehouse.table(tables.READINGS_TABLE)
    by_hand.maintenance.expire_snapshots().older_than(datetime.now() + timedelta(days=1)).commit()

    assert position() == known


def test_a_corrupt_segment_becomes_a_gap_and_the_others_go_on(spool):
    spool.seal(readings(6, NOON))
    bad = spool.seal(readings(6, NOON + timedelta(minutes=1)))
    spool.seal(readings(6, NOON + timedelta(minutes=2)))
    data = bytearray(bad.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    bad.path.write_bytes(data)

    done = spool.drain("run with a corrupt segment")

    assert (done.rows, done.corrupt, done.gaps) == (12, 1, 1)
    assert min(at for _, at, _ in in_the_table()) == NOON
    found = rows_of(tables.GAPS_TABLE, "tag_id")
    assert [(row["tag_id"], row["cause"], row["state"]) for row in found] == [
        (tag, "spool_corrupt", "open") for tag in ("T0", "T1", "T2")
    ]
    assert (found[0]["from_at"], found[0]["to_at"] - timedelta(microseconds=1)) == (
        NOON + timedelta(minutes=1),
        NOON + timedelta(minutes=1, seconds=5),
    )
    assert (spool.folder / "corrupt" / bad.path.name).is_file()
    (alert,) = read("alerts", run_id="run with a corrupt segment")
    assert "corrupt" in alert["what"] and "docs/runbooks/mirror_ot.md" in alert["clear_hint"]
    assert spool.drain().segments == 0


def test_a_reading_that_comes_again_under_its_key_is_left_out(spool):
    """A bridge that lost its outbox counts anew: messages that nobody has seen, of readings that are in."""
    spool.seal(readings(30, NOON))
    spool.drain()
    spool.seal([*readings(30, NOON), *readings(5, NOON + timedelta(hours=1))])
    spool.seal([reading("T0", NOON, 7.0), reading("T0", NOON, 8.0, sequence=1), reading("T0", NOON, 9.0, sequence=1)])

    done = spool.drain()

    assert (done.rows, done.repeated) == (6, 32)
    assert max(in_the_table().values()) == 1
    of_noon = [row for row in rows_of(tables.READINGS_TABLE, "sequence") if row["observed_at"] == NOON]
    assert [row["value_double"] for row in of_noon] == [0.0, 8.0]  # what was there first stays


def test_a_reading_ahead_of_its_time_is_known_when_its_time_comes(spool):
    """What a new drain may take for news without a look must not be in the table."""
    ahead = datetime.now(UTC) + timedelta(hours=3)
    spool.seal([reading("T0", ahead)])
    spool.drain()
    spool.seal([reading("T0", datetime.now(UTC))])
    spool.seal([reading("T0", ahead), reading("T1", ahead)])

    done = spool.drain()

    assert (done.rows, done.repeated) == (2, 1)
    assert max(in_the_table().values()) == 1


def test_segments_that_are_nowhere_any_more_are_told(spool):
    spool.seal(readings(3, NOON))
    spool.seal(readings(3, NOON + timedelta(minutes=1)))
    spool.reader.taken("lake", 2)
    spool.reader.taken("hot", 2)
    spool.seal(readings(3, NOON + timedelta(minutes=2)))
    assert spool.writer.expire(timedelta(0)) == 2

    spool.drain("run on an older lake")

    (alert,) = read("alerts", run_id="run on an older lake")
    assert "Segments 1 to 2 are neither" in alert["what"]
    assert len(in_the_table()) == 3


def test_a_lakehouse_that_stays_away_fails_the_drain_and_keeps_the_spool(spool, monkeypatch):
    spool.seal(readings(3, NOON))
    monkeypatch.setattr(mirror, "PATIENCE_S", 0.2)

    def away(*_):
        raise LakehouseError("The catalog did not answer")

    with monkeypatch.context() as patched, pytest.raises(OtError, match="The spool keeps them"):
        patched.setattr(lakehouse, "commit_many", away)
        spool.drain()
    spool.drain()

    assert in_the_table() == spool.keys()


def test_an_answer_that_was_lost_is_asked_for_at_the_table(spool, monkeypatch):
    commit_many, lost = lakehouse.commit_many, []

    def without_an_answer(transactions, *more):
        commit_many(transactions, *more)
        if not lost:
            lost.append(True)
            raise LakehouseError("The catalog did not answer; it may or may not be in")

    monkeypatch.setattr(lakehouse, "commit_many", without_an_answer)
    spool.seal(readings(20, NOON))
    spool.drain()

    assert in_the_table() == spool.keys()
    assert spool.reader.progress("lake") == 1


def test_commits_come_at_their_cadence_and_an_idle_drain_ends(spool):
    for k in range(3):
        spool.seal(readings(3, NOON + timedelta(minutes=k)))

    done = mirror.drain("an idle plant", minutes=10, idle_s=0.5, spool=spool.folder)

    assert (done.commits, done.segments) == (1, 3)  # what waited together goes together
    assert done.figures()["age_p95_s"] > 0
