"""Commit whole transactions to raw: all tables of a batch by one request, the heartbeat last.

The heartbeat's row proves that everything before it is in, so it is never ahead of another table. When a commit's
answer is lost, the tables themselves are asked what is in; only the rest is tried again.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from pyiceberg.table.update import RemoveSnapshotsUpdate

from include import lakehouse
from include.errors import CommitConflict, LakehouseError
from include.land import raw_table
from include.land.raw_table import Mark
from include.land.source_setup import LOAD_WANTED
from include.land.worker.landing_table import QUARANTINE, LandingTable
from include.land.worker.stream import Name, Part, Ready

log = logging.getLogger(__name__)
CHUNK_ROWS = 250_000
KEPT_SNAPSHOTS = 120  # raw is read by position, never by snapshot; its metadata must stay small
PATIENCE_S = 600.0


class Writer:
    """Commits `Ready` collections. `table_of` gives the table that a name stands for."""

    def __init__(self, epoch: int, heartbeat: Name, table_of: Callable[[Name], LandingTable | None]) -> None:
        self._epoch = epoch
        self._heartbeat = heartbeat
        self._table_of = table_of
        self._quarantine: dict[Name, IcebergTable] = {}

    def commit(self, ready: Ready) -> None:
        """Make `ready` part of raw, however often that has to be tried. Raises when the lakehouse stays away."""
        batch = uuid.uuid4().hex
        left = {name: parts for name, parts in ready.parts.items() if name in ready.aside or sum(p.count for p in parts)}
        aside = {name: parts for name, parts in ready.aside.items() if parts}
        waited, started = 0.2, time.monotonic()
        while left or aside:
            prepared: list[tuple[Transaction, Name, bool]] = []
            try:
                for name in sorted(aside):
                    prepared.append((self._set_aside(name, aside[name], batch), name, True))
                for name in sorted(left, key=lambda n: n == self._heartbeat):
                    prepared.append((self._append(name, left[name], batch, ready.commit_lsn), name, False))
                lakehouse.commit_many([tx for tx, *_ in prepared])
                done = [True] * len(prepared)
            except CommitConflict:
                done = [False] * len(prepared)
            except (LakehouseError, OSError) as error:
                if time.monotonic() - started > PATIENCE_S:
                    raise
                log.warning("The lakehouse did not take a batch (%s). Trying again in %.1f s.", error, waited)
                time.sleep(waited)
                waited = min(waited * 2, 15.0)
                done = self._are_in([tx for tx, *_ in prepared])
            for (tx, name, is_aside), is_in in zip(prepared, done, strict=False):
                if is_in:
                    self._settle(tx, name, is_aside, ready.commit_lsn)
                    (aside if is_aside else left).pop(name)
            for name in left:
                self._reload(name)
            for name in aside:
                self._quarantine.pop(name, None)
        for parts in (*ready.parts.values(), *ready.aside.values()):
            for part in parts:
                part.drop()

    def _append(self, name: Name, parts: list[Part], batch: str, commit_lsn: int) -> Transaction:
        table = self._table_of(name)
        assert table is not None
        summary = {raw_table.EPOCH: str(self._epoch), raw_table.COMMIT_LSN: str(commit_lsn), "hnai.batch": batch}
        wanted = {LOAD_WANTED: table.wants_load} if table.wants_load else None
        tx = raw_table.appended(table.target, _chunks(parts, batch), summary, wanted)
        _forget_old_snapshots(tx)
        return tx

    def _set_aside(self, name: Name, parts: list[Part], batch: str) -> Transaction:
        table = self._table_of(name)
        assert table is not None
        if name not in self._quarantine:
            self._quarantine[name] = lakehouse.ensure_table(f"quarantine.{table.table.identifier}", QUARANTINE)
        return raw_table.appended(self._quarantine[name], _chunks(parts, batch), {"hnai.batch": batch})

    def _settle(self, tx: Transaction, name: Name, is_aside: bool, commit_lsn: int) -> None:
        """Go on from the state just committed, without asking the catalog for it."""
        if is_aside:
            self._quarantine.pop(name, None)
            return
        table = self._table_of(name)
        assert table is not None
        table.mark, table.wants_load = Mark(self._epoch, commit_lsn), ""
        old = table.target
        table.target = IcebergTable(old.name(), tx.table_metadata, old.metadata_location, old.io, old.catalog)

    def _reload(self, name: Name) -> None:
        table = self._table_of(name)
        assert table is not None
        try:
            table.reload()
        except (LakehouseError, OSError):
            pass  # still away: the next try says so

    def _are_in(self, transactions: list[Transaction]) -> list[bool]:
        try:
            return lakehouse.is_committed(transactions)
        except (LakehouseError, OSError):
            return [False] * len(transactions)


def _forget_old_snapshots(tx: Transaction) -> None:
    metadata = tx.table_metadata
    if len(metadata.snapshots) < KEPT_SNAPSHOTS * 2:
        return
    protected = {ref.snapshot_id for ref in metadata.refs.values()}
    by_age = sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0)
    old = [s.snapshot_id for s in by_age[:-KEPT_SNAPSHOTS] if s.snapshot_id not in protected]
    tx._apply((RemoveSnapshotsUpdate(snapshot_ids=old),))


def _chunks(parts: list[Part], batch: str) -> Iterator[pa.Table]:
    """The rows of `parts` in chunks of bounded size, stamped with the batch."""
    held: list[pa.Table] = []
    count = 0
    for part in parts:
        for rows in part.batches():
            held.append(rows)
            count += rows.num_rows
            if count >= CHUNK_ROWS:
                yield _stamped(held, batch)
                held, count = [], 0
    if held:
        yield _stamped(held, batch)


def _stamped(held: list[pa.Table], batch: str) -> pa.Table:
    rows = pa.concat_tables(held, promote_options="permissive")
    return rows.append_column("_batch_id", pa.repeat(pa.scalar(batch, pa.string()), rows.num_rows))
