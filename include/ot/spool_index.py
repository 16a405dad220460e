"""The index of the spool: an SQLite file beside the segments. What it says can be read again from their files.

spool      the spool's id, and the messages that were taken (`Seen`)
segments   one row a segment that is kept
contents   by segment and bridge: the tags and the time that a corrupt file would leave a gap of
tags       numbers the tag ids, so that a segment's tags are a few bits each
consumers  up to which segment each consumer has everything
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from include.errors import SpoolError
from include.ot.reading import Gap, microseconds, moment
from include.ot.spool_file import Label, file_name, gaps_of_text, gaps_to_text

CONSUMERS = ("hot", "lake")
CORRUPT = "corrupt"  # folder of the segments set aside
BUSY_S = 30  # how long a writer waits for another

_TABLES = """
create table spool (name text primary key, value text) without rowid;
create table segments (
    number integer primary key, rows integer not null, bytes integer not null, sha256 text not null,
    observed_min_us integer, observed_max_us integer, sealed_us integer not null, gaps text not null, corrupt text
);
create table contents (
    number integer, bridge text, tags blob not null, observed_min_us integer, observed_max_us integer,
    primary key (number, bridge)
) without rowid;
create table tags (id integer primary key, tag_id text not null unique);
create table consumers (name text primary key, number integer not null) without rowid;
"""
_SEGMENT = "number, rows, sha256, observed_min_us, observed_max_us, sealed_us, gaps, corrupt"


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment. `gaps` are those that its messages told."""

    spool: str
    number: int
    path: Path
    rows: int
    sha256: str
    observed_min: datetime | None  # None where it holds gaps alone
    observed_max: datetime | None
    sealed_at: datetime
    gaps: tuple[Gap, ...]
    corrupt: str | None = None  # why it was set aside

    @property
    def segment_id(self) -> str:
        return f"{self.spool}-{self.number:012d}"


@dataclass(frozen=True, slots=True)
class Content:
    """What one bridge has in a segment."""

    bridge: str
    tag_ids: list[str]
    observed_min_us: int
    observed_max_us: int


def contents_of(readings: pa.Table, label: Label) -> list[Content]:
    found, start = [], 0
    for bridge, rows in label.bridges:
        part = readings.slice(start, rows)
        start += rows
        if rows:
            span = pc.min_max(part["observed_at"].cast(pa.int64())).as_py()
            found.append(Content(bridge, pc.unique(part["tag_id"]).to_pylist(), span["min"], span["max"]))
    return found


