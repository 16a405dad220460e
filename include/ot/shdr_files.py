"""Log files of MTConnect adapters as a source: a folder is watched, and each line of its files is read once.

    kind: shdr_files
    url: file:///var/lib/adapters       # or a path
    patterns: ["*.txt"]                 # without: .txt, .log and rotated logs
    by_device: true                     # a subfolder is a device: mazak01/2019-06-11.txt holds mazak01's keys

How far each file was read is kept in `<ot_dir>/<source>/files.db`, and moves on only once what was read is on the
bridge's disk: a bridge that is killed reads some lines twice, and the same lines give the same readings. A file
that grows is read on. One that begins with what was read from its folder already, byte for byte, is the same log under
another name (rotated, copied): it is read on from there. One whose beginning has changed is another log, and is read
from its start. The last line of a file may lack its end; it is read once the file has been still for `settle_s`.

A folder that is away is told in the state. It is no outage of the machines, so no tag is said to be bad and no gap
is told: the lines are still in the files.
"""

import asyncio
import hashlib
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import unquote, urlsplit

from include.errors import DeclarationError, OtError
from include.ot.client import Sink
from include.ot.mtconnect_session import options_of
from include.ot.observations import BAD_CONFIGURATION_ERROR, Tags
from include.ot.reading import BAD_NO_DATA, Sample
from include.ot.shdr import Parser
from include.ot.sources import Source
from include.ot.tags import Tag
from include.settings import settings

log = logging.getLogger(__name__)

PATTERNS = ("*.txt", "*.log", "*.log.[0-9]", "*.log.[0-9][0-9]")
SCAN_S = 5.0
SETTLE_S = 30.0
PIECE = 256 * 1024  # bytes that are read, handed on and remembered at a time
MOST_LINE = 2**20
TAIL = 1024  # bytes before the place where a growing file is read on, by which it is known again
SHOWN = 50
OWN = ("patterns", "by_device", "scan_s", "settle_s")

_SCHEMA = """
create table if not exists files (
    path text primary key, folder text not null, bytes integer not null, sha256 text not null,
    size integer not null, mtime_ns integer not null, read_at text not null
) without rowid
"""


@dataclass(frozen=True)
class _Read:
    """How far a file was read, and how it looked then."""

    path: str
    bytes: int = 0
    sha256: str = hashlib.sha256().hexdigest()  # of these bytes
    size: int = 0
    mtime_ns: int = 0


