"""The spool: sealed segments on the recorder's disk, from which hot store and lake are fed, each at its own pace.

    <ot_dir>/spool/segment-000000000017.parquet   one sealed segment (spool_file.py)
                   index.db                       what is known of each (spool_index.py)
                   lock                           held by the one writer (spool_write.py)
                   refused/                       payloads that nobody can read, each with its reason
                   corrupt/                       segments whose content is not what was sealed
                   health.json                    how the recorder is

Consumers go by number. `read` says of a segment that it is corrupt by `SpoolError`; the consumer then calls
`set_aside`, which gives the gaps that are left of it, and goes on with the next.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from include.errors import SpoolError
from include.ot import spool_file, spool_index
from include.ot.reading import Gap
from include.ot.spool_index import CONSUMERS, CORRUPT, Segment
from include.ot.spool_write import SpoolWriter

__all__ = ["CONSUMERS", "Segment", "SpoolReader", "SpoolWriter"]

log = logging.getLogger(__name__)
_IS_GONE_BAD = (errno.ENOENT, errno.EIO, errno.EISDIR)  # of the file itself; any other error may pass


class SpoolReader:
    """The reading end, for any process and thread on the recorder's host. Empty where no recorder ran yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def spool_id(self) -> str | None:
        """The spool's id: a new one where the spool began anew. None where no recorder ran yet."""
        with spool_index.reading(self.folder) as index:
            return index and spool_index.spool_id(index)

    def sealed(self, after: int, limit_rows: int | None = None) -> list[Segment]:
        """The segments after number `after`, in order: all, or at least one and no more than hold `limit_rows`."""
        found: list[Segment] = []
        rows = 0
        for segment in self._after(after):
            rows += segment.rows
            if found and limit_rows is not None and rows > limit_rows:
                break
            found.append(segment)
        return found

    def newest(self) -> int:
        """The number of the newest segment; 0 where there is none."""
        with spool_index.reading(self.folder) as index:
            return (index and index.execute("select max(number) from segments").fetchone()[0]) or 0

    def read(self, segment: Segment) -> pa.Table:
        """Its readings, of `SEGMENT_SCHEMA`. Raises `SpoolError` where they are not what was sealed, now or ever."""
        if segment.corrupt:
            raise SpoolError(f"Segment {segment.number} was set aside: {segment.corrupt}")
        try:
            data = segment.path.read_bytes()
        except OSError as error:
            if error.errno not in _IS_GONE_BAD:
                raise
            raise SpoolError(f"Segment {segment.number} cannot be read: {error}") from error
        if sha256(data).hexdigest() != segment.sha256:
            raise SpoolError(f"Segment {segment.number}, {segment.path}, is not what was sealed: its checksum is wrong")
        try:
            return spool_file.of_bytes(data)[0]
        except SpoolError as error:
            raise SpoolError(f"Segment {segment.number}, {segment.path}, {error}") from error

    def set_aside(self, segment: Segment, reason: str) -> tuple[Gap, ...]:
        """Move a corrupt segment to `corrupt/`, and give the gaps that its loss leaves, one a bridge.

        Safe to call again and by each consumer: the gaps are the same ones. Those that its messages told are in
        `segment.gaps` as ever.
        """
        with spool_index.reading(self.folder) as index:
            if index is None:
                raise SpoolError(f"The spool {self.folder} has no index. Start the recorder; it makes it anew")
            with spool_index.transaction(index):
                marked = index.execute(
                    "update segments set corrupt = ? where number = ? and corrupt is null", [reason, segment.number]
                ).rowcount
                gaps = spool_index.lost_content(index, segment)
        with suppress(FileNotFoundError):
            (self.folder / segment.path.name).rename(self.folder / CORRUPT / segment.path.name)
        if marked:
            log.error("%s. It is set aside in %s; %s", reason, self.folder / CORRUPT, _what_is_lost(segment, gaps))
        return tuple(gaps)

    def progress(self, consumer: str) -> int:
        """Up to which segment a consumer said that it has everything; 0 where it never did."""
        with spool_index.reading(self.folder) as index:
            row = index and index.execute("select number from consumers where name = ?", [consumer]).fetchone()
            return row[0] if row else 0

    def taken(self, consumer: str, number: int) -> None:
        """Remember that a consumer has everything up to a segment: what its own store says, forwards or back."""
        if consumer not in CONSUMERS:
            raise SpoolError(f"{consumer!r} is no consumer of the spool; they are {', '.join(CONSUMERS)}")
        with spool_index.reading(self.folder) as index:
            if index is not None:
                index.execute("insert or replace into consumers values (?, ?)", [consumer, number])

    def lag_s(self, consumer: str, now: datetime | None = None) -> float:
        """How long the oldest segment has waited that a consumer has not taken; 0 where none waits."""
        for segment in self._after(self.progress(consumer)):
            return max(0.0, ((now or datetime.now(UTC)) - segment.sealed_at).total_seconds())
        return 0.0

    def _after(self, number: int) -> Iterator[Segment]:
        with spool_index.reading(self.folder) as index:
            if index is not None:
                yield from spool_index.segments_after(index, self.folder, number)


def _what_is_lost(segment: Segment, gaps: list[Gap]) -> str:
    if not gaps:
        return "what it held is not known"
    bridges = ", ".join(f"{len(gap.tag_ids)} tags of {gap.source}" for gap in gaps)
    return f"{segment.rows} readings of {bridges} become a gap"