class Index:
    """The writer's index, open while it lives. Every change is durable when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = _connect(path)
        self._tags: dict[str, int] = {}
        try:
            self.is_new = not _has_tables(self._connection)
            if not self.is_new:
                damage = self._connection.execute("pragma quick_check(1)").fetchone()[0]
                if damage != "ok":
                    raise sqlite3.DatabaseError(damage)
                self._tags = dict(self._connection.execute("select tag_id, id from tags"))
        except sqlite3.DatabaseError:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: the block's changes come together or not at all."""
        with transaction(self._connection) as connection:
            try:
                yield connection
            except BaseException:
                self._tags = {}  # numbers given in this block are void
                raise

    def make(self) -> None:
        """Within `change`: create the tables of a new index."""
        for statement in _TABLES.split(";"):
            self._connection.execute(statement)

    def get(self, name: str) -> str | None:
        row = self._connection.execute("select value from spool where name = ?", [name]).fetchone()
        return row and row[0]

    def put(self, name: str, value: str) -> None:
        """Within `change`."""
        self._connection.execute("insert or replace into spool values (?, ?)", [name, value])

    def add(self, label: Label, readings: pa.Table, data: bytes, corrupt: str | None = None) -> None:
        """Within `change`: record a segment's file."""
        contents = contents_of(readings, label)
        self._connection.execute(
            f"insert into segments ({_SEGMENT}, bytes) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                label.number,
                readings.num_rows,
                sha256(data).hexdigest(),
                min((c.observed_min_us for c in contents), default=None),
                max((c.observed_max_us for c in contents), default=None),
                microseconds(label.sealed_at),
                gaps_to_text(label.gaps),
                corrupt,
                len(data),
            ],
        )
        self._connection.executemany(
            "insert into contents values (?, ?, ?, ?, ?)",
            [(label.number, c.bridge, self._bits(c.tag_ids), c.observed_min_us, c.observed_max_us) for c in contents],
        )

    def add_lost(self, number: int, data: bytes, sealed_us: int, reason: str) -> None:
        """Within `change`: record a file of which nothing can be read."""
        self._connection.execute(
            f"insert into segments ({_SEGMENT}, bytes) values (?, 0, ?, null, null, ?, ?, ?, ?)",
            [number, sha256(data).hexdigest(), sealed_us, gaps_to_text(()), reason, len(data)],
        )

    def get_segment(self, number: int) -> Segment:
        return next(segments_after(self._connection, self.path.parent, number - 1))

    def numbers(self) -> set[int]:
        return {number for (number,) in self._connection.execute("select number from segments")}

    def is_corrupt(self, number: int) -> bool:
        row = self._connection.execute("select corrupt from segments where number = ?", [number]).fetchone()
        return bool(row and row[0])

    def expired(self, sealed_before_us: int, limit: int) -> list[int]:
        """The oldest segments that every consumer has and that are old enough to go; never the newest."""
        return [
            number
            for (number,) in self._connection.execute(
                """select number from segments
                where number <= ? and sealed_us < ? and number < (select max(number) from segments)
                order by number limit ?""",
                [taken_by_all(self._connection), sealed_before_us, limit],
            )
        ]

    def taken_by_all(self) -> int:
        return taken_by_all(self._connection)

    def taken_by_any(self) -> int:
        """The number up to which some consumer has everything."""
        return self._connection.execute("select coalesce(max(number), 0) from consumers").fetchone()[0]

    def forget(self, numbers: Iterable[int]) -> None:
        """Within `change`."""
        for table in ("segments", "contents"):
            self._connection.executemany(f"delete from {table} where number = ?", [(n,) for n in numbers])

    def totals(self) -> tuple[int, int, int]:
        """Segments, their bytes, and how many of them are corrupt."""
        return self._connection.execute(
            "select count(*), coalesce(sum(bytes), 0), count(corrupt) from segments"
        ).fetchone()

    def _bits(self, tag_ids: list[str]) -> bytes:
        """A set of tags as bits, by their numbers."""
        if new := [tag_id for tag_id in tag_ids if tag_id not in self._tags]:
            self._connection.executemany(
                "insert or ignore into tags (tag_id) values (?)", [(tag_id,) for tag_id in new]
            )
            self._tags = dict(self._connection.execute("select tag_id, id from tags"))
        bits = bytearray(max((self._tags[tag_id] for tag_id in tag_ids), default=0) // 8 + 1)
        for tag_id in tag_ids:
            number = self._tags[tag_id]
            bits[number // 8] |= 1 << number % 8
        return bytes(bits)


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The index for a reader, for the length of the block; None where no recorder has made it yet."""
    path = folder / "index.db"
    if not path.is_file():
        yield None
        return
    try:
        with closing(_connect(path)) as connection:
            yield connection if _has_tables(connection) else None
    except sqlite3.OperationalError as error:
        raise SpoolError(f"The index of the spool, {path}, cannot be used now: {error}. Try again") from error
    except sqlite3.DatabaseError as error:
        raise SpoolError(
            f"The index of the spool, {path}, is damaged: {error}. Restart the recorder; it makes it anew"
        ) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("begin immediate")
    try:
        yield connection
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def spool_id(connection: sqlite3.Connection) -> str:
    return connection.execute("select value from spool where name = 'id'").fetchone()[0]


def taken_by_all(connection: sqlite3.Connection) -> int:
    """The number up to which every consumer has everything."""
    taken = dict(connection.execute("select name, number from consumers"))
    return min(taken.get(name, 0) for name in CONSUMERS)


def segments_after(connection: sqlite3.Connection, folder: Path, number: int) -> Iterator[Segment]:
    spool = spool_id(connection)
    rows = connection.execute(f"select {_SEGMENT} from segments where number > ? order by number", [number])
    for number, rows_held, digest, first_us, last_us, sealed_us, gaps, corrupt in rows:
        yield Segment(
            spool,
            number,
            (folder / CORRUPT if corrupt else folder) / file_name(number),
            rows_held,
            digest,
            None if first_us is None else moment(first_us),
            None if last_us is None else moment(last_us),
            moment(sealed_us),
            gaps_of_text(gaps),
            corrupt,
        )


def lost_content(connection: sqlite3.Connection, segment: Segment) -> list[Gap]:
    """The gaps that a segment leaves whose file is corrupt: one a bridge, over the tags and the time it held."""
    gaps = []
    rows = connection.execute(
        "select bridge, tags, observed_min_us, observed_max_us from contents where number = ? order by bridge",
        [segment.number],
    )
    for bridge, bits, first_us, last_us in rows.fetchall():
        numbers = [n for n in range(len(bits) * 8) if bits[n // 8] >> n % 8 & 1]
        tag_ids = [
            tag_id
            for (tag_id,) in connection.execute(
                "select tag_id from tags where id in (select value from json_each(?)) order by id",
                [json.dumps(numbers)],
            )
        ]
        # Not by its start, as other gaps are named: two corrupt segments may start at one time.
        gap_id = sha256(f"{bridge} spool_corrupt {segment.segment_id}".encode()).hexdigest()[:16]
        gaps.append(Gap(gap_id, bridge, tuple(tag_ids), moment(first_us), moment(last_us + 1), "spool_corrupt"))
    return gaps


def _connect(path: Path) -> sqlite3.Connection:
    """Synchronous is FULL: what the index says of deletions and progress is never older than the files."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    return connection


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("select 1 from sqlite_master where name = 'spool'").fetchone())
