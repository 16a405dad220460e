"""What a close report says, as plain data: read at the snapshots of the seal, so a cleared report says the same.

A pack names its figures in `include/packs/<pack>/report.py`; a pack without that file gets everything else.
"""

import importlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import duckdb
import pyarrow as pa
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual

from include import lakehouse
from include.catalog import calendar
from include.errors import PublishError
from include.ops.store import read
from include.publish.freeze import Close

TRAILING_DAYS = 30
MONTHLY_ABOVE_DAYS = 92  # a longer run is charted by month
RANKED_ROWS = 10


@dataclass(frozen=True)
class Figure:
    column: str
    label: str
    unit: str
    better: Literal["more", "less"] | None = "more"  # which move is good news; None: neither


@dataclass(frozen=True)
class Layout:
    """The marts and columns that a pack's report shows; both marts are cut by `production_date`."""

    totals: str  # mart whose rows add up to the whole
    part: str  # its key column, e.g. the field
    part_label: str
    ranked: str  # mart of the single things, ranked by how much they changed
    entity: str  # its key column, e.g. the well
    entity_label: str
    figures: tuple[Figure, ...]
    ranked_by: tuple[str, ...]


def layout_of(pack: str) -> Layout | None:
    """The pack's layout, or None where it declares none."""
    name = f"include.packs.{pack}.report"
    if importlib.util.find_spec(f"include.packs.{pack}") is None or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name).LAYOUT


def collect(close: Close, layout: Layout | None) -> dict[str, Any]:
    """Everything that the report of a published close says. Raises `PublishError` where it is not published."""
    seals = read("closes", run_id=close.run_id, state="published")
    if not seals:
        raise PublishError(f"{close.label} is not published by run {close.run_id}. Clear publish first, then report")
    seal = seals[-1]
    return {
        "pack": close.pack,
        "close": close.label,
        "calendar": calendar(close.calendar).label,
        "zone": calendar(close.calendar).zone,
        "from_date": close.from_date,
        "to_date": close.to_date,
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
        **(
            _figures(close, layout, json.loads(seal["snapshot_ids"]))
            if layout
            else {"figures": [], "parts": [], "ranked": []}
        ),
        "gates": _gates(close.run_id),
        "restatements": _restatements(close.run_id),
        "models": _models(close.run_id),
    }


def _cut_off(close: Close) -> dict[str, dict[str, int]]:
    """The cut-off per source; of a source of feeds, its feeds alone."""
    by_feed = {name.partition("__")[0] for name in close.cut_off if "__" in name}
    return {name: at for name, at in close.cut_off.items() if name not in by_feed}


