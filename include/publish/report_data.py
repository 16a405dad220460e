"""What a close report says, as plain data: read at the snapshots of the seal, so a cleared report says the same.

A pack names its figures in `include/packs/<pack>/report.py` as `LAYOUT`, and adds parts of its own by
`sections(close, snapshots)`; a pack without that file gets everything else.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import ModuleType
from typing import Any, Literal

import duckdb
import pyarrow as pa
from markupsafe import Markup

from include import lakehouse
from include.catalog import Mart, calendar, marts
from include.errors import DeclarationError, PublishError
from include.ops.store import read
from include.periods import date_of
from include.publish.freeze import Close
from include.publish.restate import published_rows, window_filter

TRAILING = 30  # periods: contract days or shifts
CHARTED = 92  # a longer run is charted by date, a still longer one by month
RANKED_ROWS = 10
NAMED = "list_contains($names::varchar[], _period)"
NOW, BEFORE = "list_contains($now::varchar[], _period)", "list_contains($before::varchar[], _period)"
Snapshots = dict[str, int | None]  # mart -> snapshot
Sections = Callable[[Close, Snapshots], Sequence["Section"]]


@dataclass(frozen=True)
class Figure:
    """A sum of the mart's column, divided where its unit is too small for people.

    With `share` it is instead 100 times the sum of the first column by that of the second. A single row is not reckoned
    again: 100 times what it says itself in `column` is taken, where the mart has that column.
    """

    column: str
    label: str
    unit: str
    better: Literal["more", "less"] | None = "more"  # which move is good news; None: neither
    share: tuple[str, str] | None = None
    divisor: int = 1
    is_column: bool = True  # of a share: whether the mart has it as a column too

    @property
    def columns(self) -> tuple[str, ...]:
        return self.share or (self.column,)


@dataclass(frozen=True)
class Layout:
    """The marts and columns that a pack's report shows; both marts have a row per period, by their window column."""

    totals: str  # mart whose rows add up to the whole
    part: str  # its key column, e.g. the field
    part_label: str
    ranked: str  # mart of the single things, ranked by how much they changed
    entity: str  # its key column, e.g. the well
    entity_label: str
    figures: tuple[Figure, ...]
    ranked_by: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A part of the report that a pack adds: what it says, for the JSON, and how the page shows it."""

    name: str
    title: str
    data: Any
    html: Markup


@dataclass(frozen=True)
class Span:
    """Periods in a row, by the names of the first and the last: what a scan of a mart is cut by."""

    calendar: str
    first: str
    last: str

    @property
    def from_date(self) -> date:
        return date_of(self.first)

    @property
    def to_date(self) -> date:
        return date_of(self.last)


def layout_of(pack: str) -> Layout | None:
    """The pack's layout, or None where it declares none."""
    return getattr(_module_of(pack), "LAYOUT", None)


def sections_of(pack: str) -> Sections | None:
    """What makes the parts that the pack adds, or None where it adds none."""
    return getattr(_module_of(pack), "sections", None)


def _module_of(pack: str) -> ModuleType | None:
    name = f"include.packs.{pack}.report"
    if importlib.util.find_spec(f"include.packs.{pack}") is None or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)


def rows_of(close: Close, mart: str, snapshots: Snapshots, span: Span | None = None) -> pa.Table:
    """The rows of a mart as this close published it: those of its own periods, or of `span`."""
    declared = _mart(close.pack, mart)
    target = lakehouse.table(f"{close.pack}.{mart}")
    return published_rows(target, snapshots.get(mart), window_filter(declared, span or close))


def earlier(close: Close, count: int) -> list[str]:
    """The names of the `count` periods before the close, in order; fewer where its calendar begins."""
    rule, at, found = calendar(close.calendar).periods, close.periods[0].starts_at, []
    while len(found) < count and (period := rule.last_ended(at)):
        found.append(period.name)
        at = period.starts_at
    return found[::-1]


def collect(close: Close, layout: Layout | None, sections: Sections | None = None) -> dict[str, Any]:
    """Everything that the report of a published close says. Raises `PublishError` where it is not published."""
    seals = read("closes", run_id=close.run_id, state="published")
    if not seals:
        raise PublishError(f"{close.label} is not published by run {close.run_id}. Clear publish first, then report")
    seal = seals[-1]
    snapshots = json.loads(seal["snapshot_ids"])
    return {
        "pack": close.pack,
        "close": close.label,
        "calendar": calendar(close.calendar).label,
        "zone": calendar(close.calendar).zone,
        "grain": calendar(close.calendar).grain,
        "from_date": close.from_date,
        "to_date": close.to_date,
        "first": close.first,
        "last": close.last,
        "periods": [period.as_json() for period in close.periods],
        "versions": close.keys,
        "run_id": close.run_id,
        "reason": close.reason,
        "frozen_at": close.frozen_at,
        "caught_up": close.caught_up,
        "published_at": seal["recorded_at"],
        "verdict": seal["verdict"],
        "who": seal["who"],
        "why": seal["why"],
        "git_sha": seal["git_sha"],
        "cut_off": _cut_off(close),
        "row_counts": _row_counts(seals),
        **(_figures(close, layout, snapshots) if layout else {"figures": [], "parts": [], "ranked": []}),
        "sections": list(sections(close, snapshots)) if sections else [],
        "gates": _gates(close.run_id),
        "restatements": _restatements(close.run_id),
        "models": _models(close.run_id),
    }


