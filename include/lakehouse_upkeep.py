"""Keep Iceberg tables small: merge small files, forget old snapshots, remove files that nothing refers to.

pyiceberg forgets snapshots but deletes no file, and merges nothing; both are done here, and where Trino is the engine
it does the merging. Everything is safe beside running writers: a merge that loses a race is prepared again against the
newer table, and a file is removed only when it is older than a given age and no snapshot that is kept refers to it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pyarrow.fs import FileSelector, FileType
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFileIO, _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table, Transaction
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import RemoveSnapshotsUpdate

from include.errors import CommitConflict
from include.lakehouse import catalog, commit_many, remembered, table
from include.settings import settings

SMALL_BYTES = 32 * 1024 * 1024
PORTION_BYTES = 64 * 1024 * 1024  # of files merged in one commit; ten times as much in memory
COMPACTION_TRIES = 30  # a try costs about 0.1 s, a busy stream commits every second or two
DELETERS = 8  # at one time: a stream leaves a hundred thousand small files a day
PROGRESS = ("hnai.", "kafka.connect.")  # what writers say of themselves: ours, and Kafka Connect's sink
UPKEEP = "hnai.upkeep"  # in the summary of a snapshot that changes files and no row
KEPT_SNAPSHOTS = 120  # a stream's table is read by position, never by snapshot; its metadata must stay small


@dataclass(frozen=True)
class Compaction:
    """What a merge of small files did; `files_before` equals `files_after` where none was due."""

    identifier: str
    files_before: int
    files_after: int
    rows: int
    scan_s: tuple[float, float] | None = None  # where Trino merged: one column of the table read before and after


def compact(
    identifier: str, *, small_bytes: int = SMALL_BYTES, min_files: int = 5, sort_by: Sequence[str] = ()
) -> Compaction:
    """Merge the data files below `small_bytes` of each partition that has at least `min_files` of them.

    Rows stay the same, in the order of `sort_by` within a file. Writers may append meanwhile. A large heap is merged in
    several commits, each of what fits into memory. Raises `CommitConflict` after several lost races; what was merged
    before stays merged.
    """
    source = table(identifier)
    tasks = list(source.scan().plan_files())
    small: dict[tuple, list[FileScanTask]] = defaultdict(list)
    for task in tasks:
        if task.file.file_size_in_bytes < small_bytes and not task.delete_files:
            small[(task.file.spec_id, tuple(task.file.partition))].append(task)
    due = [group for group in small.values() if len(group) >= min_files]
    if due and merges_by_trino():
        from include.lakehouse_trino import optimize, scan_seconds

        before = scan_seconds(source)
        optimize(identifier, small_bytes, sort_by)
        rows = sum(task.file.record_count for group in due for task in group)
        return Compaction(identifier, len(tasks), file_count(identifier), rows, (before, scan_seconds(source)))
    rows, files = 0, len(tasks)
    for portion in _portions(due):
        done = _merge(source, portion, sort_by)
        rows, files = rows + done.num_rows, files - len(portion) + done.files
        source = table(identifier)
    return Compaction(identifier, len(tasks), files, rows)


def merges_by_trino() -> bool:
    """Whether Trino merges files. Not in Nessie: Trino's commit does not say again what the last one said of itself.

    Elsewhere that is read from the snapshot before, which Nessie does not show.
    """
    return settings.is_distributed and settings.cluster.catalog != "nessie"


def _portions(groups: Iterable[list[FileScanTask]]) -> Iterator[list[FileScanTask]]:
    """Files to be merged together: of some partitions, or of a part of one, up to `PORTION_BYTES`."""
    portion, size = [], 0
    for group in groups:
        for task in group:
            if len(portion) > 1 and size + task.file.file_size_in_bytes > PORTION_BYTES:
                yield portion
                portion, size = [], 0
            portion.append(task)
            size += task.file.file_size_in_bytes
    if len(portion) > 1:
        yield portion


class _Merged(NamedTuple):
    num_rows: int
    files: int


def _merge(source: Table, due: list[FileScanTask], sort_by: Sequence[str]) -> _Merged:
    rows = ArrowScan(source.metadata, source.io, source.schema(), AlwaysTrue()).to_table(due)
    if sort_by:
        rows = rows.sort_by([(name, "ascending") for name in sort_by])
    merged = list(_dataframe_to_data_files(table_metadata=source.metadata, df=rows, io=source.io))
    old = [task.file for task in due]
    for tries in range(1, COMPACTION_TRIES + 1):
        try:
            _swap(source, old, merged)
            break
        except CommitConflict:
            if tries == COMPACTION_TRIES:
                raise
            source = table(".".join(source.name()))
            live = {task.file.file_path for task in source.scan().plan_files()}
            if not live.issuperset(f.file_path for f in old):
                raise
    return _Merged(rows.num_rows, len(merged))


def _swap(target: Table, old: list[DataFile], new: list[DataFile]) -> None:
    """Commit `new` in place of `old`. What the newest snapshot says of itself (a position) stays with the table."""
    (*_, told) = _since_progress(target) or [None]
    tx = target.transaction()
    with tx.update_snapshot(snapshot_properties={**_said(told), UPKEEP: "compact"}).overwrite() as swap:
        for f in old:
            swap.delete_data_file(f)
        for f in new:
            swap.append_data_file(f)
    commit_many([tx])


def _said(snapshot: Snapshot | None) -> dict[str, str]:
    """What a writer says in a snapshot's summary of how far it has come."""
    if snapshot is None or snapshot.summary is None:
        return {}
    said = snapshot.summary.additional_properties
    return {name: value for name, value in said.items() if name.startswith(PROGRESS) and name != UPKEEP}


