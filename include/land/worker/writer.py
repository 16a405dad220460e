"""Commit whole transactions to raw: all tables of a batch by one request, the heartbeat last.

The heartbeat's row proves that everything before it is in, so it is never ahead of another table. When a commit's
answer is lost, the tables themselves are asked what is in; only the rest is tried again.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from requests import RequestException

from include import lakehouse
from include.errors import CommitConflict, LakehouseError
from include.lakehouse_upkeep import forget_old_snapshots
from include.land import raw_table
from include.land.raw_table import Mark
from include.land.source_setup import LOAD_WANTED
from include.land.worker.landing_table import QUARANTINE, LandingTable, is_behind
from include.land.worker.stream import Name, Part, Ready

log = logging.getLogger(__name__)
BATCH = "hnai.batch"
CHUNK_ROWS = 250_000
PATIENCE_S = 600.0


class Writer:
    """Commits `Ready` collections. `table_of` gives the table that a name stands for."""

    def __init__(self, epoch: int, heartbeat: Name, table_of: Callable[[Name], LandingTable | None]) -> None:
        self._epoch = epoch
        self._heartbeat = heartbeat
        self._table_of = table_of
        self._quarantine: dict[Name, IcebergTable] = {}
        self.trouble = ""  # why a batch waits, while one does

    def commit(self, ready: Ready) -> None:
        """Make `ready` part of raw, however often that has to be tried. Raises when the lakehouse stays away."""
        batch = uuid.uuid4().hex
        left = {
            name: parts for name, parts in ready.parts.items() if name in ready.aside or sum(p.count for p in parts)
        }
        aside = {name: parts for name, parts in ready.aside.items() if parts}
        pause_s, started = 0.2, time.monotonic()
        while left or aside:
            try:
                set_aside = [(self._set_aside(name, parts, batch), name) for name, parts in sorted(aside.items())]
                appended = [
                    (self._append(name, left[name], batch, ready.commit_lsn), name)
                    for name in sorted(left, key=lambda n: (n == self._heartbeat, n))
                ]
                lakehouse.commit_many([tx for tx, _ in (*set_aside, *appended)])
                for tx, name in appended:
                    self._go_on_from(tx, name, ready.commit_lsn)
                break
            except CommitConflict:
                pass
            except (LakehouseError, OSError, RequestException) as error:
                if time.monotonic() - started > PATIENCE_S:
                    raise
                self.trouble = f"The lakehouse does not take a batch: {error}"
                log.warning("%s. Trying again in %.1f s.", self.trouble, pause_s)
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 15.0)
            self._drop_what_is_in(left, aside, batch, ready.commit_lsn)
        self.trouble = ""
        self._quarantine.clear()
        for parts in (*ready.parts.values(), *ready.aside.values()):
            for part in parts:
                part.drop()

    def _drop_what_is_in(
        self, left: dict[Name, list[Part]], aside: dict[Name, list[Part]], batch: str, commit_lsn: int
    ) -> None:
        """Ask the tables how far they are, and keep only what they lack. An unanswered commit may have come through."""
        self._quarantine.clear()
        try:
            for name in list(left):
                table = self._opened(name)
                table.reload()
                table.mark = max(table.mark, raw_table.mark(table.target))
                if is_behind(table.mark, self._epoch, commit_lsn):
                    del left[name]
            for name in list(aside):
                identifier = f"quarantine.{self._opened(name).table.identifier}"
                if lakehouse.exists(identifier) and _has_batch(lakehouse.table(identifier), batch):
                    del aside[name]
        except (LakehouseError, OSError, RequestException) as error:
            log.warning("The lakehouse does not say what is in: %s", error)

    def _append(self, name: Name, parts: list[Part], batch: str, commit_lsn: int) -> Transaction:
        table = self._opened(name)
        summary = {raw_table.EPOCH: str(self._epoch), raw_table.COMMIT_LSN: str(commit_lsn), BATCH: batch}
        wanted = {LOAD_WANTED: table.wants_load} if table.wants_load else None
        above = table.mark.commit_lsn if table.mark.epoch == self._epoch else -1
        tx = raw_table.appended(table.target, _chunks(parts, batch, above), summary, wanted)
        forget_old_snapshots(tx)
        return tx

    def _set_aside(self, name: Name, parts: list[Part], batch: str) -> Transaction:
        if name not in self._quarantine:
            identifier = f"quarantine.{self._opened(name).table.identifier}"
            self._quarantine[name] = lakehouse.ensure_table(identifier, QUARANTINE)
        return raw_table.appended(self._quarantine[name], _chunks(parts, batch, -1), {BATCH: batch})

    def _go_on_from(self, tx: Transaction, name: Name, commit_lsn: int) -> None:
        """Take the state just committed for the table's newest, without asking the catalog for it."""
        table = self._opened(name)
        table.mark, table.wants_load = Mark(self._epoch, commit_lsn), ""
        old = table.target
        table.target = IcebergTable(old.name(), tx.table_metadata, old.metadata_location, old.io, old.catalog)

    def _opened(self, name: Name) -> LandingTable:
        table = self._table_of(name)
        assert table is not None, name
        return table


def _has_batch(target: IcebergTable, batch: str) -> bool:
    return any(s.summary and s.summary.additional_properties.get(BATCH) == batch for s in target.metadata.snapshots)


def _chunks(parts: list[Part], batch: str, above: int) -> Iterator[pa.Table]:
    """The rows of `parts` that were committed above a position, in chunks of bounded size, stamped with the batch."""
    held: list[pa.Table] = []
    count = 0
    for part in parts:
        for rows in part.batches():
            if rows.num_rows and pc.min(rows["_commit_lsn"]).as_py() <= above:
                rows = rows.filter(pc.greater(rows["_commit_lsn"], above))
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
