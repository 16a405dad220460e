"""Source against raw, tolerance 0, at one exact position, while the source keeps changing.

The source is read once for all tables, in one snapshot whose position is known; raw is read as of that position once
it has passed it. Compared are the number of rows, and per column the number of values and a sum: exact sums of
numbers, days and microseconds of dates and times, and sums of checksums for text, keys included.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb
import psycopg
import pyarrow as pa

from include import lakehouse
from include.catalog import Source, Table
from include.catalog import source as declared
from include.errors import LandingError
from include.land.connect import source_position, wait_until
from include.land.exact_snapshot import exact_snapshot
from include.land.source_schema import Column, quoted, read_columns
from include.land.source_setup import HEARTBEAT, captured_tables, connect_source

POSITION_ORDER = "_epoch, _commit_lsn, _seq"
_DAY_ZERO = "date '2000-01-01'"


@dataclass(frozen=True)
class Comparison:
    """One figure of one table on both sides. `column` is `*` for the number of rows."""

    table: str
    column: str
    source_value: str
    raw_value: str

    @property
    def is_equal(self) -> bool:
        return self.source_value == self.raw_value


@dataclass(frozen=True)
class TableResult:
    """All figures of one table, and whether each is the same on both sides."""

    table: str
    comparisons: tuple[Comparison, ...]

    @property
    def is_equal(self) -> bool:
        return all(c.is_equal for c in self.comparisons)

    def __str__(self) -> str:
        rows = next(c.source_value for c in self.comparisons if c.column == "*")
        different = [
            f"{c.column}: source {c.source_value}, raw {c.raw_value}" for c in self.comparisons if not c.is_equal
        ]
        return f"{self.table} ({rows} rows) " + (
            "; ".join(different) if different else f"equal in {len(self.comparisons)} figures"
        )


def reconcile(source: str) -> list[TableResult]:
    """Compare and record all tables of a source; give the result of each, equal or not."""
    figures: dict[str, list[Comparison]] = {}
    for comparison in compare_source(source, must_match=False):
        figures.setdefault(comparison.table, []).append(comparison)
    return [TableResult(table, tuple(found)) for table, found in figures.items()]


def compare_at_position(source: str, table: str) -> list[Comparison]:
    """Compare one table; see `compare_source`."""
    return compare_source(source, [table])


def compare_source(source: str, tables: Iterable[str] | None = None, *, must_match: bool = True) -> list[Comparison]:
    """Compare all tables of a source, or `tables`, and record every figure in `ops.reconciliations`.

    Raises `LandingError` that names each difference, unless `must_match` is off.
    """
    from include.ops.store import record

    found = declared(source)
    chosen = _chosen(found, tables)
    epoch = source_position(source)["epoch"]
    with exact_snapshot(found) as snapshot, connect_source(found, autocommit=False) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(f"set transaction snapshot '{snapshot.name}'")
        columns = read_columns(connection, [(t.schema, t.name) for t in chosen])
        shared = {t: _shared_columns(t, columns.get((t.schema, t.name), ())) for t in chosen}
        theirs = {t: _source_figures(connection, t, shared[t]) for t in chosen}
    position = {"epoch": epoch, "commit_lsn": snapshot.commit_lsn}
    wait_until(source, position)
    comparisons = []
    with lakehouse.connect() as engine:
        for table in chosen:
            ours = raw_figures(engine, table, shared[table], position)
            comparisons += [Comparison(table.name, name, value, ours[name]) for name, value in theirs[table].items()]
    record(
        "reconciliations",
        [
            {
                "source": source,
                "table_name": c.table,
                **position,
                "column_name": c.column,
                "source_value": c.source_value,
                "raw_value": c.raw_value,
                "is_equal": c.is_equal,
            }
            for c in comparisons
        ],
    )
    different = [c for c in comparisons if not c.is_equal]
    if different and must_match:
        listed = "; ".join(f"{c.table}.{c.column}: source {c.source_value}, raw {c.raw_value}" for c in different[:20])
        raise LandingError(
            f"{len(different)} figures of {source!r} differ at {position}: {listed}. To load a table again: "
            f"python -m include.land.full_load {source} {different[0].table}"
        )
    return comparisons


def _chosen(source: Source, tables: Iterable[str] | None) -> list[Table]:
    all_tables = [t for t in captured_tables(source) if (t.schema, t.name) != HEARTBEAT]
    if tables is None:
        return all_tables
    wanted = set(tables)
    return [t for t in all_tables if t.name in wanted]


def _shared_columns(table: Table, columns: tuple[Column, ...]) -> list[tuple[Column, pa.DataType]]:
    """The columns that both sides have, with their type in raw."""
    identifier = f"raw.{table.identifier}"
    if not columns:
        raise LandingError(f"{table.schema}.{table.name} does not exist in the source")
    if not lakehouse.exists(identifier):
        raise LandingError(f"{identifier} was never landed. Its full load comes first: load_missing('{table.source}')")
    kept = {f.name: f.type for f in lakehouse.table(identifier).schema().as_arrow()}
    return [(c, kept[c.name]) for c in columns if c.name in kept]


def _source_figures(
    connection: psycopg.Connection, table: Table, columns: list[tuple[Column, pa.DataType]]
) -> dict[str, str]:
    inner = ", ".join(f"{c.select()} as {quoted(c.name)}" for c, _ in columns)
    parts = ["count(*)"]
    for column, kind in columns:
        parts += [f"count({quoted(column.name)})", _source_sum(quoted(column.name), column, kind)]
    row = connection.execute(
        f"select {', '.join(parts)} from (select {inner} from {quoted(table.schema)}.{quoted(table.name)}) s"
    ).fetchone()
    return _figures(row, columns)


def raw_figures(
    engine: "duckdb.DuckDBPyConnection",
    table: Table,
    columns: list[tuple[Column, pa.DataType]],
    position: dict[str, int],
) -> dict[str, str]:
    """The same figures of raw's rows as of `position`."""
    parts = ["count(*)"]
    for column, kind in columns:
        parts += [f"count({quoted(column.name)})", _raw_sum(quoted(column.name), column, kind)]
    rows = latest_sql(engine, table, [c.name for c, _ in columns], position)
    return _figures(engine.execute(f"select {', '.join(parts)} from ({rows})").fetchone(), columns)


