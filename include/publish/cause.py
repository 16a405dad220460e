"""Why a figure changed: the reason given for the run, and what moved at the source since the last version.

Moved is every raw row above the old version's cut-off and at or below the new one's. A raw row is named as the
cause of a figure when it holds the values of the figure's key (a well, a meter) and, where it has dates, the
figure's day. A figure summed from others (a field) takes the causes of those that hold its key. Readings of the OT
mirror are too many to be named one by one: they are counted per asset and day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThan, In, LessThanOrEqual, Or

from include import lakehouse
from include.catalog import feeds, sources
from include.periods import Period
from include.publish.freeze import NOTHING, OT, Close, Position, has_tags, load_close
from include.publish.intent import Intent
from include.publish.seal import Sealed, git_sha

if TYPE_CHECKING:
    from include.publish.restate import Change

ROWS_READ = 50_000  # of one raw table; a bulk change is counted, not listed
ROWS_NAMED = 5
DELETES_LOOKED_UP = 500
_POSITION = ("_epoch", "_commit_lsn", "_lsn", "_seq")
_MIRRORED = """
    select tag_id, 'readings' as what, count(*) as n, min(observed_at) as first_at, max(observed_at) as last_at
    from lakehouse.ot.readings
    where observed_at >= $starts and observed_at < $ends and _ordinal > $since and _ordinal <= $until
    group by tag_id, epoch_ms(observed_at) // 900000
    union all
    select tag_id, state || ' gaps', 1, greatest(from_at, $starts), least(to_at, $ends)
    from lakehouse.ot.gaps
    where to_at > $starts and from_at < $ends and _ordinal > $since and _ordinal <= $until
"""


@dataclass(frozen=True)
class Moved:
    """One raw row that came in between two cut-offs."""

    table: str  # <source>.<table>
    text: str  # how the cause names it
    values: frozenset[str] = field(repr=False)
    periods: frozenset[str] = field(repr=False)  # names of the days or shifts that it touches
    is_dated: bool = True  # False: it says no time, and may touch any


def of(intent: Intent, changes: Sequence["Change"], before: Mapping[str, Sealed], reason: str) -> list[str]:
    """The cause of each change, in the order given."""
    if not changes:
        return []
    head = [reason or intent.note or "no reason given"]
    if intent.kind == "rollback":
        return head * len(changes)
    old_code = {s.git_sha for s in before.values()} - {git_sha(), ""}
    if old_code:
        head.append(f"code {', '.join(sorted(old_code))} → {git_sha()}")
    close = load_close(intent.run_id)
    old = [s.cut_off for s in before.values()]
    moved = moved_rows(close, old)
    moved += mirrored(close, old)
    direct = [_naming(change, moved) for change in changes]
    texts = []
    for change, rows in zip(changes, direct, strict=True):
        rows = rows or _through_others(change, changes, direct)
        texts.append("; ".join([*head, _said(rows, moved)]))
    return texts


def moved_rows(close: Close, old: Iterable[Mapping[str, Position]]) -> list[Moved]:
    """What moved at the pack's sources and feeds above the lowest of the `old` cut-offs, up to the close's."""
    pack, old = close.pack, list(old)
    found: list[Moved] = []
    tables = [(s.name, t.name, t.identifier, t.key) for s in sources() if s.pack == pack for t in s.tables]
    tables += [(f.source, f.name, f.identifier, f.key) for f in feeds() if f.pack == pack]
    for source, name, identifier, key in tables:
        if not lakehouse.exists(f"raw.{identifier}"):
            continue
        until = position_of(close.cut_off, source, identifier)
        since = min((position_of(cut_off, source, identifier) for cut_off in old), key=_sortable, default=NOTHING)
        if _sortable(since) < _sortable(until):
            found += _moved_in(close, f"{source}.{name}", f"raw.{identifier}", key, since, until)
    return found


def mirrored(close: Close, old: Iterable[Mapping[str, Position]]) -> list[Moved]:
    """What the OT mirror took in of the close's periods above the lowest of the `old` cut-offs, up to the close's."""
    from include.ot.tags import SEEDS, read

    since = min((cut_off.get(OT, NOTHING)["commit_lsn"] for cut_off in old), default=0)
    until = close.cut_off.get(OT, NOTHING)["commit_lsn"]
    if not has_tags(close.pack) or since >= until:
        return []
    asset_of = {tag.tag_id: tag.asset_id for tag in read(SEEDS / close.pack / f"{close.pack}_tags.csv")}
    periods = close.periods
    window = {"starts": periods[0].starts_at, "ends": periods[-1].ends_at, "since": since, "until": until}
    with lakehouse.connect() as con:
        rows = con.execute(_MIRRORED, window).fetchall()
    found: dict[tuple[str, str, str], int] = {}
    for tag_id, what, n, first_at, last_at in rows:
        if tag_id in asset_of:
            for period in periods:
                if first_at < period.ends_at and last_at >= period.starts_at:
                    key = (asset_of[tag_id], period.name, what)
                    found[key] = found.get(key, 0) + n
    return [
        Moved(
            f"ot.{what.split()[-1]}",
            f"ot: {what} of {asset} on {period}: {n:,}",
            frozenset({asset}),
            frozenset({period}),
        )
        for (asset, period, what), n in sorted(found.items())
    ]


def position_of(cut_off: Mapping[str, Position], source: str, identifier: str) -> Position:
    """Where a cut-off stands for one table: by its own entry, else by its source's."""
    return cut_off.get(identifier) or cut_off.get(source) or NOTHING


