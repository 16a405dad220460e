"""Publish a close: put its window into every mart of the pack as a whole, and seal it.

    lease -> what a crash left is settled -> intent -> one request for all tables -> restatements -> seal

Every step may be killed and the task cleared: an open intent is settled first, a mart whose window already
holds these figures is not written again, and a later copy of the task takes the lease from an earlier one.

    python -m include.publish.publish --run-id RUN
"""

import argparse
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyiceberg.table import Table

from include import lakehouse
from include.catalog import Mart, marts
from include.errors import PublishError
from include.ops.lease import Lease, hold
from include.publish import intent as intents
from include.publish import recover, restate, seal, workspace
from include.publish.freeze import Close, load_close, published_snapshots, refresh_history
from include.publish.intent import Intent

log = logging.getLogger(__name__)
TRIES = 5


@dataclass(frozen=True)
class Published:
    """What one publish did. No `publish_id`: these figures were published already and nothing was written."""

    publish_id: str | None
    tables: tuple[str, ...]  # marts whose window changed
    rows: dict[str, int]  # rows of the window, per mart
    restatements: int


def rebuild_marts(close: Close) -> None:
    """Build the mart layer again in the close's workspace."""
    from include.build import build_layer

    build_layer(close, "mart")


def publish(
    close: Close,
    *,
    who: str = "schedule",
    why: str | None = None,
    try_number: int = 1,
    rebuild: Callable[[Close], None] = rebuild_marts,
) -> Published:
    """Publish the close from its workspace.

    Where other days of its months were published since the close read its history, its marts are built again
    (`rebuild`) on what is published now, at the same cut-off. Raises `Superseded` where a later version is
    published, `LeaseLost` where another run or a later try is at work, and `PublishError` where the workspace
    does not hold what the contracts promise.
    """
    with hold(f"publish:{close.pack}", close.run_id, try_number) as lease:
        recover.settle_pack(close.pack, lease)
        for _ in range(TRIES):
            standing = seal.close_rows(close.pack, close.calendar, close.from_date, close.to_date)
            seal.refuse_superseded(close, standing)
            current = seal.live(standing)
            is_live = all(key in current and current[key].run_id == close.run_id for key in close.keys)
            rows = built_rows(close)
            if others := seal.closed_since(close):
                if is_live and not _changed(close, rows, lambda mart: mart.window not in ("all", "month")):
                    return _nothing_to_do(close, rows)
                log.warning("%s were published since this close read its history; building its marts again", others)
                close = refresh_history(close, lease)
                rebuild(close)
                rows = built_rows(close)
            overtaken = seal.is_overtaken(close)
            changed = _changed(close, rows, lambda mart, skip=overtaken: not (skip and mart.window == "all"))
            if is_live and not changed:
                return _nothing_to_do(close, rows)
            intent = _intend(close, rows, changed, who, why or close.reason)
            intent.write(lease)
            outcome = intents.commit(intent, lease)
            counts = {name: table.num_rows for name, table in rows.items()}
            if outcome == "done":
                restated = finish(intent, lease)
                log.info("Published %s: %s", close.label, ", ".join(f"{name} {n:,} rows" for name, n in counts.items()))
                return Published(intent.publish_id, tuple(intent.tables), counts, restated)
            with lease.guard():
                intent.end(outcome, lease, "a table was changed by somebody else; tried again")
    raise PublishError(
        f"{close.label}: other writers change the marts of {close.pack} all the time. Find them, then clear publish"
    )


def built_rows(close: Close, wanted: Sequence[Mart] = ()) -> dict[str, pa.Table]:
    """The close's window of every mart of the pack, or of the `wanted` ones, from its workspace."""
    declared = wanted or marts(close.pack)
    if not declared:
        raise PublishError(f"The pack {close.pack!r} publishes no mart. Give one `meta.publish` in its yml")
    with workspace.opened(close) as built:
        return {mart.name: workspace.mart_rows(built, close, mart) for mart in declared}


def _nothing_to_do(close: Close, rows: Mapping[str, pa.Table]) -> Published:
    log.info("%s is published as it stands in the workspace; nothing to do", close.label)
    return Published(None, (), {name: table.num_rows for name, table in rows.items()}, 0)


def finish(intent: Intent, lease: Lease) -> int:
    """Check what an intent put in, write its restatements and its seals; give the number of restatements."""
    _check(intent)
    restated = restate.write(intent, lease, intent.note)
    seal.write(intent, lease)
    return restated


