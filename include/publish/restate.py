"""What a publish changed of what readers had seen: every figure, old and new, and why.

Compared are the published snapshots before and after, so whoever finishes a publish writes the same rows. Days
that are published for the first time restate nothing. Marts without a window (dimensions) hold no figures of a
day and are left out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.table import Table

from include import lakehouse
from include.catalog import Mart, marts
from include.errors import PublishError
from include.ops.lease import Lease
from include.ops.store import read, record
from include.periods import date_of
from include.publish import cause, seal
from include.publish.freeze import close_key
from include.publish.intent import Intent
from include.publish.workspace import Window, window_bounds


@dataclass(frozen=True)
class Change:
    """One figure of one row. A row that appeared or disappeared has one entry per figure that it holds."""

    table: str
    key: Mapping[str, Any]
    day: date  # the row's production date, or the first of its month
    period: str  # the row's value in the mart's window column, as text
    change: str  # changed, appeared, disappeared
    column: str
    old: str | None
    new: str | None
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)  # the whole row, for its cause


def write(intent: Intent, lease: Lease, reason: str) -> int:
    """Write the restatements of an intent whose tables are all in, once; give their number."""
    rows = rows_of(intent, reason)
    with lease.guard():
        if rows and not read("restatements", None, ("publish_id",), publish_id=intent.publish_id):
            record("restatements", rows)
    return len(rows)


def rows_of(intent: Intent, reason: str) -> list[dict[str, Any]]:
    """The rows for `ops.restatements`."""
    versions = {entry["close_key"]: entry["version"] for entry in intent.seals["keys"]}
    earlier = [
        row
        for row in seal.close_rows(intent.pack, intent.calendar, intent.from_date, intent.to_date)
        if row["publish_id"] != intent.publish_id and row["close_key"] in versions
    ]
    if not (restated := seal.ever_published(earlier)):
        return []
    found = [c for mart in marts(intent.pack) if mart.name in intent.tables for c in _changes(intent, mart)]
    found = [(key, c) for c in found if (key := _close_key(intent, c, restated))]
    causes = cause.of(intent, [c for _, c in found], seal.live(earlier), reason)
    return [
        {
            "pack": intent.pack,
            "calendar": intent.calendar,
            "close_key": key,
            "version": versions[key],
            "run_id": intent.run_id,
            "publish_id": intent.publish_id,
            "table_name": c.table,
            "row_key": json.dumps({k: as_text(v) for k, v in c.key.items()}),
            "change": c.change,
            "column_name": c.column,
            "old_value": c.old,
            "new_value": c.new,
            "cause": why,
        }
        for (key, c), why in zip(found, causes, strict=True)
    ]


def window_filter(mart: Mart, closed: Window) -> BooleanExpression:
    """The rows of a published mart that a close replaces."""
    mine = EqualTo("calendar", closed.calendar)
    if mart.window == "all":
        return mine
    start, end = map(str, window_bounds(mart, closed))
    return And(mine, GreaterThanOrEqual(mart.window, start), LessThanOrEqual(mart.window, end))


def published_rows(target: Table, snapshot_id: int | None, window: BooleanExpression) -> pa.Table:
    """The rows of a published mart in `window` at one snapshot; none at no snapshot.

    Raises `PublishError` where the snapshot has expired.
    """
    if snapshot_id is None:
        return target.schema().as_arrow().empty_table()
    then = target if target.snapshot_by_id(snapshot_id) else lakehouse.table_at(".".join(target.name()), snapshot_id)
    if then is None:
        raise PublishError(f"{'.'.join(target.name())}: its snapshot {snapshot_id} has expired")
    return then.scan(row_filter=window, snapshot_id=snapshot_id).to_arrow()


def differences(mart: Mart, old: pa.Table, new: pa.Table) -> list[Change]:
    """Every figure in which two versions of a window differ, rows in order of their key."""
    names = new.column_names
    gone, come = _one_sided(old, new, names)
    before = {tuple(row[k] for k in mart.key): row for row in gone}
    after = {tuple(row[k] for k in mart.key): row for row in come}
    found = []
    for key in sorted(before.keys() | after.keys(), key=lambda k: [as_text(v) or "" for v in k]):
        was, now = before.get(key), after.get(key)
        row = now or was
        named = dict(zip(mart.key, key, strict=True))
        if was is None or now is None:
            what = "appeared" if was is None else "disappeared"
            for name in names:
                if name not in mart.key and row[name] is not None:
                    found.append(_change(mart, named, what, name, was, now))
            continue
        for name in names:
            if was[name] != now[name]:
                found.append(_change(mart, named, "changed", name, was, now))
    return found


def _change(
    mart: Mart,
    key: Mapping[str, Any],
    what: str,
    column: str,
    was: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
) -> Change:
    row = now or was
    value = None if mart.window == "all" else row[mart.window]
    return Change(
        table=mart.name,
        key=key,
        day=date_of(value) if mart.is_by_name else value,
        period="" if value is None else str(value),
        change=what,
        column=column,
        old=_of(was, column),
        new=_of(now, column),
        row=row,
    )


def is_same(old: pa.Table, new: pa.Table) -> bool:
    """Whether two versions of a window hold the same rows, in whatever order."""
    gone, come = _one_sided(old, new, new.column_names)
    return not gone and not come


def _one_sided(old: pa.Table, new: pa.Table, names: Sequence[str]) -> list[list[dict[str, Any]]]:
    """The rows that only `old` has, and those that only `new` has."""
    columns = ", ".join(f'"{name}"' for name in names)
    with duckdb.connect() as engine:
        engine.execute("set TimeZone = 'UTC'")
        engine.register("old_rows", old.select(names))
        engine.register("new_rows", new)
        return [
            engine.execute(f"select {columns} from {a} except all select {columns} from {b}")
            .to_arrow_table()
            .to_pylist()
            for a, b in (("old_rows", "new_rows"), ("new_rows", "old_rows"))
        ]


def as_text(value: Any) -> str | None:
    """A value exactly, as text: decimals with their own scale and no exponent, instants in UTC."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value)


def _of(row: Mapping[str, Any] | None, name: str) -> str | None:
    return None if row is None else as_text(row[name])


def _changes(intent: Intent, mart: Mart) -> list[Change]:
    if mart.window == "all":
        return []
    window = window_filter(mart, intent)
    at, target = intent.tables[mart.name], lakehouse.table(f"{intent.pack}.{mart.name}")
    before, after = (published_rows(target, at[which], window) for which in ("before", "planned"))
    before = pa.table(
        [
            before[n] if n in before.column_names else pa.nulls(before.num_rows, after[n].type)
            for n in after.column_names
        ],
        names=after.column_names,
    )
    return differences(mart, before, after)


def _close_key(intent: Intent, change: Change, restated: Iterable[str]) -> str | None:
    """The close key that a changed row counts for: its own period, or the last restated day of its month."""
    if any(mart.name == change.table and mart.window == "month" for mart in marts(intent.pack)):
        month = change.day.isoformat()[:7]
        return max((k for k in restated if k.startswith(month)), default=None)
    key = close_key(change.period, intent.calendar)
    return key if key in restated else None
