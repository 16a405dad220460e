"""The spool: each message in exactly one sealed segment, whatever stops the writer or damages a file."""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from include.errors import PayloadError, SpoolError
from include.ot import columns
from include.ot.columns import read_message
from include.ot.reading import BAD, decode, encode
from include.ot.spool import SpoolReader, SpoolWriter
from include.ot.tables import SEGMENT_SCHEMA
from tests.ot.spool_samples import NOON, SECOND, a_gap, message, reading, values

KEEP_NOTHING = timedelta(0)


@contextmanager
def writing(folder: Path):
    writer = SpoolWriter(folder)
    try:
        yield writer
    finally:
        writer.close()


def seal(folder: Path, *messages) -> None:
    """One life of a writer: take messages and seal each by itself."""
    with writing(folder) as writer:
        for each in messages:
            writer.add(each)
            writer.seal()


def lose_index(folder: Path) -> None:
    for path in folder.glob("index.db*"):
        path.unlink()


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def numbers(folder: Path, after: int = 0) -> list[int]:
    return [segment.number for segment in SpoolReader(folder).sealed(after)]


# What a segment holds


def test_a_reading_comes_out_as_it_went_in(tmp_path):
    sent = [
        reading(1, 912.5, served_at=NOON),
        reading(1, "No Data", quality=BAD, sequence=1),
        reading(2, True),
        reading(3, unit="", tag_id="Ö/1 'x'"),
    ]
    seal(tmp_path, message(1, *sent))

    reader = SpoolReader(tmp_path)
    (segment,) = reader.sealed(0)
    held = reader.read(segment)

    assert held.schema == SEGMENT_SCHEMA
    assert held.to_pylist() == [{name: getattr(r, name) for name in SEGMENT_SCHEMA.names} for r in sent]
    assert (segment.rows, segment.observed_min, segment.observed_max) == (4, NOON + SECOND, NOON + 3 * SECOND)
    assert segment.segment_id == f"{reader.spool_id()}-000000000001"


def test_gaps_travel_with_the_segment_and_alone(tmp_path):
    seal(tmp_path, message(1, reading(1), gaps=[a_gap()]), message(2, gaps=[a_gap("W2.pressure")]))

    first, second = SpoolReader(tmp_path).sealed(0)

    assert (first.rows, first.gaps) == (1, (a_gap(),))
    assert (second.rows, second.gaps) == (0, (a_gap("W2.pressure"),))
    assert (second.observed_min, SpoolReader(tmp_path).read(second).num_rows) == (None, 0)


def test_nothing_is_sealed_where_nothing_came(tmp_path):
    with writing(tmp_path) as writer:
        assert writer.due_in() is None
        assert writer.seal() is None
    assert SpoolReader(tmp_path).newest() == 0


def test_a_segment_is_due_by_rows_by_bytes_or_by_age(tmp_path):
    with writing(tmp_path) as writer:
        writer.add(message(1))
        assert 0 < writer.due_in() <= 1
        assert writer.due_in(time.monotonic() + 1) == 0

        writer.seal()
        writer.add(message(2, *map(reading, range(20_000))))
        assert writer.due_in() == 0

        writer.seal()
        writer.add(message(3), size=34_000_000)
        assert writer.due_in() == 0


def test_readings_of_several_bridges_share_a_segment(tmp_path):
    with writing(tmp_path) as writer:
        for each in (message(1, bridge="b", store="b"), message(2, bridge="a"), message(3, bridge="b", store="b")):
            writer.add(each)
        writer.seal()

    assert sorted(values(tmp_path)) == [1, 2, 3]


def test_a_reader_takes_segments_in_order_and_in_bites(tmp_path):
    seal(tmp_path, *(message(n, *map(reading, range(n))) for n in (3, 2, 4, 1)))
    reader = SpoolReader(tmp_path)

    assert [s.rows for s in reader.sealed(0)] == [3, 2, 4, 1]
    assert [s.number for s in reader.sealed(0, limit_rows=5)] == [1, 2]
    assert [s.number for s in reader.sealed(1, limit_rows=5)] == [2]
    assert [s.number for s in reader.sealed(2, limit_rows=1)] == [3]  # one at least
    assert reader.sealed(4) == []
    assert reader.newest() == 4


