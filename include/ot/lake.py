"""Commits to `ot.readings` and `ot.gaps`, and what the newest of them says of itself.

A snapshot of `ot.readings` says in its summary which segments of each spool are in (`hnai.ot.<spool>`) and how many
commits there were (`hnai.ot.ordinal`): progress rides with the rows, in the same atomic commit. Whoever commits has
read the table before, and commits only if nobody else did meanwhile; so what he found there still holds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import FileScanTask, Table, _to_arrow_batch_reader_via_file_scan_tasks
from pyiceberg.table.snapshots import Snapshot

from include import lakehouse
from include.lakehouse_upkeep import forget_old_snapshots, is_upkeep
from include.land.raw_table import appended
from include.ot.tables import GAPS, GAPS_TABLE, READINGS, READINGS_TABLE

_OURS = "hnai.ot."
ORDINAL = f"{_OURS}ordinal"
ROWS_AHEAD = 2_000_000
KEPT_SNAPSHOTS = 20  # each commit writes the whole list of them: at one every three seconds that is what fills a disk
_TIME = READINGS.field("landed_at").type


@dataclass(frozen=True)
class Position:
    """How far `ot.readings` is: its last commit, and by spool the last segment that is in."""

    ordinal: int = 0
    segments: Mapping[str, int] = field(default_factory=dict)

    def after(self, segments: Mapping[str, int]) -> "Position":
        """The position that a commit of further segments reaches."""
        return Position(self.ordinal + 1, {**self.segments, **segments})

    def summary(self) -> dict[str, str]:
        return {ORDINAL: str(self.ordinal), **{f"{_OURS}{spool}": str(n) for spool, n in self.segments.items()}}


def position(readings: Table) -> Position:
    """What the newest commit that says something says; else what the rows say."""
    snapshot = readings.current_snapshot()
    while snapshot is not None:
        said = _said(snapshot)
        if ORDINAL in said:
            segments = {
                name.removeprefix(_OURS): int(value)
                for name, value in said.items()
                if name.startswith(_OURS) and name != ORDINAL
            }
            return Position(int(said[ORDINAL]), segments)
        snapshot = readings.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return Position() if readings.current_snapshot() is None else _position_of_rows(readings)


def _position_of_rows(readings: Table) -> Position:
    ordinal, segments = 0, {}
    for batch in batches(readings, AlwaysTrue(), ("_ordinal", "_segment_id")):
        ordinal = max(ordinal, pc.max(batch["_ordinal"]).as_py() or 0)
        for segment_id in pc.unique(batch["_segment_id"]).to_pylist():
            spool, _, number = segment_id.rpartition("-")
            if number.isdecimal() and len(number) == 12:
                segments[spool] = max(segments.get(spool, 0), int(number))
    return Position(ordinal, segments)


def ordinal_now() -> int:
    """The last commit to `ot.readings`; 0 where there is none."""
    return position(lakehouse.table(READINGS_TABLE)).ordinal if lakehouse.exists(READINGS_TABLE) else 0


def has_only_upkeep_since(readings: Table, snapshot_id: int | None) -> bool:
    """Whether the rows are those of a snapshot seen before: since then files were merged at most."""
    snapshot = readings.current_snapshot()
    while snapshot is not None and snapshot.snapshot_id != snapshot_id:
        if not is_upkeep(snapshot):
            return False
        snapshot = readings.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return snapshot is not None or snapshot_id is None


def _said(snapshot: Snapshot) -> Mapping[str, str]:
    return snapshot.summary.additional_properties if snapshot.summary else {}


def stamped(rows: pa.Table, segment_id: str) -> pa.Table:
    """Readings of `SEGMENT_SCHEMA` with where they come from."""
    return rows.append_column("_segment_id", pa.repeat(pa.scalar(segment_id, pa.string()), rows.num_rows))


def commit(
    readings: Table,
    at: Position,
    rows: Sequence[pa.Table] = (),
    gap_rows: Sequence[Mapping] = (),
    segments: Mapping[str, int] | None = None,
    guard: AbstractContextManager[None] | None = None,
    *,
    rows_first: bool = False,
) -> tuple[Table, Position]:
    """Commit readings (with `_segment_id`) and rows of gaps, both under the next ordinal; give what stands then.

    `at` is the position of `readings` as loaded. `guard` is held for the commit itself. Errors as in
    `lakehouse.commit_many`. A catalog that dies between the two tables leaves the first without the second: gaps that
    open stand first and are found again; what fills a gap comes before (`rows_first`) the word that it is filled.
    """
    now = datetime.now(UTC)
    reached = at.after(segments or {})
    landed = [_landed(part, now, reached.ordinal) for part in rows if part.num_rows]
    change = appended(readings, landed, reached.summary())
    forget_old_snapshots(change, KEPT_SNAPSHOTS)
    changes = [change]
    if gap_rows:
        filled = [{"recorded_at": now, "_ordinal": reached.ordinal, **row} for row in gap_rows]
        gaps = appended(
            lakehouse.table(GAPS_TABLE), [pa.Table.from_pylist(filled, schema=GAPS)], {ORDINAL: str(reached.ordinal)}
        )
        changes.insert(1 if rows_first else 0, gaps)
    with guard or nullcontext():
        lakehouse.commit_many(changes)
    committed = Table(readings.name(), change.table_metadata, readings.metadata_location, readings.io, readings.catalog)
    return committed, reached


def _landed(rows: pa.Table, now: datetime, ordinal: int) -> pa.Table:
    return rows.append_column("landed_at", pa.repeat(pa.scalar(now, _TIME), rows.num_rows)).append_column(
        "_ordinal", pa.repeat(pa.scalar(ordinal, pa.int64()), rows.num_rows)
    )


def batches(readings: Table, where: BooleanExpression, columns: Sequence[str]) -> pa.RecordBatchReader:
    """The rows in a window, some files at a time: a window may hold more than fits into memory.

    Left to itself, pyiceberg reads all files ahead.
    """
    scan = readings.scan(row_filter=where, selected_fields=tuple(columns))
    tasks = list(scan.plan_files())

    def some(tasks: Sequence[FileScanTask]) -> pa.RecordBatchReader:
        return _to_arrow_batch_reader_via_file_scan_tasks(scan, scan.projection(), tasks)

    def read() -> Iterator[pa.RecordBatch]:
        for portion in _portions(tasks):
            yield from some(portion)

    return pa.RecordBatchReader.from_batches(some([]).schema, read())


def _portions(tasks: Iterable[FileScanTask]) -> Iterator[list[FileScanTask]]:
    """Files read together, of about `ROWS_AHEAD`."""
    portion, rows = [], 0
    for task in tasks:
        portion.append(task)
        rows += task.file.record_count
        if rows >= ROWS_AHEAD:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion
