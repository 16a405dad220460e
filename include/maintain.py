"""Keep everything that grows within bounds: small files, old snapshots, orphaned files, old workspaces.

Each step changes no row, does only what is left to do, and records figures before and after in
`ops.maintenance`. Running writers are not disturbed: a merge that loses a race is tried again or left to the
next run; published marts are touched only under the lease of their publisher; nothing younger than its age is
removed.

    python -m include.maintain            # all steps
    python -m include.maintain --help
"""

import argparse
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import GreaterThanOrEqual

from include import lakehouse
from include import lakehouse_upkeep as upkeep
from include.catalog import packs
from include.errors import CommitConflict, HnaiError
from include.ops.lease import hold
from include.ops.store import read, record
from include.publish import recover
from include.settings import settings

log = logging.getLogger(__name__)
# Namespaces that are cut by position and never read at a snapshot; all are append-only but the scores of conditions.
LOGS = ("raw", "ops", "quarantine", "ot", "condition")
SORTED_BY = {"ot.readings": ("tag_id", "observed_at", "sequence")}  # who asks for tags reads few row groups
TRIES = 5
T = TypeVar("T")


@dataclass
class Upkeep:
    """What one step did to one table, or to the workspaces of one pack."""

    table_name: str
    action: str  # compact, expire, orphans, workspaces
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    snapshots_before: int = 0
    snapshots_after: int = 0
    removed: int = 0
    scan_s_before: float | None = None  # reading a column of the whole table, where Trino merged its files
    scan_s_after: float | None = None
    duration_s: float = 0.0
    note: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        unchanged = self.files_before == self.files_after and self.snapshots_before == self.snapshots_after
        return unchanged and not self.removed and not self.note

    def __str__(self) -> str:
        return (
            f"{self.table_name}: {self.action}: files {self.files_before:,} → {self.files_after:,}, "
            f"{self.bytes_before / 1e6:,.1f} → {self.bytes_after / 1e6:,.1f} MB, "
            f"snapshots {self.snapshots_before:,} → {self.snapshots_after:,}, removed {self.removed:,}"
            f"{'' if self.scan_s_after is None else f', scan {self.scan_s_before:.2f} → {self.scan_s_after:.2f} s'}"
            f"{f' ({self.note})' if self.note else ''}, {self.duration_s:.1f} s"
        )


def compact_raw(run_id: str = "by hand") -> list[Upkeep]:
    """Merge the small files of the append-only logs and forget their old snapshots; hourly.

    A stream commits every few seconds: unmerged, reading a table's position alone would take a second a day later.
    """
    limit = upkeep.now() - timedelta(hours=settings.retention.raw_snapshots_hours)
    done = []
    for namespace in LOGS:
        for identifier in upkeep.tables(namespace):
            with _measured(done, identifier, "compact") as step:
                _compact(step, identifier)
                step.removed = _again(lambda name=identifier: upkeep.expire(name, limit))
    return _recorded(done, run_id)


def expire(run_id: str = "by hand") -> list[Upkeep]:
    """Merge the small files of the published marts and forget snapshots older than `retention.snapshots_days`.

    Kept longer: tagged ones, and those that a close younger than that age refers to. Works under the
    publisher's lease, after settling what a crash left, so that no publish meets a moved table.
    """
    limit = upkeep.now() - timedelta(days=settings.retention.snapshots_days)
    done: list[Upkeep] = []
    for pack in packs():
        if not (published := upkeep.tables(pack)):
            continue
        with hold(f"publish:{pack}", f"maintain-{run_id}") as lease:
            recover.settle_pack(pack, lease)
            keep = _referred(pack, limit)
            for identifier in published:
                with _measured(done, identifier, "expire") as step:
                    lease.still_held()
                    _compact(step, identifier)
                    wanted = keep.get(identifier.split(".")[-1], set())
                    step.removed = _again(lambda name=identifier, ids=wanted: upkeep.expire(name, limit, ids))
    if not done:  # nothing is published yet: the step ran all the same
        done.append(Upkeep("", "expire", note="no table is published"))
    return _recorded(done, run_id, everything=True)


def remove_orphans(run_id: str = "by hand") -> list[Upkeep]:
    """Delete files older than `retention.orphans_days` that no kept snapshot refers to.

    Publishes that a crash left open are settled first: their files are referred to only afterwards.
    """
    recover.recover()
    limit = upkeep.now() - timedelta(days=settings.retention.orphans_days)
    done: list[Upkeep] = []
    if others := lakehouse.other_references():
        note = f"left alone: the catalog has {', '.join(others)} beside its main branch; take Nessie's own GC"
        return _recorded([Upkeep("", "orphans", note=note)], run_id)
    for namespace in (*LOGS, *packs()):
        for identifier in upkeep.tables(namespace):
            with _measured(done, identifier, "orphans") as step:
                found = upkeep.remove_orphans(identifier, limit, _remembered_since(namespace))
                step.removed = found.removed
                step.files_before, step.files_after = found.kept_files + found.removed, found.kept_files
                step.bytes_before = step.bytes_after + found.removed_bytes
    return _recorded(done, run_id)


def _remembered_since(namespace: str) -> datetime:
    """From when on the states of a namespace's tables are kept where only the catalog remembers them."""
    kept = settings.retention
    age = timedelta(hours=kept.raw_snapshots_hours) if namespace in LOGS else timedelta(days=kept.snapshots_days)
    return upkeep.now() - age