def latest_sql(engine: "duckdb.DuckDBPyConnection", table: Table, columns: list[str], position: dict[str, int]) -> str:
    """SQL for the newest row of each key as of `position`: none deleted or truncated, values not sent carried on."""
    raw = f"lakehouse.raw.{quoted(table.identifier)}"
    epoch, lsn = int(position["epoch"]), int(position["commit_lsn"])
    cut = f"(_epoch < {epoch} or (_epoch = {epoch} and _commit_lsn <= {lsn}))"
    cleared = engine.execute(
        f"select {POSITION_ORDER} from {raw} where _op = 't' and {cut} "
        "order by _epoch desc, _commit_lsn desc, _seq desc limit 1"
    ).fetchone()
    if cleared:
        e, c, s = cleared
        cut += f" and (_epoch > {e} or (_epoch = {e} and (_commit_lsn > {c} or (_commit_lsn = {c} and _seq > {s}))))"
    unsent = {
        name
        for (names,) in engine.execute(
            f"select distinct _unchanged from {raw} where _unchanged is not null and {cut}"
        ).fetchall()
        for name in names.split(",")
    }
    key = ", ".join(map(quoted, table.key))
    carried = ", ".join(
        f"last_value(case when _op <> 'd' and not list_contains(string_split(coalesce(_unchanged, ''), ','), '{name}') "
        f"then struct_pack(v := {quoted(name)}) end ignore nulls) "
        f"over (partition by {key} order by {POSITION_ORDER} rows between unbounded preceding and current row).v "
        f"as {quoted(name)}"
        if name in unsent
        else quoted(name)
        for name in columns
    )
    newest = f"row_number() over (partition by {key} order by _epoch desc, _commit_lsn desc, _seq desc)"
    ranked = f"select {carried}, _op, {newest} as _newest from {raw} where {cut}"
    return f"select * from ({ranked}) where _newest = 1 and _op <> 'd'"


def _figures(row: tuple[Any, ...], columns: list[tuple[Column, pa.DataType]]) -> dict[str, str]:
    figures = {"*": str(row[0])}
    for i, (column, _) in enumerate(columns):
        count, total = row[1 + 2 * i], row[2 + 2 * i]
        figures[column.name] = f"{_plain(total or 0)} of {count}"
    return figures


def _plain(total: Any) -> str:
    text = f"{total:f}" if hasattr(total, "as_tuple") else str(total)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _source_sum(name: str, column: Column, kind: pa.DataType) -> str:
    if pa.types.is_boolean(column.arrow):
        return f"count(*) filter (where {name})"
    if pa.types.is_decimal(column.arrow) or pa.types.is_integer(column.arrow):
        return f"sum({name}::numeric)"
    if pa.types.is_date(column.arrow):
        return f"sum(({name} - {_DAY_ZERO})::numeric)"
    if pa.types.is_timestamp(column.arrow):
        return f"sum((extract(epoch from {name}) * 1000000)::numeric(38, 0))"
    if pa.types.is_floating(column.arrow):
        return f"sum(case when abs({name}) < 1e12 then floor({name}::float8 * 1024)::bigint::numeric end)"
    if pa.types.is_binary(column.arrow):
        return _source_checksum(name)
    return _source_checksum(name)


def _source_checksum(value: str) -> str:
    return f"sum(('x' || substr(md5({value}), 1, 8))::bit(32)::bigint::numeric)"


def _raw_sum(name: str, column: Column, kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return f"count(*) filter (where {name})"
    if pa.types.is_decimal(kind):
        return f"sum({name}::decimal(38, {kind.scale}))"
    if pa.types.is_integer(kind):
        return f"sum({name}::hugeint)"
    if pa.types.is_date(kind):
        return f"sum(({name} - {_DAY_ZERO})::hugeint)"
    if pa.types.is_timestamp(kind):
        return f"sum(epoch_us({name})::hugeint)"
    if pa.types.is_floating(kind):
        return f"sum(case when abs({name}) < 1e12 then floor({name}::double * 1024)::hugeint end)"
    return f"sum(('0x' || substr(md5({name}), 1, 8))::bigint::hugeint)"
