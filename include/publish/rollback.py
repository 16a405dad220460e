"""Withdraw the published version of one close: readers see the version before it again, or nothing.

The day's rows are those that the earlier version's seal refers to, read at its snapshots. A month is what its
remaining days make: where no other day of the month was published since, it stands in the snapshot before the
withdrawn publish; else its models are built again over the days as published. Dimensions stay as they are.
Recorded with who and why; the withdrawn version stays withdrawn, a new run becomes the next version.

    python -m include.publish.rollback --help
"""

import argparse
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa

from include import lakehouse
from include.catalog import Mart, calendar, marts
from include.engine import engine
from include.errors import PublishError
from include.ops.lease import Lease, hold
from include.ops.store import read
from include.periods import date_of
from include.publish import intent as intents
from include.publish import publish, recover, restate, seal
from include.publish.freeze import Close, close_key, load_close, published_snapshots
from include.publish.intent import Intent

log = logging.getLogger(__name__)
Rows = dict[str, pa.Table]


def build_months(close: Close, names: list[str]) -> None:
    """Build the monthly marts alone, in a workspace that holds the restored days."""
    from include.build import close_variables, run_dbt, work_folder

    by = engine()
    outcome = run_dbt(
        ["run", "--select", *names],
        by.workspace(close),
        work_folder(close.workspace),
        close_variables(close),
        target=by.target,
    )
    if not outcome.success:
        raise PublishError(
            f"The months of {close.label} could not be built again: {outcome.exception or outcome.result}"
        )


def roll_back(
    pack: str,
    key: str,
    who: str,
    why: str,
    *,
    build: Callable[[Close, list[str]], None] = build_months,
) -> Intent:
    """Withdraw the live version of the close `key` and give what was done.

    Raises `PublishError` where nothing is published under the key, or the earlier rows have expired.
    """
    day, period, calendar_name = _parsed(key)
    with hold(f"publish:{pack}", f"rollback-{key}-{uuid.uuid4()}") as lease:
        recover.settle_pack(pack, lease)
        standing = seal.close_rows(pack, calendar_name, day, day)
        versions = seal.states(standing).get(key, {})
        published = sorted(v for v, row in versions.items() if row["state"] == "published")
        if not published:
            raise PublishError(f"{key} of {pack} is not published. Known versions: {_said(versions)}")
        withdrawn = seal.live(standing)[key]
        restored = seal.live(row for row in standing if row["version"] != withdrawn.version).get(key)
        published_by = load_close(withdrawn.run_id)
        close = replace(
            published_by,
            from_date=day,
            to_date=day,
            shifts=tuple(shift for shift in published_by.shifts if shift.name == period),
            run_id=f"rollback-{key}-v{withdrawn.version}",
            reason=why,
            keys={key: withdrawn.version},
            history=published_snapshots(pack),
            history_at=datetime.now(UTC),
        )
        rows = _daily(close, restored) | _monthly(close, withdrawn, restored, standing, build)
        intent = _intend(close, rows, withdrawn, restored, who, why, versions)
        intent.write(lease)
        return _carry_out(intent, lease, key)


def _carry_out(intent: Intent, lease: Lease, key: str) -> Intent:
    outcome = intents.commit(intent, lease)
    if outcome == "done":
        restated = publish.finish(intent, lease)
        log.info("%s: %s; %d figures restated", key, intent.note, restated)
        return intent
    with lease.guard():
        intent.end(outcome, lease, "a table was changed by somebody else")
    raise PublishError(f"{key}: another writer was faster; nothing was changed. Run the rollback again")


def _daily(close: Close, restored: seal.Sealed | None) -> Rows:
    """The day's rows of every daily mart as the restored version published them; no rows without such a version."""
    found = {}
    for mart in marts(close.pack):
        if mart.window in ("all", "month") or not lakehouse.exists(f"{close.pack}.{mart.name}"):
            continue
        target = lakehouse.table(f"{close.pack}.{mart.name}")
        snapshot = restored.snapshot_ids.get(mart.name) if restored else None
        if snapshot is not None and lakehouse.table_at(f"{close.pack}.{mart.name}", snapshot) is None:
            raise PublishError(
                f"{mart.name} at version {restored.version} has expired (setting HNAI_RETENTION__SNAPSHOTS_DAYS). "
                f"Trigger a new close of {close.label} instead"
            )
        window = restate.window_filter(mart, close)
        rows = restate.published_rows(target, snapshot, window)
        found[mart.name] = lakehouse.conform(rows, target)
    return found


def _monthly(
    close: Close,
    withdrawn: seal.Sealed,
    restored: seal.Sealed | None,
    standing: list[dict],
    build: Callable[[Close, list[str]], None],
) -> Rows:
    """The month's rows of every monthly mart without the withdrawn version's day."""
    monthly = [m for m in marts(close.pack) if m.window == "month" and lakehouse.exists(f"{close.pack}.{m.name}")]
    if not monthly:
        return {}
    before = _before(close, withdrawn, standing, monthly)
    if before is not None:
        return before
    by = engine()
    by.fill(close, _daily(close, restored))
    try:
        build(close, [mart.name for mart in monthly])
        built = publish.built_rows(close, monthly)
        return {
            m.name: publish.conformed(close, m, built[m.name], lakehouse.table(f"{close.pack}.{m.name}"))
            for m in monthly
        }
    finally:
        by.drop(close)