def _moved_in(
    close: Close, name: str, identifier: str, key: Sequence[str], since: Position, until: Position
) -> list[Moved]:
    table = lakehouse.table(identifier)
    read = table.scan(row_filter=And(_above(since), _up_to(until)), limit=ROWS_READ).to_arrow().to_pylist()
    rows = list({tuple(row[p] for p in _POSITION): row for row in read}.values())  # a crash may bring one twice
    key = [k for k in key if k in table.schema().column_names]
    images = _images(table, key, [r for r in rows if r["_op"] == "d"], since)
    return [
        _moved(close, name, key, row, images.get(tuple(row[k] for k in key), {}) if row["_op"] == "d" else {})
        for row in rows
    ]


def _images(
    table, key: Sequence[str], deleted: Sequence[Mapping[str, Any]], since: Position
) -> dict[tuple, dict[str, Any]]:
    """The last values of deleted rows: a delete event itself carries the key alone."""
    if not deleted or not key or len(deleted) > DELETES_LOOKED_UP:
        return {}
    wanted = And(In(key[0], {_literal(r[key[0]]) for r in deleted}), _up_to(since))
    found: dict[tuple, dict[str, Any]] = {}
    for row in sorted(
        table.scan(row_filter=wanted).to_arrow().to_pylist(), key=lambda r: [r[p] or 0 for p in _POSITION]
    ):
        if row["_op"] not in ("d", "t"):
            found[tuple(row[k] for k in key)] = row
    return found


def _moved(close: Close, name: str, key: Sequence[str], row: Mapping[str, Any], image: Mapping[str, Any]) -> Moved:
    values = [v for k, v in (*row.items(), *image.items()) if v is not None and not k.startswith("_")]
    at = row["_source_at"] or row["_landed_at"]
    named = ", ".join(f"{k} {row[k]}" for k in key)
    times = [v for v in values if isinstance(v, date)]  # datetimes are dates
    return Moved(
        table=name,
        text=f"{name}: {row['_op']} at {at:%Y-%m-%d %H:%M:%SZ} ({named})",
        values=frozenset(str(v) for v in values if isinstance(v, (str, int)) and not isinstance(v, bool)),
        periods=_touched(close.shifts, times),
        is_dated=bool(times),
    )


def _touched(shifts: Sequence[Period], times: Sequence[date]) -> frozenset[str]:
    """The shifts that a row of these times touches: by a date, or between its first and last instant; else the days."""
    if not shifts:
        return frozenset(str(v.date() if isinstance(v, datetime) else v) for v in times)
    days = {v for v in times if not isinstance(v, datetime)}
    instants = [v for v in times if isinstance(v, datetime) and v.tzinfo]
    first, last = min(instants, default=None), max(instants, default=None)
    return frozenset(
        s.name for s in shifts if s.production_date in days or (instants and first < s.ends_at and last >= s.starts_at)
    )


def _naming(change: "Change", moved: Iterable[Moved]) -> list[Moved]:
    """The moved rows that hold the change's own key, those of its day before those without a day."""
    entity = _entity(change)
    if not entity:
        return []
    holding = [m for m in moved if entity <= m.values]
    dated = [m for m in holding if _meets(change, m.periods)]
    return dated or [m for m in holding if not m.is_dated]


def _through_others(change: "Change", changes: Sequence["Change"], direct: Sequence[list[Moved]]) -> list[Moved]:
    """The rows that changed the figures of which this one is made up."""
    entity = _entity(change)
    found = {
        m: None
        for other, rows in zip(changes, direct, strict=True)
        if other.table != change.table
        and _meets(change, {other.period})
        and entity <= {str(v) for v in other.row.values()}
        for m in rows
    }
    return list(found)


def _entity(change: "Change") -> set[str]:
    """The values of the figure's key that name a thing: without the calendar and the time."""
    return {
        str(v)
        for k, v in change.key.items()
        if v is not None and k != "calendar" and not isinstance(v, date) and v != change.period
    }


def _meets(change: "Change", periods: Iterable[str]) -> bool:
    """Whether one of `periods` is the change's own; the first of a month in a monthly key stands for all its days."""
    if "month" in change.key:
        return any(name.startswith(change.period[:7]) for name in periods)
    return change.period in periods


def _said(rows: Sequence[Moved], moved: Sequence[Moved]) -> str:
    if rows:
        more = f" and {len(rows) - ROWS_NAMED} more rows" if len(rows) > ROWS_NAMED else ""
        return "; ".join(m.text for m in rows[:ROWS_NAMED]) + more
    if not moved:
        return "nothing moved at the source since the version before"
    counts: dict[str, int] = {}
    for m in moved:
        counts[m.table] = counts.get(m.table, 0) + 1
    return "no single source row names it; moved since: " + ", ".join(
        f"{t} {n:,} rows" for t, n in sorted(counts.items())
    )


def _above(position: Position) -> BooleanExpression:
    epoch, lsn = position["epoch"], position["commit_lsn"]
    return Or(GreaterThan("_epoch", epoch), And(EqualTo("_epoch", epoch), GreaterThan("_commit_lsn", lsn)))


def _up_to(position: Position) -> BooleanExpression:
    epoch, lsn = position["epoch"], position["commit_lsn"]
    earlier = LessThanOrEqual("_epoch", epoch - 1)
    return Or(earlier, And(EqualTo("_epoch", epoch), LessThanOrEqual("_commit_lsn", lsn)))


def _sortable(position: Position) -> tuple[int, int]:
    return position["epoch"], position["commit_lsn"]


def _literal(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
