"""What a bridge has read and the broker does not have yet, on disk: a message is deleted once it was acknowledged.

Messages are numbered 1, 2, 3 … within their store and written before they are sent, so whatever is killed, a number
means one content for ever. Each commit is synced (`synchronous=FULL`): a power cut must not bring a number back that
the broker has seen. There is one row a message, none a reading.

The ordinals of a `Sequencer` must survive as well. They are checkpointed once in a while, and messages are kept until
the next checkpoint even when acknowledged: on opening they bring the checkpoint up to date.
"""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import orjson

from include.errors import OtError
from include.ot.reading import Gap, Message, Reading, Sequencer, decode, encode, gap, microseconds, moment
from include.ot.topics import PREFIX, topic_of

log = logging.getLogger(__name__)

MB = 2**20
MAX_READINGS = 2_000  # in one message
MAX_TAGS = 5_000  # in the part of a gap that one message tells
MAX_PAYLOAD = MB
CHECKPOINT = 8 * MB  # payloads after which the ordinals are written again
ROOM_AGAIN = 0.9  # a full outbox takes readings again below this part of its limit
UNWRITTEN = 1_000  # acknowledged messages that may wait for the next commit

_SCHEMA = """
create table meta (name text primary key, value) without rowid;
create table tags (tag_id text primary key) without rowid;
create table messages (number integer primary key, topic text, payload blob, is_acked integer not null default 0);
create table ordinals (one integer primary key check (one = 1), number integer, state blob);
pragma user_version = 1;
"""