def is_upkeep(snapshot: Snapshot) -> bool:
    """Whether the snapshot changed files and no row: a merge of ours, or of another engine."""
    if snapshot.summary is None:
        return False
    return UPKEEP in snapshot.summary.additional_properties or snapshot.summary.operation == Operation.REPLACE


def forget_old_snapshots(tx: Transaction, keep: int = KEPT_SNAPSHOTS) -> None:
    """Let a commit of a stream forget all but the newest snapshots of its table, every `keep` commits."""
    metadata = tx.table_metadata
    if len(metadata.snapshots) < keep * 2:
        return
    protected = {ref.snapshot_id for ref in metadata.refs.values()}
    by_age = sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0)
    old = [s.snapshot_id for s in by_age[:-keep] if s.snapshot_id not in protected]
    tx._apply((RemoveSnapshotsUpdate(snapshot_ids=old),))


def expire(identifier: str, older_than: datetime, keep: Collection[int] = ()) -> int:
    """Forget snapshots committed before `older_than` (UTC), except the current one, tagged ones and `keep`.

    Also kept is what tells how far a table's writer has come, where merges by another engine came after it. Gives the
    number forgotten. Their files go with the next `remove_orphans`.
    """
    target = table(identifier)
    protected = {ref.snapshot_id for ref in target.metadata.refs.values()} | set(keep)
    protected |= {snapshot.snapshot_id for snapshot in _since_progress(target)}
    limit_ms = int(older_than.timestamp() * 1000)
    old = [
        s.snapshot_id for s in target.metadata.snapshots if s.timestamp_ms < limit_ms and s.snapshot_id not in protected
    ]
    if old:
        target.maintenance.expire_snapshots().by_ids(old).commit()
    return len(old)


def _since_progress(target: Table) -> list[Snapshot]:
    """The snapshots from the current one back to the newest that tells how far the writer has come.

    Between them there are merges at most. Empty where no snapshot tells it.
    """
    passed: list[Snapshot] = []
    snapshot = target.current_snapshot()
    while snapshot is not None:
        passed.append(snapshot)
        if _said(snapshot):
            return passed
        if not is_upkeep(snapshot):
            break
        snapshot = target.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return []


@dataclass(frozen=True)
class Orphans:
    """Files below a table's location that no snapshot referred to, and their size."""

    identifier: str
    removed: int
    removed_bytes: int
    kept_files: int


def remove_orphans(identifier: str, older_than: datetime, remembered_since: datetime | None = None) -> Orphans:
    """Delete files below the table's location that nothing refers to and that are older than `older_than` (UTC).

    Where the catalog itself remembers what the table was (Nessie), its states since `remembered_since` are kept whole;
    older ones can no longer be read then.

    The listing is made before the references are read, so that a file committed in between is never taken
    for an orphan; the age covers writers that have written a file but not yet committed it.
    """
    location = table(identifier).location()
    io = table(identifier).io
    assert isinstance(io, PyArrowFileIO)
    scheme, netloc, path = io.parse_location(location)
    filesystem = io.fs_by_scheme(scheme, netloc)
    listed = [f for f in filesystem.get_file_info(FileSelector(path, recursive=True)) if f.type == FileType.File]
    states = [table(identifier), *remembered(identifier, remembered_since or older_than, older_than)]
    referred = {io.parse_location(p)[2] for state in states for p in references(state)}
    orphans = [f for f in listed if f.path not in referred and f.mtime and f.mtime.astimezone(UTC) < older_than]
    with ThreadPoolExecutor(DELETERS) as several:
        list(several.map(filesystem.delete_file, [f.path for f in orphans]))
    return Orphans(identifier, len(orphans), sum(f.size for f in orphans), len(listed) - len(orphans))


def references(target: Table) -> set[str]:
    """Every file that the table's kept snapshots, metadata log and statistics refer to."""
    metadata = target.metadata
    found = {target.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    found |= {s.statistics_path for s in (*metadata.statistics, *metadata.partition_statistics)}
    seen: set[str] = set()
    for snapshot in metadata.snapshots:
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(target.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            found.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(target.io, discard_deleted=True)
            found |= {entry.data_file.file_path for entry in entries}
    return found


def tables(namespace: str) -> list[str]:
    """The tables of a namespace as `<namespace>.<name>`; none where the namespace does not exist."""
    if not catalog().namespace_exists(namespace):
        return []
    return sorted(".".join(name) for name in catalog().list_tables(namespace))


def file_count(identifier: str) -> int:
    """The number of live data and delete files of a table."""
    snapshot = table(identifier).metadata.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return 0
    summary = snapshot.summary.additional_properties
    return int(summary.get("total-data-files", 0)) + int(summary.get("total-delete-files", 0))


def now() -> datetime:
    """The present instant, UTC: upkeep is the one place where age is measured against the clock."""
    return datetime.now(UTC)
