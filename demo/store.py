"""Writing to the field database: COPY of whole tables, and the rows by which two instants differ."""

import io
from collections.abc import Mapping

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from pyarrow import csv

# Rows that end some time after they began: table -> (column that is null until then, columns written with it).
ENDING = {"downtime_events": ("ended_at", ()), "work_orders": ("closed_at", ("cost_usd",))}


def key_of(table: pa.Table) -> str:
    return table.column_names[0]


def copy_rows(cursor: psycopg.Cursor, name: str, table: pa.Table) -> None:
    """COPY all rows of an Arrow table into a PostgreSQL table of the same column names."""
    buffer = io.BytesIO()
    csv.write_csv(table, buffer, csv.WriteOptions(include_header=False, quoting_style="needed"))
    columns = sql.SQL(", ").join(map(sql.Identifier, table.column_names))
    with cursor.copy(sql.SQL("copy {} ({}) from stdin (format csv)").format(sql.Identifier(name), columns)) as copy:
        copy.write(buffer.getbuffer())


def add_rows(cursor: psycopg.Cursor, name: str, table: pa.Table) -> int:
    """Insert the rows that the table does not have yet; returns how many it took.

    A column that the table has lost since is left out, as an application would that was changed with it.
    """
    if not table.num_rows:
        return 0
    cursor.execute(sql.SQL("select * from {} limit 0").format(sql.Identifier(name)))
    there = {column.name for column in cursor.description}
    table = table.select([column for column in table.column_names if column in there])
    arriving = sql.Identifier(f"arriving_{name}")
    cursor.execute(
        sql.SQL("create temporary table {} (like {} including defaults) on commit drop").format(
            arriving, sql.Identifier(name)
        )
    )
    copy_rows(cursor, f"arriving_{name}", table)
    columns = sql.SQL(", ").join(map(sql.Identifier, table.column_names))
    cursor.execute(
        sql.SQL("insert into {} ({}) select {} from {} on conflict do nothing").format(
            sql.Identifier(name), columns, columns, arriving
        )
    )
    return cursor.rowcount


def end_rows(cursor: psycopg.Cursor, name: str, table: pa.Table) -> int:
    """Write the ends of rows that were still open; a row that somebody ended otherwise is left alone."""
    end, also = ENDING[name]
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in (end, *also))
    statement = sql.SQL("update {} set {} where {} = %s and {} is null").format(
        sql.Identifier(name), assignments, sql.Identifier(key_of(table)), sql.Identifier(end)
    )
    changed = 0
    for row in table.select([end, *also, key_of(table)]).to_pylist():
        cursor.execute(statement, list(row.values()))
        changed += cursor.rowcount
    return changed


def gained(before: Mapping[str, pa.Table], after: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The rows of `after` whose key `before` does not have."""
    return {
        name: table.filter(
            pc.invert(pc.is_in(table[key_of(table)], value_set=before[name][key_of(table)].combine_chunks()))
        )
        for name, table in after.items()
    }


def ended(before: Mapping[str, pa.Table], after: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The rows that were open in `before` and are not in `after`."""
    found = {}
    for name, (end, _) in ENDING.items():
        was_open = before[name].filter(pc.is_null(before[name][end]))
        key = key_of(after[name])
        closed = after[name].filter(pc.is_valid(after[name][end]))
        found[name] = closed.filter(pc.is_in(closed[key], value_set=was_open[key].combine_chunks()))
    return found