class Progress:
    """What was read of which file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute(_SCHEMA)

    def of(self, path: str) -> _Read | None:
        row = self._db.execute(
            "select path, bytes, sha256, size, mtime_ns from files where path = ?", [path]
        ).fetchone()
        return _Read(*row) if row else None

    def in_folder(self, folder: str) -> list[_Read]:
        """The files of a folder, by how much of them was read."""
        rows = self._db.execute(
            "select path, bytes, sha256, size, mtime_ns from files where folder = ? and bytes > 0 order by bytes",
            [folder],
        )
        return [_Read(*row) for row in rows]

    def keep(self, read: _Read) -> None:
        folder = str(Path(read.path).parent)
        self._db.execute(
            "insert or replace into files values (?, ?, ?, ?, ?, ?, ?)",
            [read.path, folder, read.bytes, read.sha256, read.size, read.mtime_ns, datetime.now(UTC).isoformat()],
        )

    def count(self) -> tuple[int, int]:
        """Files and bytes that were read."""
        return self._db.execute("select count(*), coalesce(sum(bytes), 0) from files").fetchone()

    def close(self) -> None:
        self._db.close()


class ShdrFilesClient:
    """See `include.ot.client.Client`."""

    has_history = False
    keeps_all = True  # what was not read while we were away is still in the files

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source, self.sink = source, sink
        self.options = options_of(source, OWN)
        self.folder = folder_of(source)
        self.patterns = _patterns(source)
        self.by_device = _flag(source, "by_device")
        self.scan_s, self.settle_s = _seconds(source, "scan_s", SCAN_S), _seconds(source, "settle_s", SETTLE_S)
        self.tags = Tags()
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.scans = 0
        self._declared: dict[str, Tag] = {}
        self._problems: dict[str, str] = {}  # by file
        self._told_refused: set[str] = set()
        self._reading: str | None = None
        self._progress: Progress | None = None
        self._ends: dict[str, tuple[int, Any, bytes]] = {}  # of files: where reading stopped, hash, last bytes

    async def run(self, tags: Sequence[Tag]) -> None:
        self._take_over(tags)
        self._progress = Progress(settings.ot_dir / self.source.name / "files.db")
        try:
            while True:
                await self._scan()
                self.scans += 1
                await asyncio.sleep(self.scan_s)
        finally:
            self._progress.close()

    async def retag(self, tags: Sequence[Tag]) -> None:
        """Tags that are new get what is read from now on; files that were read are not read again for them."""
        self._take_over(tags)

    def _take_over(self, tags: Sequence[Tag]) -> None:
        wrong = set(self.tags.errors)
        self.tags.take(tags)
        self._declared = {tag.tag_id: tag for tag in tags}
        now = datetime.now(UTC)
        new = [tag_id for tag_id in self.tags.errors if tag_id not in wrong]
        if new:
            self.sink.put([Sample(tag_id, None, BAD_CONFIGURATION_ERROR, None, None, now) for tag_id in new])

    async def _scan(self) -> None:
        """Read what is new in every file."""
        try:
            found = await asyncio.to_thread(files, self.folder, self.patterns)
        except OSError as error:
            self._tell(False, f"{self.folder} cannot be read: {error.strerror or error}")
            return
        self._tell(True)
        for path in sorted(found, key=lambda path: self._progress.of(path) is not None):  # renamed ones first
            self._reading = path
            try:
                await self._read(path)
                self._problems.pop(path, None)
            except OSError as error:
                if path not in self._problems:
                    log.warning("%s: %s cannot be read: %s", self.source.name, path, error)
                self._problems[path] = error.strerror or str(error)
            self._reading = None
        self._tell(True)

    async def _read(self, path: str) -> None:
        stat = (self.folder / path).stat()
        known = self._progress.of(path)
        if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns) and not self._has_rest(known):
            return
        start, hasher = await asyncio.to_thread(self._go_on_at, path)
        parser = self.options.parser(_device(path) if self.by_device else None)
        while True:
            piece = await asyncio.to_thread(self._piece, path, start)
            if piece:
                self._take(piece, parser)
                await self.sink.settle()
                hasher.update(piece)
                start += len(piece)
                self._ends[path] = (start, hasher, piece[-TAIL:])
            self._progress.keep(_Read(path, start, hasher.hexdigest(), stat.st_size, stat.st_mtime_ns))
            if not piece:
                break
        self._count(parser, path)

    def _go_on_at(self, path: str) -> tuple[int, Any]:
        """Where to go on in a file, and the hash of what stands before."""
        start, hasher, tail = self._ends.get(path, (0, None, b""))
        if tail:
            with (self.folder / path).open("rb") as file:
                file.seek(start - len(tail))
                if file.read(len(tail)) == tail:
                    return start, hasher
        return common_start(self.folder / path, self._progress.in_folder(str(Path(path).parent)))

    def _has_rest(self, known: _Read) -> bool:
        """Whether a file that has not changed still has an end that was not read."""
        return known.bytes < known.size and time() - known.mtime_ns / 1e9 > self.settle_s

    def _piece(self, path: str, start: int) -> bytes:
        """The next whole lines. The last one may lack its end in a file that has been still for a while."""
        with (self.folder / path).open("rb") as file:
            file.seek(start)
            piece = file.read(PIECE)
            while b"\n" not in piece and len(piece) <= MOST_LINE and (more := file.read(PIECE)):
                piece += more
            if end := piece.rfind(b"\n") + 1:
                return piece[:end]
            is_still = time() - os.fstat(file.fileno()).st_mtime > self.settle_s
            return piece if is_still or len(piece) > MOST_LINE else b""

    def _take(self, piece: bytes, parser: Parser) -> None:
        now = datetime.now(UTC)
        samples = []
        for line in piece.decode("utf-8", "replace").split("\n"):
            for observation in parser.feed(line):
                samples += self.tags.samples(observation, now)
        if samples:
            self.sink.put(samples)

    def _count(self, parser: Parser, path: str) -> None:
        self.counts.update(parser.counts)
        self.refused.update(parser.refused)
        if parser.last_refused and path not in self._told_refused:
            self._told_refused.add(path)
            line, reason = parser.last_refused[-1]
            log.warning(
                "%s: %s has %d lines that cannot be read, such as %r: %s",
                self.source.name,
                path,
                parser.counts["refused"],
                line,
                reason,
            )

    def _tell(self, is_connected: bool, problem: str | None = None) -> None:
        count, size = self._progress.count()
        self.sink.state(
            is_connected,
            {
                "url": self.source.url,
                "files": count,
                "bytes": size,
                "tags": len(self._declared),
                "in_error": len(self.tags.errors),
                "errors": dict(self.tags.errors),
                "without_a_tag": dict(self.tags.strangers),
                "lines": dict(self.counts),
                "refused": dict(self.refused.most_common(20)),
                "files_in_error": dict(list(self._problems.items())[:SHOWN]),
                "reading": self._reading,
                "last_error": problem,
            },
        )


def files(folder: Path, patterns: Sequence[str]) -> list[str]:
    """The files below a folder, by name; raises OSError where it cannot be listed. Hidden ones are left out."""
    found = []
    for path in _walk(folder):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if not is_hidden and any(fnmatch(path.name, pattern) for pattern in patterns):
            found.append(str(relative))
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def common_start(path: Path, known: Sequence[_Read]) -> tuple[int, Any]:
    """How many bytes of a file were read before, as the beginning of a log that is known, and their hash so far."""
    best, best_hash = 0, hashlib.sha256()
    hasher, at = hashlib.sha256(), 0
    size = path.stat().st_size
    with path.open("rb") as file:
        for read in sorted(known, key=lambda read: read.bytes):
            if read.bytes > size:
                break
            while at < read.bytes and (piece := file.read(min(PIECE, read.bytes - at))):
                hasher.update(piece)
                at += len(piece)
            if at == read.bytes and hasher.hexdigest() == read.sha256:
                best, best_hash = at, hasher.copy()
    return best, best_hash


def folder_of(source: Source) -> Path:
    """The folder that a source names as file:///folder or as a path."""
    url = urlsplit(source.url)
    path = unquote(url.path) if url.scheme == "file" else source.url
    if not path or url.scheme not in ("", "file") or url.netloc:
        raise DeclarationError(f"{source.name}.yaml: url {source.url!r} must be a folder: file:///var/lib/adapters")
    return Path(path).expanduser()