def test_a_spool_that_no_recorder_made_yet_is_empty(tmp_path):
    reader = SpoolReader(tmp_path / "spool")

    assert (reader.spool_id(), reader.newest(), reader.sealed(0), reader.progress("lake")) == (None, 0, [], 0)
    assert reader.lag_s("lake") == 0
    reader.taken("lake", 3)
    assert not (tmp_path / "spool").exists()


# Exactly once


def test_a_message_is_taken_once_however_often_it_comes(tmp_path):
    with writing(tmp_path) as writer:
        assert writer.add(message(1)) == "new"
        assert writer.add(message(1)) == "open"
        writer.seal()
        assert writer.add(message(1)) == "sealed"
        assert writer.add(message(1, store="b")) == "new"
        writer.seal()
    with writing(tmp_path) as writer:
        assert [writer.add(message(1, store=store)) for store in "abc"] == ["sealed", "sealed", "new"]

    assert values(tmp_path) == [1, 1]


def test_messages_may_come_in_any_order(tmp_path):
    with writing(tmp_path) as writer:
        for number in (5, 1, 3, 2, 4, 3, 9):
            writer.add(message(number))
        writer.seal()
        assert writer.seen.missing() == 3  # 6, 7, 8
    with writing(tmp_path) as writer:
        assert [writer.add(message(n)) for n in range(1, 11)] == ["sealed"] * 5 + ["new"] * 3 + ["sealed", "new"]
        assert writer.seen.missing() == 0


def test_an_outbox_that_was_put_back_to_an_older_copy_loses_nothing(tmp_path, caplog):
    later = {"sent_at": NOON + 99 * SECOND}
    seal(tmp_path, *(message(n) for n in (1, 2, 3)))

    seal(tmp_path, message(2, reading(22), **later), message(3, reading(33), **later), message(2, reading(22), **later))

    assert values(tmp_path) == [1, 2, 3, 22, 33]
    assert "its outbox was put back to an older copy" in caplog.text


def test_numbers_follow_each_other_over_restarts(tmp_path):
    for n in (1, 2, 3):
        seal(tmp_path, message(n))

    assert numbers(tmp_path) == [1, 2, 3]


class Killed(BaseException):
    """Stands for the end of the process."""


class KilledBeforeItIsRecorded(SpoolWriter):
    def _record(self, *_):
        raise Killed