def drop_workspaces(run_id: str = "by hand") -> list[Upkeep]:
    """Drop workspaces older than `retention.workspaces_days`, and Data Docs older than `retention.runs_days`."""
    from include.gate.data_docs import drop_old

    made_before = upkeep.now() - timedelta(days=settings.retention.workspaces_days)
    limit = made_before.timestamp()
    done = _drop_namespaces(made_before)
    for folder in sorted(p for p in settings.workspaces_dir.glob("*") if p.is_dir()):
        step = Upkeep(folder.name, "workspaces")
        started = time.monotonic()
        for path in sorted(folder.iterdir()):
            size = _size(path)
            step.files_before += 1
            step.bytes_before += size
            if _last_written(path) < limit:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                step.removed += 1
            else:
                step.files_after += 1
                step.bytes_after += size
        step.duration_s = time.monotonic() - started
        done.append(step)
    pages = Upkeep("data_docs", "workspaces")
    pages.removed = drop_old(upkeep.now() - timedelta(days=settings.retention.runs_days))
    done.append(pages)
    return _recorded(done, run_id)


def _drop_namespaces(made_before: datetime) -> list[Upkeep]:
    """Drop the workspaces that Trino filled, with their tables' files."""
    from include import engine_trino

    done = []
    for namespace in engine_trino.workspaces_before(made_before):
        started = time.monotonic()
        step = Upkeep(namespace, "workspaces", removed=engine_trino.drop(namespace))
        step.duration_s = time.monotonic() - started
        done.append(step)
    return done


STEPS: dict[str, Callable[[str], list[Upkeep]]] = {
    "compact_raw": compact_raw,
    "expire": expire,
    "remove_orphans": remove_orphans,
    "drop_workspaces": drop_workspaces,
}


def _compact(step: Upkeep, identifier: str) -> None:
    done = _again(lambda: upkeep.compact(identifier, sort_by=SORTED_BY.get(identifier, ())))
    if done.scan_s:
        step.scan_s_before, step.scan_s_after = done.scan_s


@contextmanager
def _measured(done: list[Upkeep], identifier: str, action: str) -> Iterator[Upkeep]:
    """Measure a table around a step. A race lost for good is noted and left to the next run."""
    step = Upkeep(identifier, action)
    started = time.monotonic()
    step.files_before, step.bytes_before, step.snapshots_before = _figures(identifier)
    step.files_after, step.bytes_after, step.snapshots_after = _figures(identifier)
    try:
        yield step
    except CommitConflict as conflict:
        step.note = f"left to the next run: {conflict}"
    if action != "orphans":
        step.files_after, step.bytes_after, step.snapshots_after = _figures(identifier)
    step.duration_s = time.monotonic() - started
    done.append(step)


def _figures(identifier: str) -> tuple[int, int, int]:
    """Live files, their bytes, and snapshots of a table."""
    metadata = lakehouse.table(identifier).metadata
    snapshot = metadata.current_snapshot()
    said = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    files = int(said.get("total-data-files", 0)) + int(said.get("total-delete-files", 0))
    return files, int(said.get("total-files-size", 0)), len(metadata.snapshots)


def _again(step: Callable[[], T]) -> T:
    """Run a step that may lose a race with a writer, a few times."""
    for tries in range(1, TRIES + 1):
        try:
            return step()
        except (CommitConflict, CommitFailedException) as conflict:
            if tries == TRIES:
                raise CommitConflict(str(conflict)) from conflict
            time.sleep(0.5 * tries)
    raise AssertionError("unreachable")


def _referred(pack: str, since: datetime) -> dict[str, set[int]]:
    """Mart -> the snapshots that closes and publishes recorded since then refer to."""
    recent = GreaterThanOrEqual("recorded_at", since.isoformat())
    found: dict[str, set[int]] = {}
    for row in read("closes", recent, ("history", "snapshot_ids"), pack=pack):
        for said in (row["history"], row["snapshot_ids"]):
            for mart, snapshot in json.loads(said or "{}").items():
                found.setdefault(mart, set()).add(snapshot)
    for row in read("publishes", recent, ("tables",), pack=pack):
        for mart, change in json.loads(row["tables"] or "{}").items():
            found.setdefault(mart, set()).update(change.values())
    return {mart: ids - {None} for mart, ids in found.items()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _last_written(path: Path) -> float:
    return max([path.stat().st_mtime, *(p.stat().st_mtime for p in path.rglob("*"))])


def _recorded(done: list[Upkeep], run_id: str, *, everything: bool = False) -> list[Upkeep]:
    """Record what was done; tables that needed nothing are left out, unless the step itself must show."""
    for step in done:
        log.info("%s", step)
    record("maintenance", [{"run_id": run_id, **asdict(step)} for step in done if everything or not step.is_idle])
    return done


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m include.maintain",
        description="Merge small files, forget old snapshots, remove orphans and old workspaces. Changes no row.",
    )
    parser.add_argument("step", nargs="*", help=f"all steps unless named: {', '.join(STEPS)}")
    a = parser.parse_args(arguments)
    if unknown := set(a.step) - STEPS.keys():
        parser.error(f"no step {', '.join(sorted(unknown))}; the steps are {', '.join(STEPS)}")
    failed = 0
    for name in a.step or STEPS:
        try:
            done = STEPS[name]("by hand")
        except HnaiError as error:
            print(f"{name}: {error}")
            failed += 1
            continue
        busy = [step for step in done if not step.is_idle]
        print("\n".join(map(str, busy)) if busy else f"{name}: nothing to do")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
