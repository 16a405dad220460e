"""The writing end of the spool: messages in, sealed segments out, each message in exactly one of them.

A segment is written beside its name, synced, renamed, its folder synced, then recorded in the index. A message may be
acknowledged to the broker once `seal` has returned. Killed before the rename, the messages come again; killed after
it, the file is found at the next start and recorded then, with its messages, which are repetitions when they come.
"""

import fcntl
import logging
import os
import sqlite3
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from include.errors import SpoolError
from include.ot import columns, spool_file
from include.ot.columns import Columns
from include.ot.reading import Message, microseconds
from include.ot.seen import Seen
from include.ot.spool_file import Label, file_name, number_of
from include.ot.spool_index import CORRUPT, Index, Segment
from include.settings import settings

log = logging.getLogger(__name__)

Taken = Literal["new", "open", "sealed"]
SEAL_BYTES = 32 * 1024 * 1024  # of payloads: texts may be long


class SpoolWriter:
    """The one writer of a spool's folder. Not for several threads at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / "lock")
            try:
                self._index = _open_index(folder)
                self._repair()
            except BaseException:
                os.close(self._lock)
                raise
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"The spool {folder} cannot be opened: {error}. Is that disk full, or gone?") from error
        self.spool = self._index.get("id")
        self.seen = Seen.of_json(self._index.get("seen"))
        self._rewound: set[str] = set()
        self._forget_open()

    def _forget_open(self) -> None:
        self._open: list[Columns] = []
        self._open_keys: set[tuple[str, int]] = set()
        self._opened_at = 0.0  # monotonic time of the first message that waits
        self.rows = self.size = 0  # readings that wait to be sealed, and the bytes they came in

    def close(self) -> None:
        """Let go of the folder. What is not sealed is forgotten; the broker has it."""
        self._index.close()
        os.close(self._lock)

    @property
    def waiting(self) -> int:
        """Messages that wait to be sealed."""
        return len(self._open)

    def due_in(self, now: float | None = None) -> float | None:
        """Seconds from `now` (monotonic) until what waits is to be sealed; None where nothing waits."""
        if not self._open:
            return None
        if self.rows >= settings.ot.seal_rows or self.size >= SEAL_BYTES:
            return 0.0
        return max(0.0, settings.ot.seal_s - ((now or time.monotonic()) - self._opened_at))

    def add(self, message: Message | Columns, size: int = 0) -> Taken:
        """Take a message: "new"; or one that waits to be sealed already ("open"), or is durable already ("sealed").

        `size`: the bytes it came in.
        """
        if isinstance(message, Message):
            message = columns.of(message)
        key = (message.store, message.number)
        if self.seen.has(*key, message.sent_us):
            return "open" if key in self._open_keys else "sealed"
        if self.seen.is_rewound(*key, message.sent_us) and message.store not in self._rewound:
            self._rewound.add(message.store)
            log.warning(
                "Message %d of %s, store %s, came before but was sent later than any other: its outbox was put back to "
                "an older copy. It is taken, as are those that follow; where two hosts share a copy of one outbox, "
                "delete it on one of them",
                message.number,
                message.bridge,
                message.store,
            )
        if not self._open:
            self._opened_at = time.monotonic()
        self.seen.add(*key, message.sent_us)
        self._open.append(message)
        self._open_keys.add(key)
        self.rows += message.rows
        self.size += size
        return "new"

    def seal(self) -> Segment | None:
        """Make durable what waits, as one segment; None where nothing waits.

        Its number is one that no consumer has, even where the spool was put back to an older copy than theirs.
        Raises `SpoolError` where the disk refuses. Everything goes on waiting then, for the next call.
        """
        if not self._open:
            return None
        messages = sorted(self._open, key=lambda message: message.bridge)  # stable: within a bridge as they came
        bridges: dict[str, int] = {}
        for message in messages:
            bridges[message.bridge] = bridges.get(message.bridge, 0) + message.rows
        label = Label(
            spool=self.spool,
            number=max(self._next, self._index.taken_by_any() + 1),
            sealed_at=datetime.now(UTC),
            bridges=tuple(bridges.items()),
            gaps=tuple(gap for message in self._open for gap in message.gaps),
            seen=self.seen.to_json(),
        )
        readings = columns.table(messages)
        data = spool_file.to_bytes(readings, label)
        try:
            self._write(self.folder / file_name(label.number), data)
            self._record(label, readings, data)
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(
                f"Segment {label.number} cannot be written to {self.folder}: {error}. Nothing of it was acknowledged, "
                "the broker keeps it. Free space on that disk; sealing goes on by itself"
            ) from error
        self._next = label.number + 1
        self._forget_open()
        return self._index.get_segment(label.number)

    def expire(self, keep: timedelta, now: datetime | None = None, limit: int = 200) -> int:
        """Delete segments that every consumer has taken and that are older than `keep`; never the newest.

        At most `limit` of them, so that sealing is not held up. The index forgets first: a file that outlives a crash
        is known to be old by its number.
        """
        before = (now or datetime.now(UTC)) - keep
        numbers = self._index.expired(microseconds(before), limit)
        if numbers:
            with self._index.change():
                self._index.forget(numbers)
            for number in numbers:
                (self.folder / file_name(number)).unlink(missing_ok=True)
        return len(numbers)

    def totals(self) -> tuple[int, int, int]:
        """Segments kept, their bytes, and how many of them are corrupt."""
        return self._index.totals()

    def _write(self, path: Path, data: bytes) -> None:
        spool_file.write_durably(path, data)

    def _record(self, label: Label, readings, data: bytes) -> None:
        with self._index.change():
            self._index.add(label, readings, data)
            self._index.put("seen", label.seen)

    def _repair(self) -> None:
        """Make index and files agree again, after whatever stopped the last writer."""
        for half in self.folder.glob("*.tmp"):
            half.unlink()
        corrupt = self.folder / CORRUPT
        corrupt.mkdir(exist_ok=True)
        files = {number: path for path in self.folder.iterdir() if (number := number_of(path)) is not None}
        aside = {number for path in corrupt.iterdir() if (number := number_of(path)) is not None}
        with self._index.change():
            if self._index.is_new:
                self._index.make()
                self._index.put("id", _spool_of(files) or str(uuid.uuid4()))
                self._index.put("seen", Seen().to_json())
            known = self._index.numbers()
            newest = max(known, default=0)
            if self._index.is_new and files:
                log.warning("The spool's index is new; reading the %d segments in %s", len(files), self.folder)
            for number in sorted(files.keys() - known):
                if not self._index.is_new and number <= self._index.taken_by_all():
                    files[number].unlink()  # forgotten, but not deleted yet, when the writer stopped
                else:
                    self._adopt(number, files[number], is_newest=number > newest)
            for number in files.keys() & known:
                if self._index.is_corrupt(number):  # set aside, but not moved yet, when the reader stopped
                    files[number].rename(corrupt / files[number].name)
        self._next = max(files.keys() | known | aside, default=0) + 1

    def _adopt(self, number: int, path: Path, *, is_newest: bool) -> None:
        """Record a file that the index does not know; the newest one knows which messages were taken."""
        data = path.read_bytes()
        try:
            readings, label = spool_file.of_bytes(data)
            if (label.spool, label.number) != (self._index.get("id"), number):
                raise SpoolError(f"says that it is number {label.number} of spool {label.spool}")
        except SpoolError as error:
            reason = f"{path.name} {error}"
            log.error("%s. It is set aside in %s; no consumer gets it", reason, self.folder / CORRUPT)
            self._index.add_lost(number, data, int(path.stat().st_mtime * 1e6), reason)
            path.rename(self.folder / CORRUPT / path.name)
            return
        self._index.add(label, readings, data)
        if is_newest:
            self._index.put("seen", label.seen)
        if not self._index.is_new:
            log.info("Segment %d was sealed but not recorded; it is now", number)


def _lock(path: Path) -> int:
    """Lock the folder for this process. The lock goes with the process, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode() or "unknown"
        os.close(handle)
        raise SpoolError(
            f"Another recorder (process {holder}) writes the spool {path.parent}. Stop it, or let it do the work"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _open_index(folder: Path) -> Index:
    """The index; a damaged one is put beside and made again from the files."""
    path = folder / "index.db"
    try:
        return Index(path)
    except sqlite3.OperationalError:  # busy, or no space: not damaged
        raise
    except sqlite3.DatabaseError as error:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        log.error("The spool's index is damaged (%s); it is kept as index.db.%s.damaged and made again", error, stamp)
        for suffix in ("", "-wal", "-shm"):
            damaged = folder / f"index.db{suffix}"
            if damaged.exists():
                damaged.rename(folder / f"index.db.{stamp}.damaged{suffix}")
        return Index(path)


def _spool_of(files: dict[int, Path]) -> str | None:
    """The id of the spool that some segment files are of: that of the newest one that can be read."""
    for number in sorted(files, reverse=True):
        try:
            return spool_file.of_bytes(files[number].read_bytes())[1].spool
        except SpoolError:
            continue
    return None