class KilledInTheMiddleOfTheFile(SpoolWriter):
    def _write(self, path, data):
        path.with_name(f"{path.name}.tmp").write_bytes(data[: len(data) // 2])
        raise Killed


def kill(kind: type[SpoolWriter], folder: Path, *messages) -> None:
    writer = kind(folder)
    for each in messages:
        writer.add(each)
    with pytest.raises(Killed):
        writer.seal()
    writer.close()


def test_a_torn_file_is_no_segment_and_its_messages_come_again(tmp_path):
    seal(tmp_path, message(1))
    kill(KilledInTheMiddleOfTheFile, tmp_path, message(2))

    seal(tmp_path, message(2))

    assert values(tmp_path) == [1, 2]
    assert numbers(tmp_path) == [1, 2]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_segment_that_was_renamed_but_not_recorded_counts(tmp_path):
    seal(tmp_path, message(1))
    kill(KilledBeforeItIsRecorded, tmp_path, message(2, gaps=[a_gap()]), message(3))

    assert numbers(tmp_path) == [1]  # nobody sees it before the next writer has looked at it
    with writing(tmp_path) as writer:
        assert [writer.add(message(n)) for n in (2, 3, 4)] == ["sealed", "sealed", "new"]
        writer.seal()

    assert values(tmp_path) == [1, 3, 4]
    assert [s.gaps for s in SpoolReader(tmp_path).sealed(1)] == [(a_gap(),), ()]
    assert numbers(tmp_path) == [1, 2, 3]


def test_the_index_is_made_again_from_the_files(tmp_path):
    seal(tmp_path, message(1), message(2, gaps=[a_gap()]), message(3))
    reader = SpoolReader(tmp_path)
    before = reader.spool_id(), reader.sealed(0)
    lose_index(tmp_path)

    seal(tmp_path, message(2), message(4))

    assert (reader.spool_id(), reader.sealed(0)[:3]) == before
    assert [s.rows for s in reader.sealed(0)] == [1, 0, 1, 1]


def test_messages_of_deleted_segments_are_known_without_the_index(tmp_path):
    seal(tmp_path, *map(message, range(1, 6)))
    reader = SpoolReader(tmp_path)
    for consumer in ("hot", "lake"):
        reader.taken(consumer, 5)
    with writing(tmp_path) as writer:
        writer.expire(KEEP_NOTHING)
    lose_index(tmp_path)

    with writing(tmp_path) as writer:
        assert [writer.add(message(n)) for n in range(1, 7)] == ["sealed"] * 5 + ["new"]
        assert writer.seal().number == 6


def test_a_damaged_index_is_put_beside_and_made_again(tmp_path):
    seal(tmp_path, message(1))
    lose_index(tmp_path)
    (tmp_path / "index.db").write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(SpoolError, match="Restart the recorder"):
        numbers(tmp_path)

    seal(tmp_path, message(1), message(2))

    assert values(tmp_path) == [1, 2]
    assert len(list(tmp_path.glob("index.db.*.damaged"))) == 1


def test_a_spool_that_was_emptied_begins_under_another_id(tmp_path):
    seal(tmp_path / "spool", message(1))
    before = SpoolReader(tmp_path / "spool").spool_id()
    (tmp_path / "spool").rename(tmp_path / "lost")

    seal(tmp_path / "spool", message(2))

    assert SpoolReader(tmp_path / "spool").spool_id() not in (None, before)
    assert numbers(tmp_path / "spool") == [1]


def test_only_one_recorder_writes_a_spool(tmp_path):
    with writing(tmp_path), pytest.raises(SpoolError, match=f"process {os.getpid()}.*Stop it"):
        SpoolWriter(tmp_path)
    seal(tmp_path, message(1))

    assert values(tmp_path) == [1]


# Damage


def test_a_flipped_byte_is_found_and_becomes_a_gap(tmp_path):
    with writing(tmp_path) as writer:
        writer.add(message(1, reading(1), reading(2), gaps=[a_gap()]))
        writer.add(message(1, reading(6, tag_id="P1.state"), store="b", bridge="packaging_line"))
        writer.seal()
        writer.add(message(3))
        writer.seal()
    reader = SpoolReader(tmp_path)
    damaged, whole = reader.sealed(0)
    flip_a_byte(damaged.path)

    with pytest.raises(SpoolError, match="checksum") as found:
        reader.read(damaged)
    scada, line = reader.set_aside(damaged, str(found.value))

    assert (scada.source, scada.tag_ids, scada.cause) == (
        "field_scada",
        ("W1.pressure", "W2.pressure"),
        "spool_corrupt",
    )
    assert scada.from_at == NOON + SECOND
    assert scada.to_at - scada.from_at == SECOND + timedelta(microseconds=1)  # holds the last reading too
    assert (line.source, line.tag_ids, line.from_at) == ("packaging_line", ("P1.state",), NOON + 6 * SECOND)
    assert damaged.gaps == (a_gap(),)
    assert (tmp_path / "corrupt" / damaged.path.name).exists()
    assert not damaged.path.exists()
    assert reader.read(whole)["value_double"].to_pylist() == [3]


def test_each_consumer_learns_the_same_gaps_of_a_corrupt_segment(tmp_path):
    seal(tmp_path, message(1), message(2))
    reader = SpoolReader(tmp_path)
    flip_a_byte(reader.sealed(0)[0].path)
    gaps = reader.set_aside(reader.sealed(0)[0], "seen by hot")

    segment = SpoolReader(tmp_path).sealed(0)[0]
    with pytest.raises(SpoolError, match="set aside: seen by hot"):
        reader.read(segment)

    assert reader.set_aside(segment, "seen by lake") == gaps
    seal(tmp_path, message(1), message(3))  # taken before: not taken again
    assert numbers(tmp_path) == [1, 2, 3]
    assert reader.read(reader.sealed(1)[1])["value_double"].to_pylist() == [3]


def test_a_file_that_vanished_is_a_gap_too(tmp_path):
    seal(tmp_path, message(1), message(2))
    reader = SpoolReader(tmp_path)
    first = reader.sealed(0)[0]
    first.path.unlink()

    with pytest.raises(SpoolError, match="Segment 1"):
        reader.read(first)

    assert [gap.tag_ids for gap in reader.set_aside(first, "gone")] == [("W1.pressure",)]
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damage_is_found_without_the_index_as_well(tmp_path, damage):
    seal(tmp_path, *map(message, (1, 2, 3)))
    second = SpoolReader(tmp_path).sealed(1)[0].path
    lose_index(tmp_path)
    if damage == "cut":
        second.write_bytes(second.read_bytes()[:-20])
    else:
        flip_a_byte(second)

    seal(tmp_path, message(4))

    reader = SpoolReader(tmp_path)
    assert numbers(tmp_path) == [1, 2, 3, 4]
    with pytest.raises(SpoolError, match="no whole segment"):
        reader.read(reader.sealed(1)[0])
    assert [reader.read(s)["value_double"].to_pylist() for s in reader.sealed(2)] == [[3], [4]]


# Retention


def test_a_segment_goes_when_it_is_old_and_everybody_has_it(tmp_path):
    seal(tmp_path, *map(message, range(1, 6)))
    reader = SpoolReader(tmp_path)
    with writing(tmp_path) as writer:
        reader.taken("hot", 5)
        assert writer.expire(KEEP_NOTHING) == 0  # the lake has nothing yet
        reader.taken("lake", 2)
        assert writer.expire(timedelta(hours=1)) == 0
        assert writer.expire(KEEP_NOTHING, limit=1) == 1
        assert writer.expire(KEEP_NOTHING) == 1
        assert numbers(tmp_path) == [3, 4, 5]
        reader.taken("lake", 5)
        writer.expire(KEEP_NOTHING)

    assert numbers(tmp_path) == [5]  # never the newest: it knows every message
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["segment-000000000005.parquet"]


def test_a_deletion_that_was_interrupted_is_finished(tmp_path):
    seal(tmp_path, message(1), message(2))
    reader = SpoolReader(tmp_path)
    first = reader.sealed(0)[0].path
    copy = first.read_bytes()
    for consumer in ("hot", "lake"):
        reader.taken(consumer, 2)
    with writing(tmp_path) as writer:
        writer.expire(KEEP_NOTHING)
    first.write_bytes(copy)

    seal(tmp_path)

    assert not first.exists()
    assert numbers(tmp_path) == [2]


def test_progress_is_what_the_consumer_says(tmp_path):
    seal(tmp_path, message(1), message(2))
    reader = SpoolReader(tmp_path)

    reader.taken("lake", 2)
    assert (reader.progress("lake"), reader.lag_s("lake")) == (2, 0)
    reader.taken("lake", 1)  # a lake that was put back
    assert reader.progress("lake") == 1
    sealed_at = reader.sealed(1)[0].sealed_at
    assert reader.lag_s("lake", now=sealed_at + 7 * SECOND) == 7
    with pytest.raises(SpoolError, match="they are hot, lake"):
        reader.taken("cold", 1)


def test_a_spool_that_was_put_back_gives_no_number_again_that_a_consumer_has(tmp_path):
    seal(tmp_path / "spool", message(1))
    shutil.copytree(tmp_path / "spool", tmp_path / "backup")
    seal(tmp_path / "spool", message(2), message(3))
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "backup").rename(tmp_path / "spool")

    reader = SpoolReader(tmp_path / "spool")
    reader.taken("lake", 3)
    seal(tmp_path / "spool", message(4))

    assert numbers(tmp_path / "spool", after=3) == [4]


# A disk that refuses


class NoSpace(SpoolWriter):
    has_space = False

    def _write(self, path, data):
        if not self.has_space:
            raise OSError(28, "No space left on device")
        super()._write(path, data)


class IndexRefuses(SpoolWriter):
    has_space = False

    def _record(self, *about):
        if not self.has_space:
            raise OSError(28, "No space left on device")
        super()._record(*about)


@pytest.mark.parametrize("kind", [NoSpace, IndexRefuses])
def test_what_a_full_disk_refuses_is_sealed_once_there_is_room(tmp_path, kind):
    writer = kind(tmp_path)
    writer.add(message(1))
    with pytest.raises(SpoolError, match=r"No space left.*Free space"):
        writer.seal()
    assert writer.add(message(1)) == "open"
    writer.add(message(2))
    writer.has_space = True
    assert writer.seal().number == 1
    writer.close()

    assert values(tmp_path) == [1, 2]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_loses_nothing(small_disk):
    writer = SpoolWriter(small_disk)
    for number in range(1, 4):
        writer.add(message(number))
        writer.seal()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as out, pytest.raises(OSError):
        while True:
            out.write(b"\0" * 4096)
    writer.add(message(4))
    with pytest.raises(SpoolError, match="No space left|full"):
        writer.seal()
    writer.close()
    ballast.unlink()

    seal(small_disk, message(4), message(5))

    assert values(small_disk) == [1, 2, 3, 4, 5]


# Payloads


def payload(*readings: list, **head) -> bytes:
    return orjson.dumps(
        {"v": 1, "bridge": "b", "store": "s", "n": 1, "sent_us": 7, "readings": readings, "gaps": [], **head}
    )


def row(value=1.5, **other) -> list:
    us = 1_764_000_000_000_000
    given = {"tag": "T", "at": us, "n": 0, "value": value, "quality": 0, "clock": "source", "served": None, "got": us}
    return [*{**given, **other}.values(), "psi"]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(1.5), row(None, quality=BAD), row(-0.0)],
        [row(7), row("No Data"), row(True), row(False), row(""), row(None), row(1e300)],
        [row(2**53 + 1), row(2.5)],  # a double cannot hold it
        [row(at=-62_000_000_000_000_000), row(served=1)],
    ],
)
def test_columns_say_what_the_message_says(rows):
    sent = payload(*rows)

    assert columns.table([read_message(sent)]).equals(columns.table([columns.of(decode(sent))]))


def test_columns_keep_head_and_gaps():
    sent = message(3, gaps=[a_gap()], store="x", bridge="y")

    found = read_message(encode(sent))

    assert (found.bridge, found.store, found.number, found.gaps) == ("y", "x", 3, (a_gap(),))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"v": 2}',
        payload(row(), v=2),
        payload(row(), store=7),
        payload(row(), n="1"),
        payload(readings=None),
        payload(readings={}),
        payload(row()[:-1]),
        payload(row(), [*row(), 1]),
        payload(row(tag="")),
        payload(row(tag=7)),
        payload(row([1])),
        payload(row(clock="sundial")),
        payload(row(n=-1)),
        payload(row(n=2**31)),
        payload(row(quality=2**32)),
        payload(row(at="noon")),
        payload(row(at=10**18)),
        payload(row(got=None)),
        payload(row(served=1.5)),
        payload(row(at=True)),
        payload(row(), gaps=[["x"]]),
    ],
)
def test_a_payload_that_is_none_of_ours_says_why(sent):
    with pytest.raises(PayloadError, match=r"\w"):
        read_message(sent)