class Outbox:
    """The outbox of one source, in `folder`. One process at a time; any of its threads may call."""

    def __init__(self, folder: Path, source: str, limit_mb: float) -> None:
        self.folder, self.source, self.limit = folder, source, int(limit_mb * MB)
        self._guard = threading.RLock()
        self._acked: list[int] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _only_writer(folder / "outbox.lock")
        self.damaged_since: datetime | None = None
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # a disk that is full or cannot be reached is no damage
                raise self._trouble(error) from error
            self.damaged_since = _put_aside(folder, error)
            self._open()

    def _open(self) -> None:
        path = self.folder / "outbox.db"
        self._db = db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        db.execute(f"pragma journal_size_limit = {16 * MB}")
        version = db.execute("pragma user_version").fetchone()[0]
        if version == 0:
            db.execute("begin immediate")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            self._remember("store", str(uuid4()))
            db.execute("commit")
        elif version != 1:
            raise OtError(f"{path} was written by a later version of the bridge ({version}). Update this one")
        self.store: str = self._recall("store")
        full_us = self._recall("full_us")
        self._full_from = None if full_us is None else moment(full_us)
        number, state = db.execute("select number, state from ordinals").fetchone() or (0, b"{}")
        self.sequencer = Sequencer(orjson.loads(state))
        self.number = self._checkpoint = number
        self._since_checkpoint = 0
        later = "select number, payload from messages where number > ? order by number"
        for self.number, payload in db.execute(later, [number]):
            self._since_checkpoint += len(payload)
            for reading in decode(payload).readings:
                self.sequencer.saw(reading)
        unsent = "select count(*), coalesce(sum(length(payload)), 0) from messages where not is_acked"
        self.waiting, self.waiting_bytes = db.execute(unsent).fetchone()

    @property
    def active_at(self) -> datetime | None:
        """Until when everything that the source had to say was seen, as far as this bridge knows."""
        with self._guard:
            at = self._recall("active_us")
        return None if at is None else moment(at)

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest message that waits was written."""
        if not self.waiting:
            return None
        with self._guard:
            row = self._db.execute("select payload from messages where not is_acked order by number limit 1").fetchone()
        return decode(row[0]).sent_at if row else None

    def known_tags(self) -> set[str]:
        """The tags that were told to be read when the dictionary was last taken over."""
        with self._guard:
            return {tag_id for (tag_id,) in self._db.execute("select tag_id from tags")}

    @property
    def is_full(self) -> bool:
        """Whether readings are dropped, or were and no later one has been kept since."""
        return self._full_from is not None

    def add(
        self,
        readings: Sequence[tuple[str, Reading]] = (),
        gaps: Iterable[Gap] = (),
        *,
        active_at: datetime | None = None,
        tags: Iterable[str] | None = None,
    ) -> bool:
        """Write readings, each with its topic, and gaps as messages, in one transaction. True once all are kept.

        Where the outbox is full the readings are dropped, and a gap `outbox_full` tells so once there is room again.
        `tags` replaces the known tags. Raises `OtError` where the disk does not take it; then nothing is written.
        """
        now = datetime.now(UTC)
        with self._guard:
            before = self._counts()
            try:
                self._db.execute("begin immediate")
                if tags is not None:
                    self._db.execute("delete from tags")
                    self._db.executemany("insert or ignore into tags values (?)", ((tag_id,) for tag_id in tags))
                has_room = self._has_room(readings)
                if has_room and readings:
                    gaps = [*gaps, *self._end_of_drops(now)]
                    self._write_readings(readings, now)
                elif readings:
                    self.dropped(min(min(reading.observed_at, reading.received_at) for _, reading in readings))
                for told in gaps:
                    self._write_gap(told, now)
                if active_at is not None:
                    self._remember("active_us", microseconds(active_at))
                self._remember("full_us", self._full_from and microseconds(self._full_from))
                self._write_acked()
                if self._since_checkpoint > min(CHECKPOINT, self.limit // 8):
                    self._write_ordinals()
                self._db.execute("commit")
                self._acked = []
                return has_room
            except sqlite3.Error as error:
                self._counts(before)
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise self._trouble(error) from error

    def dropped(self, from_at: datetime) -> None:
        """Samples from this time on were given up: the gap is told once one can be kept again."""
        with self._guard:
            self._full_from = min(from_at, self._full_from or from_at)

    def unsent(self, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """The next messages after a number: number, topic, payload; oldest first."""
        with self._guard:
            return self._db.execute(
                "select number, topic, payload from messages where number > ? and not is_acked order by number limit ?",
                [after, limit],
            ).fetchall()

    def done(self, number: int, size: int) -> None:
        """The broker has this message. Written with the next commit; if that is lost, the message is sent once more."""
        with self._guard:
            self._acked.append(number)
            self.waiting -= 1
            self.waiting_bytes -= size
            if len(self._acked) >= UNWRITTEN:
                self.add()

    def close(self) -> None:
        """Write what is known and give the folder back."""
        with self._guard:
            try:
                self._db.execute("begin immediate")
                self._write_acked()
                self._write_ordinals()
                self._db.execute("commit")
            except sqlite3.Error as error:
                raise self._trouble(error) from error
            finally:
                self._db.close()
                self._lock.close()

    def _has_room(self, readings: Sequence[tuple[str, Reading]]) -> bool:
        has_room = self.waiting_bytes < self.limit * (ROOM_AGAIN if self.is_full else 1)
        if not has_room and readings and not self.is_full:
            log.error(
                "The outbox %s is full with %d MB and drops readings; is the broker up?", self.folder, self.limit // MB
            )
        return has_room

    def _end_of_drops(self, now: datetime) -> list[Gap]:
        from_at, self._full_from = self._full_from, None
        return [gap(self.source, sorted(self.known_tags()), from_at, now, "outbox_full")] if from_at else []

    def _write_readings(self, readings: Sequence[tuple[str, Reading]], now: datetime) -> None:
        by_topic: dict[str, list[Reading]] = {}
        for topic, reading in readings:
            by_topic.setdefault(topic, []).append(reading)
        for topic, of_topic in by_topic.items():
            parts = [of_topic[start : start + MAX_READINGS] for start in range(0, len(of_topic), MAX_READINGS)]
            while parts:
                part = parts.pop(0)
                payload = encode(Message(self.source, self.store, self.number + 1, now, tuple(part)))
                if len(payload) > MAX_PAYLOAD and len(part) > 1:
                    parts[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
                else:
                    self._write(topic, payload)

    def _write_gap(self, told: Gap, now: datetime) -> None:
        topic = f"{PREFIX}gaps/{topic_of(told.source).removeprefix(PREFIX)}"
        for start in range(0, len(told.tag_ids), MAX_TAGS):
            part = replace(told, tag_ids=told.tag_ids[start : start + MAX_TAGS])
            self._write(topic, encode(Message(self.source, self.store, self.number + 1, now, gaps=(part,))))

    def _write(self, topic: str, payload: bytes) -> None:
        self.number += 1
        self._db.execute(
            "insert into messages (number, topic, payload) values (?, ?, ?)", [self.number, topic, payload]
        )
        self.waiting += 1
        self.waiting_bytes += len(payload)
        self._since_checkpoint += len(payload)

    def _write_acked(self) -> None:
        old = [(number,) for number in self._acked if number <= self._checkpoint]
        new = [(number,) for number in self._acked if number > self._checkpoint]
        self._db.executemany("delete from messages where number = ?", old)
        self._db.executemany("update messages set is_acked = 1 where number = ?", new)

    def _write_ordinals(self) -> None:
        state = orjson.dumps(self.sequencer.state())
        self._db.execute("insert or replace into ordinals values (1, ?, ?)", [self.number, state])
        self._db.execute("delete from messages where is_acked")
        self._checkpoint, self._since_checkpoint = self.number, 0

    def _counts(self, restore: tuple | None = None) -> tuple:
        """All that a transaction which is rolled back must leave as it was."""
        if restore:
            self.number, self.waiting, self.waiting_bytes, self._checkpoint, self._since_checkpoint, self._full_from = (
                restore
            )
        return self.number, self.waiting, self.waiting_bytes, self._checkpoint, self._since_checkpoint, self._full_from

    def _remember(self, name: str, value: Any) -> None:
        self._db.execute("insert or replace into meta values (?, ?)", [name, value])

    def _recall(self, name: str) -> Any:
        row = self._db.execute("select value from meta where name = ?", [name]).fetchone()
        return row[0] if row else None

    def _trouble(self, error: sqlite3.Error) -> OtError:
        return OtError(f"The outbox {self.folder / 'outbox.db'} cannot be used: {error}. Is the disk full or gone?")


def _only_writer(path: Path) -> IO[str]:
    """Lock the outbox for this process; the lock ends with it, however it ends."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        other = lock.read().strip() or "unknown"
        lock.close()
        raise OtError(
            f"Process {other} is writing the outbox {path.parent} already. Stop it, or leave this bridge to it"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _put_aside(folder: Path, error: sqlite3.Error) -> datetime:
    """Move a damaged outbox out of the way and say since when readings may be missing."""
    database = folder / "outbox.db"
    since = datetime.fromtimestamp(database.stat().st_mtime, UTC)
    with suppress(OSError, ValueError, KeyError, TypeError):
        oldest = orjson.loads((folder / "health.json").read_bytes())["outbox"]["oldest_at"]
        since = min(since, datetime.fromisoformat(oldest))
    aside = folder / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    aside.mkdir()
    for path in folder.glob("outbox.db*"):
        path.rename(aside / path.name)
    log.error("The outbox is damaged (%s) and was put aside as %s; a new one begins", error, aside)
    return since