def _cut_off(close: Close) -> dict[str, dict[str, int]]:
    """The cut-off per source; of a source of feeds, its feeds alone."""
    by_feed = {name.partition("__")[0] for name in close.cut_off if "__" in name}
    return {name: at for name, at in close.cut_off.items() if name not in by_feed}


def _row_counts(seals: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Rows per mart over the periods of the run; months and dimensions count once."""
    daily = {m.name for m in marts(seals[0]["pack"]) if m.window not in ("all", "month")}
    found: dict[str, int] = {}
    for row in {row["close_key"]: row for row in seals}.values():
        for mart, count in json.loads(row["row_counts"] or "{}").items():
            found[mart] = found.get(mart, 0) + count if mart in daily else max(found.get(mart, 0), count)
    return dict(sorted(found.items()))


def _figures(close: Close, layout: Layout, snapshots: Snapshots) -> dict[str, Any]:
    count = len(close.names)
    names = [*earlier(close, max(count, TRAILING - count)), *close.names]
    before, trailing = names[-2 * count : -count], names[-max(count, TRAILING) :]
    span = Span(close.calendar, names[0], close.last)
    totals, single = (_by_period(close, mart, snapshots, span) for mart in (layout.totals, layout.ranked))
    known = (f for f in layout.figures if _is_known(totals, f))
    layout = replace(layout, figures=tuple(replace(f, is_column=f.column in totals.column_names) for f in known))
    with duckdb.connect() as engine:
        engine.execute("set TimeZone = 'UTC'")
        engine.register("totals", totals)
        engine.register("single", single)
        now = close.names
        return {
            "figures": [
                {
                    "column": f.column,
                    "label": f.label,
                    "unit": f.unit,
                    "better": f.better,
                    "is_share": f.share is not None,
                    "value": _value(engine, f, now),
                    "before": _value(engine, f, before),
                    "trailing_mean": _mean(engine, f, names[-TRAILING:]),
                    "series": _series(engine, f, close, trailing),
                }
                for f in layout.figures
            ],
            "compared_with": {"first": before[0], "last": before[-1]} if before else None,
            "parts": _parts(engine, layout, now, before),
            "ranked": [_ranked(engine, layout, f, now, before) for f in layout.figures if f.column in layout.ranked_by],
            "part_label": layout.part_label,
            "entity_label": layout.entity_label,
        }


def _by_period(close: Close, mart: str, snapshots: Snapshots, span: Span) -> pa.Table:
    """The mart's rows with the name of their period as `_period`, whether the mart is cut by date or by name."""
    rows = rows_of(close, mart, snapshots, span)
    column = rows[_mart(close.pack, mart).window]
    return rows.append_column("_period", column.cast(pa.string()))


def _mart(pack: str, name: str) -> Mart:
    found = next((m for m in marts(pack) if m.name == name), None)
    if found is None:
        raise DeclarationError(
            f"The report of {pack} shows {name}, which is no published mart of it. "
            f"Name one with meta.publish in include/packs/{pack}/report.py"
        )
    return found


def _is_known(rows: pa.Table, figure: Figure) -> bool:
    """Whether there is anything to say of it: a mart may lack a column at that snapshot, or hold nothing in it."""
    return all(
        column in rows.column_names and (rows.num_rows == 0 or rows[column].null_count < rows.num_rows)
        for column in figure.columns
    )


def _aggregate(figure: Figure, where: str = "true") -> str:
    """The figure as SQL over the rows that a condition holds for; null where there are none."""
    if figure.share is None:
        total = f'sum("{figure.column}") filter (where {where})'
        return total if figure.divisor == 1 else f"cast({total} / {figure.divisor} as decimal(18, 6))"
    above, below = (f'sum("{column}") filter (where {where})' for column in figure.share)
    share = f"100 * {above} / nullif({below}, 0)"
    if figure.is_column:
        alone = f'100 * max("{figure.column}") filter (where {where})'
        share = f"case when count(*) filter (where {where}) = 1 then {alone} else {share} end"
    return f"cast({share} as decimal(18, 6))"


def _value(engine: duckdb.DuckDBPyConnection, figure: Figure, names: Sequence[str]) -> Decimal | None:
    """The exact figure over these periods, or None where they hold no row."""
    query = f"select {_aggregate(figure, NAMED)} from totals"
    return engine.execute(query, {"names": list(names)}).fetchone()[0]


def _mean(engine: duckdb.DuckDBPyConnection, figure: Figure, names: Sequence[str]) -> Decimal | None:
    """The mean of the published periods among these; of a share, the share over all of them."""
    total = _value(engine, figure, names)
    query = f"select count(distinct _period) from totals where {NAMED}"
    (count,) = engine.execute(query, {"names": list(names)}).fetchone()
    if not count or total is None:
        return None
    return total if figure.share else (Decimal(total) / count).quantize(Decimal("0.000001"))


def _series(
    engine: duckdb.DuckDBPyConnection, figure: Figure, close: Close, names: Sequence[str]
) -> list[dict[str, Any]]:
    """One value a period; where the periods are many, one a date or a month."""
    length = next((n for n in (99, 10, 7) if len({name[:n] for name in names}) <= CHARTED), 7)
    query = f"select left(_period, {length}) as p, {_aggregate(figure)} from totals group by p"
    found = dict(engine.execute(query).fetchall())
    closed = {name[:length] for name in close.names}
    return [
        {"period": name, "value": found.get(name), "is_closed": name in closed}
        for name in dict.fromkeys(name[:length] for name in names)
    ]


def _parts(
    engine: duckdb.DuckDBPyConnection, layout: Layout, now: Sequence[str], before: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per field (or what the pack calls it), with every figure now and before."""
    figures = [_aggregate(f, when) for f in layout.figures for when in (NOW, BEFORE)]
    found = engine.execute(
        f'select "{layout.part}", {", ".join(figures)} from totals group by 1 order by 1',
        {"now": list(now), "before": list(before)},
    ).fetchall()
    return [
        {
            "name": name,
            "figures": {
                f.column: {"value": values[2 * n], "before": values[2 * n + 1]} for n, f in enumerate(layout.figures)
            },
        }
        for name, *values in found
        if any(v is not None for v in values[::2])
    ]


def _ranked(
    engine: duckdb.DuckDBPyConnection, layout: Layout, figure: Figure, now: Sequence[str], before: Sequence[str]
) -> dict[str, Any]:
    """The single things whose figure moved most between the two windows, largest move first."""
    query = f"""
        with moved as (
            select "{layout.entity}" as name, "{layout.part}" as part,
                {_aggregate(figure, NOW)} as value, {_aggregate(figure, BEFORE)} as before
            from single group by all
        )
        select name, part, value, before, coalesce(value, 0) - coalesce(before, 0) as change from moved
        where coalesce(value, 0) <> coalesce(before, 0)
        order by abs(change) desc, name limit {RANKED_ROWS}
    """
    rows = engine.execute(query, {"now": list(now), "before": list(before)}).fetchall()
    names = ("name", "part", "value", "before", "change")
    return {
        "column": figure.column,
        "label": figure.label,
        "unit": figure.unit,
        "better": figure.better,
        "rows": [dict(zip(names, r, strict=True)) for r in rows],
    }


def _gates(run_id: str) -> dict[str, Any]:
    """The latest result of each expectation: counts, and those that did not pass with what was seen."""
    latest: dict[tuple, dict[str, Any]] = {}
    for row in read("gate_results", run_id=run_id):
        latest[(row["layer"], row["table_name"], row["expectation"], row["column_name"], row["bound"])] = row
    kept = ("layer", "table_name", "expectation", "column_name", "severity", "observed", "bound")
    kept += ("failing_rows", "sample_keys", "accepted_by", "reason")
    failing = [
        {**{name: row[name] for name in kept}, "outcome": outcome_of(row)}
        for row in latest.values()
        if not row["success"]
    ]
    order = {"failed": 0, "accepted": 1, "warning": 2}
    failing.sort(key=lambda r: (order[r["outcome"]], r["layer"], r["table_name"]))
    counts = {"passed": sum(bool(r["success"]) for r in latest.values()), "failed": 0, "accepted": 0, "warning": 0}
    for row in failing:
        counts[row["outcome"]] += 1
    layers: dict[str, dict[str, int]] = {}
    for row in latest.values():
        layer = layers.setdefault(row["layer"], {"expectations": 0, "not_passed": 0})
        layer["expectations"] += 1
        layer["not_passed"] += not row["success"]
    return {"counts": counts, "layers": layers, "failing": failing}


def outcome_of(row: dict[str, Any]) -> str:
    """passed, accepted, failed or warning."""
    if row["success"]:
        return "passed"
    if row["accepted_by"]:
        return "accepted"
    return "failed" if row["severity"] == "critical" else "warning"


def _restatements(run_id: str) -> list[dict[str, Any]]:
    names = (
        "close_key",
        "version",
        "table_name",
        "row_key",
        "change",
        "column_name",
        "old_value",
        "new_value",
        "cause",
    )
    return [{name: row[name] for name in names} for row in read("restatements", run_id=run_id)]


def _models(run_id: str) -> dict[str, Any]:
    """The last outcome of each model and test, and where the time went."""
    latest = {(row["layer"], row["model"]): row for row in read("model_runs", run_id=run_id)}
    names = ("layer", "model", "kind", "status", "rows", "failures", "duration_s", "message")
    rows = [{name: row[name] for name in names} for row in latest.values()]
    fine = ("success", "pass")
    return {
        "models": sum(r["kind"] == "model" for r in rows),
        "tests": sum(r["kind"] == "test" for r in rows),
        "duration_s": round(sum(r["duration_s"] or 0 for r in rows), 2),
        "not_passed": [r for r in rows if r["status"] not in fine],
        "all": sorted(rows, key=lambda r: (r["layer"], r["kind"], r["model"])),
    }