def _row_counts(seals: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Rows per mart over the days of the run; months and dimensions count once."""
    from include.catalog import marts

    daily = {m.name for m in marts(seals[0]["pack"]) if m.window not in ("all", "month")}
    found: dict[str, int] = {}
    for row in {row["close_key"]: row for row in seals}.values():
        for mart, count in json.loads(row["row_counts"] or "{}").items():
            found[mart] = found.get(mart, 0) + count if mart in daily else max(found.get(mart, 0), count)
    return dict(sorted(found.items()))


def _figures(close: Close, layout: Layout, snapshots: dict[str, int | None]) -> dict[str, Any]:
    days = len(close.dates)
    before = (close.from_date - timedelta(days=days), close.from_date - timedelta(days=1))
    since = min(close.from_date, close.to_date - timedelta(days=TRAILING_DAYS - 1), before[0])
    totals = _rows(close, layout.totals, snapshots, since)
    single = _rows(close, layout.ranked, snapshots, before[0])
    now = (close.from_date, close.to_date)
    layout = replace(layout, figures=tuple(f for f in layout.figures if _is_known(totals, f.column)))
    with duckdb.connect() as engine:
        engine.execute("set TimeZone = 'UTC'")
        engine.register("totals", totals)
        engine.register("single", single)
        figures = [
            {
                "column": f.column,
                "label": f.label,
                "unit": f.unit,
                "better": f.better,
                "value": _sum(engine, f.column, now),
                "before": _sum(engine, f.column, before),
                "trailing_mean": _mean(engine, f.column, close.to_date),
                "series": _series(engine, f.column, close),
            }
            for f in layout.figures
        ]
        return {
            "figures": figures,
            "compared_with": {"from_date": before[0], "to_date": before[1]},
            "parts": _parts(engine, layout, now, before),
            "ranked": [_ranked(engine, layout, f, now, before) for f in layout.figures if f.column in layout.ranked_by],
            "part_label": layout.part_label,
            "entity_label": layout.entity_label,
        }


def _rows(close: Close, mart: str, snapshots: dict[str, int | None], since: date) -> pa.Table:
    target = lakehouse.table(f"{close.pack}.{mart}")
    if snapshots.get(mart) is None:
        return target.schema().as_arrow().empty_table()
    window = And(
        EqualTo("calendar", close.calendar),
        GreaterThanOrEqual("production_date", since.isoformat()),
        LessThanOrEqual("production_date", close.to_date.isoformat()),
    )
    return target.scan(row_filter=window, snapshot_id=snapshots[mart]).to_arrow()


def _is_known(rows: pa.Table, column: str) -> bool:
    """Whether there is anything to say of a column: a mart may lack it at that snapshot, or hold nothing in it."""
    return column in rows.column_names and (rows.num_rows == 0 or rows[column].null_count < rows.num_rows)


def _sum(engine: duckdb.DuckDBPyConnection, column: str, window: tuple[date, date]) -> Decimal | None:
    """The exact sum over the window, or None where the window holds no row."""
    query = f'select sum("{column}") from totals where production_date between ? and ?'
    return engine.execute(query, list(window)).fetchone()[0]


def _mean(engine: duckdb.DuckDBPyConnection, column: str, last: date) -> Decimal | None:
    """The mean of the published days among the trailing ones, the last included."""
    query = (
        f"""select sum("{column}"), count(distinct production_date) from totals where production_date between ? and ?"""
    )
    total, count = engine.execute(query, [last - timedelta(days=TRAILING_DAYS - 1), last]).fetchone()
    return None if not count or total is None else (total / count).quantize(Decimal("0.000001"))


def _series(engine: duckdb.DuckDBPyConnection, column: str, close: Close) -> list[dict[str, Any]]:
    """One value a day over the trailing days, or over the run where that is longer; a month a value above a limit."""
    first = min(close.from_date, close.to_date - timedelta(days=TRAILING_DAYS - 1))
    length = (close.to_date - first).days + 1
    step = "date_trunc('month', production_date)::date" if length > MONTHLY_ABOVE_DAYS else "production_date"
    query = (
        f'select {step} as d, sum("{column}") from totals where production_date between ? and ? group by d order by d'
    )
    found = dict(engine.execute(query, [first, close.to_date]).fetchall())
    if length > MONTHLY_ABOVE_DAYS:
        wanted: Iterable[date] = _months(first, close.to_date)
    else:
        wanted = [first + timedelta(days=n) for n in range(length)]
    start = close.from_date.replace(day=1) if length > MONTHLY_ABOVE_DAYS else close.from_date
    return [{"date": d, "value": found.get(d), "is_closed": d >= start} for d in wanted]


def _months(first: date, last: date) -> list[date]:
    found, month = [], first.replace(day=1)
    while month <= last:
        found.append(month)
        month = (month + timedelta(days=32)).replace(day=1)
    return found


def _parts(engine, layout: Layout, now: tuple[date, date], before: tuple[date, date]) -> list[dict[str, Any]]:
    """One row per field (or what the pack calls it), with every figure now and before."""
    sums = ", ".join(
        f"""sum("{f.column}") filter (where production_date between $a and $b) as now_{n},
            sum("{f.column}") filter (where production_date between $c and $d) as before_{n}"""
        for n, f in enumerate(layout.figures)
    )
    found = engine.execute(
        f'select "{layout.part}", {sums} from totals group by 1 order by 1',
        {"a": now[0], "b": now[1], "c": before[0], "d": before[1]},
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
    engine, layout: Layout, figure: Figure, now: tuple[date, date], before: tuple[date, date]
) -> dict[str, Any]:
    """The single things whose figure moved most between the two windows, largest move first."""
    query = f"""
        with moved as (
            select "{layout.entity}" as name, "{layout.part}" as part,
                sum("{figure.column}") filter (where production_date between $a and $b) as value,
                sum("{figure.column}") filter (where production_date between $c and $d) as before
            from single group by all
        )
        select name, part, value, before, coalesce(value, 0) - coalesce(before, 0) as change from moved
        where coalesce(value, 0) <> coalesce(before, 0)
        order by abs(change) desc, name limit {RANKED_ROWS}
    """
    rows = engine.execute(query, {"a": now[0], "b": now[1], "c": before[0], "d": before[1]}).fetchall()
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