def ensure_mart(pack: str, mart: Mart) -> Table:
    """The published table of a mart, created from its contract where it is missing.

    Partitioned so that a window is whole partitions, or nearly: by calendar, and by month of a window that has dates.
    """
    dated = "production_date" if mart.is_by_name else mart.window
    by_month = [] if mart.window in ("all", "month") or dated not in mart.columns else [(dated, "month")]
    return lakehouse.ensure_table(
        f"{pack}.{mart.name}",
        workspace.mart_schema(mart),
        partition_by=[("calendar", "identity"), *by_month],
        required=workspace.key_columns(mart),
        properties={"comment": mart.description.strip()[:1000]} if mart.description else None,
    )


def conformed(close: Close, mart: Mart, rows: pa.Table, target: Table) -> pa.Table:
    """The rows with the columns and types of the published table."""
    try:
        return lakehouse.conform(rows, target)
    except pa.ArrowInvalid as error:
        raise PublishError(
            f"{mart.name}: its contract no longer fits the published table ({error}). "
            "Give the changed column a new name, or drop and republish the table"
        ) from error


def _changed(
    close: Close, rows: Mapping[str, pa.Table], wanted: Callable[[Mart], bool]
) -> dict[str, tuple[Table, pa.Table]]:
    """The wanted marts whose window differs from what is published: mart -> its table and new rows."""
    found = {}
    for mart in marts(close.pack):
        if not wanted(mart):
            continue
        target = ensure_mart(close.pack, mart)
        new = conformed(close, mart, rows[mart.name], target)
        window = restate.window_filter(mart, close)
        if not restate.is_same(restate.published_rows(target, target.metadata.current_snapshot_id, window), new):
            found[mart.name] = (target, new)
    return found


def _intend(
    close: Close, rows: Mapping[str, pa.Table], changed: Mapping[str, tuple[Table, pa.Table]], who: str, why: str
) -> Intent:
    """Prepare the change of every mart that differs (its files are written) and what seals it."""
    publish_id = f"publish-{uuid.uuid4()}"
    summary = {"hnai.publish-id": publish_id, "hnai.run-id": close.run_id, "hnai.close": close.label}
    transactions = {}
    for mart in marts(close.pack):
        if mart.name in changed:
            target, new = changed[mart.name]
            window = restate.window_filter(mart, close)
            transactions[mart.name] = lakehouse.replaced(target, new, window, summary)
    snapshots = published_snapshots(close.pack)
    tables = {
        name: {"before": changed[name][0].metadata.current_snapshot_id, "planned": lakehouse.planned_snapshot(tx)}
        for name, tx in transactions.items()
    }
    return Intent(
        publish_id=publish_id,
        kind="publish",
        pack=close.pack,
        calendar=close.calendar,
        from_date=close.from_date,
        to_date=close.to_date,
        first=close.first,
        last=close.last,
        run_id=close.run_id,
        tables=tables,
        requests=lakehouse.commit_requests(transactions.values()),
        seals=seal.plan(close, rows, {**snapshots, **{name: t["planned"] for name, t in tables.items()}}, who, why),
        note=why,
    )


def _check(intent: Intent) -> None:
    """Count the published window again: what readers get must be what was sealed."""
    expected: dict[str, Any] = intent.seals.get("rows", {})
    for mart in marts(intent.pack):
        if mart.name not in expected or mart.name not in intent.tables:
            continue
        window = restate.window_filter(mart, intent)
        target = lakehouse.table(f"{intent.pack}.{mart.name}")
        found = restate.published_rows(target, intent.tables[mart.name]["planned"], window).num_rows
        if found != expected[mart.name]:
            raise PublishError(
                f"{mart.name}: {found} rows were published where {expected[mart.name]} were meant. "
                f"Look at {intent.publish_id} in ops.publishes"
            )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.publish.publish", description="Publish a close that was built and gated."
    )
    parser.add_argument("--run-id", required=True, help="the run that froze the close")
    parser.add_argument("--who", required=True, help="your name, for the seal")
    parser.add_argument("--why", help="instead of the run's own reason")
    parser.add_argument(
        "--try-number", type=int, default=1, help="a later try takes over from an earlier one of the same run"
    )
    a = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    done = publish(load_close(a.run_id), who=a.who, why=a.why, try_number=a.try_number)
    print(f"{done.publish_id or 'already published'}: {done.rows}, {done.restatements} restatements")


if __name__ == "__main__":
    main()
