"""What changed in the source's tables without an event: compare its catalogue with what each table's last load saw.

A column added with a default, and a new type, rewrite rows that nobody sends: such a table is loaded again. A column
renamed keeps its number in PostgreSQL's catalogue, which tells it from one dropped and another added; it is loaded
again too, since its rows stand in raw under the old name. What was dropped stays in raw and gets no more values.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, IsNull, NotNull
from pyiceberg.table import Table as IcebergTable

from include import lakehouse
from include.catalog import Table
from include.catalog import source as declared
from include.land import full_load, raw_table
from include.land.source_schema import Column, from_json, read_columns, to_json
from include.land.source_setup import HEARTBEAT, captured_tables, connect_source, want_load
from include.land.zones import Zones
from include.settings import settings


@dataclass(frozen=True)
class Change:
    """One change of one column, and whether the table's rows have to be loaded again for it."""

    table: str
    column: str
    kind: str  # added, dropped, renamed, retyped
    detail: str
    needs_load: bool
    drift: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} {self.kind}: {self.detail}"


def find_changes(source: str) -> list[Change]:
    """Find what changed, let raw follow, and mark the tables that have to be loaded again. Moves no rows."""
    found = declared(source)
    changes: list[Change] = []
    tables = [
        t for t in captured_tables(found) if (t.schema, t.name) != HEARTBEAT and lakehouse.exists(f"raw.{t.identifier}")
    ]
    with connect_source(found) as connection:
        now = read_columns(connection, [(t.schema, t.name) for t in tables])
        lookup = Zones(source, lambda query: connection.execute(query).fetchall())
        zones = {t.name: lookup.known(t) for t in tables if t.zone == "@field"} if settings.is_distributed else {}
    for table in tables:
        columns = now.get((table.schema, table.name))
        target = lakehouse.table(f"raw.{table.identifier}")
        known = target.properties.get(raw_table.SOURCE_COLUMNS)
        if columns is None or known is None:
            continue
        new = compare(table, from_json(known), columns)
        if settings.is_distributed:
            new = [_with_load(change) for change in new]
            if reason := _why_load_again(table, target, zones.get(table.name, {})):
                want_load(table, reason)
        if not new:
            continue
        changes += new
        raw_table.follow(table, target, columns)
        if any(c.needs_load for c in new):
            want_load(table, "; ".join(str(c) for c in new if c.needs_load))
        else:
            tx = lakehouse.table(f"raw.{table.identifier}").transaction()
            tx.set_properties(**{raw_table.SOURCE_COLUMNS: to_json(columns)})
            tx.commit_transaction()
    return changes


def _with_load(change: Change) -> Change:
    """Kafka Connect's sink drops the values of a column that it does not know yet: they come by a load."""
    return replace(change, needs_load=change.drift == "evolve") if change.kind == "added" else change


def _why_load_again(table: Table, target: IcebergTable, zones: dict[str, str]) -> str | None:
    """What of the rows landed since the last load a later row cannot mend. The embedded worker sees to it by itself.

    A key change in a row whose long values were not sent again leaves the new key without them. A local time has no
    instant where the sink was started anew before it was told of the field's zone.
    """
    loaded = (int(target.properties.get(full_load.LOADED, 0)), int(target.properties.get(full_load.LOADED_AT, 0)))

    def since_load(condition: BooleanExpression, *columns: str) -> list[dict[str, Any]]:
        rows = target.scan(And(condition, GreaterThanOrEqual("_epoch", loaded[0])), ("_epoch", "_commit_lsn", *columns))
        return [r for r in rows.to_arrow().to_pylist() if (r["_epoch"], r["_commit_lsn"]) > loaded]

    if since_load(And(EqualTo("_op", "c"), NotNull("_unchanged"))):
        return "a key changed in a row whose long values were not sent again"
    names = {f.name for f in target.schema().fields}
    for name in (n for n in table.local_times if zones and n in names):
        of = table.zone_lookup["column"]
        if any(str(row[of]) in zones for row in since_load(And(NotNull(name), IsNull(f"{name}_utc")), of)):
            return f"{name} has no instant in rows whose zone is known by now"
    return None


def compare(table: Table, before: tuple[Column, ...], after: tuple[Column, ...]) -> list[Change]:
    """The changes between two states of a table's catalogue."""
    old, new = {c.number: c for c in before}, {c.number: c for c in after}
    changes = []

    def add(column: Column, kind: str, detail: str, needs_load: bool) -> None:
        drift = table.drift_of(column.name)
        changes.append(Change(table.name, column.name, kind, detail, needs_load and drift == "evolve", drift))

    for number, column in new.items():
        was = old.get(number)
        if was is None:
            filled = column.filled is not None
            detail = (
                f"{column.described}, rows that were there got {column.filled}"
                if filled
                else f"{column.described}, null in rows that were there"
            )
            add(column, "added", detail, filled)
            continue
        if was.name != column.name:
            add(column, "renamed", f"it was {was.name}", True)
        if (was.type, was.modifier) != (column.type, column.modifier) and was.described != column.described:
            add(column, "retyped", f"{was.described} to {column.described}", True)
    for number, column in old.items():
        if number not in new:
            add(column, "dropped", "raw keeps it, without new values", False)
    return changes


def check_source(source: str) -> dict[str, list]:
    """Before each landing run: find what changed, and load what raw does not have whole. Gives both as plain values."""
    changes = find_changes(source)
    loaded = full_load.load_missing(source)
    return {"changes": [{**asdict(c), "text": str(c)} for c in changes], "loaded": [asdict(done) for done in loaded]}