def _before(close: Close, withdrawn: seal.Sealed, standing: list[dict], monthly: list[Mart]) -> Rows | None:
    """The month as it stood before the withdrawn publish; None where that is not what its remaining days make."""
    (publication,) = read("publishes", publish_id=withdrawn.publish_id, state="intent")
    times = sum(row["version"] == withdrawn.version and row["state"] == "published" for row in standing)
    if publication["kind"] != "publish" or times > 1:
        return None  # it came back by a rollback, or was published anew
    if len(json.loads(publication["seals"])["keys"]) > 1:
        return None  # published together with other days
    since = replace(close, keys={}, history_at=publication["recorded_at"])
    if [k for k in seal.closed_since(since) if k not in close.keys]:
        return None
    before = intents.tables_of(publication)
    found = {}
    for mart in monthly:
        target = lakehouse.table(f"{close.pack}.{mart.name}")
        if mart.name not in before:
            continue  # the withdrawn publish did not change it
        snapshot = before[mart.name]["before"]
        if snapshot is not None and lakehouse.table_at(f"{close.pack}.{mart.name}", snapshot) is None:
            return None
        window = restate.window_filter(mart, close)
        found[mart.name] = lakehouse.conform(restate.published_rows(target, snapshot, window), target)
    return found


def _intend(
    close: Close,
    rows: Rows,
    withdrawn: seal.Sealed,
    restored: seal.Sealed | None,
    who: str,
    why: str,
    versions: Mapping[int, Mapping],
) -> Intent:
    key = close_key(close.first, close.calendar)
    publish_id = f"rollback-{uuid.uuid4()}"
    summary = {"hnai.publish-id": publish_id, "hnai.run-id": close.run_id, "hnai.close": close.label}
    transactions, before = {}, {}
    for mart in marts(close.pack):
        if mart.name not in rows:
            continue
        target = lakehouse.table(f"{close.pack}.{mart.name}")
        window = restate.window_filter(mart, close)
        now = restate.published_rows(target, target.metadata.current_snapshot_id, window)
        if not restate.is_same(now, rows[mart.name]):
            transactions[mart.name] = lakehouse.replaced(target, rows[mart.name], window, summary)
            before[mart.name] = target.metadata.current_snapshot_id
    tables = {
        name: {"before": before[name], "planned": lakehouse.planned_snapshot(tx)} for name, tx in transactions.items()
    }
    snapshots = {**published_snapshots(close.pack), **{name: t["planned"] for name, t in tables.items()}}
    entries = [
        {
            "run_id": withdrawn.run_id,
            "close_key": key,
            "version": withdrawn.version,
            "state": "rolled_back",
            "verdict": f"rolled back to version {restored.version}" if restored else "withdrawn",
        }
    ]
    if restored:
        entries.append(
            {
                "run_id": restored.run_id,
                "close_key": key,
                "version": restored.version,
                "state": "published",
                "verdict": f"restored in place of version {withdrawn.version}",
                "row_counts": versions[restored.version]["row_counts"],
                "control_totals": versions[restored.version]["control_totals"],
            }
        )
    return Intent(
        publish_id=publish_id,
        kind="rollback",
        pack=close.pack,
        calendar=close.calendar,
        from_date=close.from_date,
        to_date=close.to_date,
        first=close.first,
        last=close.last,
        run_id=close.run_id,
        tables=tables,
        requests=lakehouse.commit_requests(transactions.values()),
        seals={
            "common": {"git_sha": seal.git_sha(), "snapshot_ids": snapshots, "who": who, "why": why},
            "rows": {name: rows[name].num_rows for name in tables},
            "keys": entries,
        },
        note=f"version {withdrawn.version} was rolled back by {who}: {why}",
    )


def _parsed(key: str) -> tuple[date, str, str]:
    """The date, the period's name and the calendar of a close key."""
    period, at, name = key.partition("@")
    try:
        return date_of(period), period, {"@": name}[at]
    except (ValueError, KeyError):
        raise PublishError(
            f"{key!r} is not a close key. Write it as 2026-11-23@permian, or 2026-11-23.3@riverside for a shift"
        ) from None


def _said(versions: Mapping[int, Mapping]) -> str:
    return ", ".join(f"{v} {row['state']}" for v, row in sorted(versions.items())) or "none"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.publish.rollback",
        description="Withdraw the published version of one close; readers see the version before it again, or nothing.",
    )
    parser.add_argument("close_key", help="e.g. 2026-11-23@permian, or 2026-11-23.3@riverside for a shift")
    parser.add_argument("--who", required=True, help="your name, for the record")
    parser.add_argument("--why", required=True)
    a = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    done = roll_back(calendar(_parsed(a.close_key)[2]).pack, a.close_key, a.who, a.why)
    print(f"{a.close_key}: {done.note}. Tables changed: {', '.join(done.tables) or 'none'}")


if __name__ == "__main__":
    main()