def _device(path: str) -> str | None:
    """The device of a file: the first folder above it; none of a file that stands at the top."""
    parts = Path(path).parts
    return parts[0] if len(parts) > 1 else None


def _patterns(source: Source) -> tuple[str, ...]:
    given = source.options.get("patterns", list(PATTERNS))
    if not isinstance(given, list) or not given or not all(isinstance(pattern, str) for pattern in given):
        raise DeclarationError(f"{source.name}.yaml: patterns must be a list such as ['*.txt']")
    return tuple(given)


def _flag(source: Source, name: str) -> bool:
    value = source.options.get(name, False)
    if not isinstance(value, bool):
        raise DeclarationError(f"{source.name}.yaml: {name} {value!r} is neither true nor false")
    return value


def _seconds(source: Source, name: str, default: float) -> float:
    value = source.options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise DeclarationError(f"{source.name}.yaml: {name} {value!r} is no number of seconds")
    return float(value)


async def read_once(source: Source, tags: Sequence[Tag]) -> list[Sample]:
    """The latest value of each tag in the files; one that no line is for is bad."""
    options, folder, by_device = options_of(source, OWN), folder_of(source), _flag(source, "by_device")
    bound, last = Tags(tags), {}
    now = datetime.now(UTC)
    try:
        for path in files(folder, _patterns(source)):
            parser = options.parser(_device(path) if by_device else None)
            with (folder / path).open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    for sample in (s for o in parser.feed(line) for s in bound.samples(o, now)):
                        before = last.get(sample.tag_id)
                        if before is None or (sample.observed_at or now) >= (before.observed_at or now):
                            last[sample.tag_id] = sample
    except OSError as error:
        raise OtError(f"{folder} cannot be read: {error.strerror or error}. Check url and rights") from error
    return [last.get(tag.tag_id) or Sample(tag.tag_id, None, BAD_NO_DATA, None, None, now) for tag in tags]
