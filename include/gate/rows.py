"""The rows that a gate judges, taken once: every expectation of a run sees the same ones.

Each suite's SQL runs here, against the lakehouse and the close's workspace, into a small DuckDB file of its
own; Great Expectations reads only that file. So a gate is one scan per table, and the object store is out of
the way while the expectations run. The SQL may read, by bare name:

    this_close            one row: pack, calendar, zone, contract_hour, from_date, to_date, starts_at, ends_at,
                          frozen_at, run_id
    close_days            one row per day of the window: production_date, starts_at, ends_at, hours (23, 24 or 25)
    close_shifts          one row per shift of the window: shift_id, production_date, shift, shift_name, starts_at,
                          ends_at, hours (by the clock, pauses of a split shift left out)
    landed                one row per source of changes: source, landed_until, caught_up, limit_minutes
    feed_rows             one row per feed of this calendar that has landed: source, rows_in_window, rows_in_the_future
    set_aside             one row per change in quarantine at the cut-off: table_name, reason
    <source>__<table>     a raw table at the close's cut-off: the latest row per key, deleted rows gone
    <model>               a model in the workspace
    history_<mart>        the published mart as it stood when the close froze, this calendar only
    ops_<table>           a log of namespace ops
    declared_tables       one row per source table: source, table_name
    <seed>                a seed of the pack, e.g. field_calendars
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from include import catalog, lakehouse
from include.contract_day import ContractDay
from include.gate.suites import Suite
from include.ops import tables as ops_tables
from include.publish.workspace import window_bounds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.publish.freeze import Close
# DuckDB's types of a feed's columns, where the names differ
FEED_TYPES = {"string": "varchar", "long": "bigint", "hour_range": "timestamp", "decimal": "decimal(38, 18)"}


def take_rows(
    close: "Close",
    suites: Iterable[Suite],
    into: Path,
    connect: Callable[[Path], "DuckDBPyConnection"] = lakehouse.connect,
) -> dict[str, str]:
    """Fill the DuckDB file `into` with one table per suite; return the message of each suite whose SQL failed."""
    into.parent.mkdir(parents=True, exist_ok=True)
    into.unlink(missing_ok=True)
    errors = {}
    with connect(into) as con:
        _describe_close(con, close)
        built = _attach_workspace(con, close)
        for suite in suites:
            sql = suite.rows or _window_of(close, suite)
            try:
                _provide(con, close, sql, built)
                con.execute(f'create table "{suite.table}" as {sql}')
            except duckdb.Error as error:
                errors[suite.table] = str(error).splitlines()[0]
                con.execute(f'create or replace table "{suite.table}" (nothing integer)')
    return errors


def _describe_close(con: "DuckDBPyConnection", close: "Close") -> None:
    site = catalog.calendar(close.calendar)
    day = ContractDay(site.zone, site.contract_hour)
    con.execute(
        "create temp table this_close as select $pack as pack, $calendar as calendar, $zone as zone, "
        "$hour as contract_hour, $first::date as from_date, $last::date as to_date, $starts::timestamptz as starts_at, "
        "$ends::timestamptz as ends_at, $frozen::timestamptz as frozen_at, $run as run_id",
        {
            "pack": close.pack,
            "calendar": close.calendar,
            "zone": site.zone,
            "hour": site.contract_hour,
            "first": close.from_date,
            "last": close.to_date,
            "starts": close.periods[0].starts_at,
            "ends": close.periods[-1].ends_at,
            "frozen": close.frozen_at,
            "run": close.run_id,
        },
    )
    days = [(d, day.starts_at(d), day.ends_at(d)) for d in close.dates]
    instant = pa.timestamp("us", tz="UTC")
    close_days = pa.table(
        {
            "production_date": pa.array([d for d, _, _ in days], pa.date32()),
            "starts_at": pa.array([start for _, start, _ in days], instant),
            "ends_at": pa.array([end for _, _, end in days], instant),
            "hours": pa.array([(end - start) / timedelta(hours=1) for _, start, end in days], pa.float64()),
        }
    )
    con.register("_close_days", close_days)
    con.execute("create temp table close_days as select * from _close_days")
    con.unregister("_close_days")
    shifts = pa.table(
        {
            "shift_id": pa.array([p.name for p in close.shifts], pa.string()),
            "production_date": pa.array([p.production_date for p in close.shifts], pa.date32()),
            "shift": pa.array([p.shift for p in close.shifts], pa.int32()),
            "shift_name": pa.array([p.label for p in close.shifts], pa.string()),
            "starts_at": pa.array([p.starts_at for p in close.shifts], instant),
            "ends_at": pa.array([p.ends_at for p in close.shifts], instant),
            "hours": pa.array(
                [sum((end - start) / timedelta(hours=1) for start, end in p.parts) for p in close.shifts], pa.float64()
            ),
        }
    )
    con.register("_close_shifts", shifts)
    con.execute("create temp table close_shifts as select * from _close_shifts")
    con.unregister("_close_shifts")
    con.execute("create temp table declared_tables (source varchar, table_name varchar)")
    declared = [(s.name, t.name) for s in catalog.sources() if s.pack == close.pack for t in s.tables]
    if declared:
        con.executemany("insert into declared_tables values (?, ?)", declared)


def _attach_workspace(con: "DuckDBPyConnection", close: "Close") -> set[str]:
    """Make every model of the workspace readable by its bare name; return the names."""
    path = close.workspace
    if not path.is_file():
        return set()
    con.execute(f"attach '{path}' (read_only)")  # under the name that dbt built it with: its views say that name
    (database,) = con.execute("select database_name from duckdb_databases() where path = ?", [str(path)]).fetchone()
    relations = con.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = $d "
        "union all select schema_name, view_name from duckdb_views() where database_name = $d and not internal",
        {"d": database},
    ).fetchall()
    for schema, name in relations:
        con.execute(f'create or replace temp view "{name}" as select * from "{database}"."{schema}"."{name}"')
    return {name for _, name in relations}


def _window_of(close: "Close", suite: Suite) -> str:
    """The default rows: a mart's declared window, a staging model or raw table whole."""
    for mart in catalog.marts(close.pack):
        if mart.name == suite.table:
            low, high = window_bounds(mart, close)
            window = "true" if mart.window == "all" else f"m.{mart.window} between '{low}' and '{high}'"
            return f'select m.* from "{mart.name}" as m, this_close as c where m.calendar = c.calendar and {window}'
    return f'select * from "{suite.table}"'


def _provide(con: "DuckDBPyConnection", close: "Close", sql: str, built: set[str]) -> None:
    """Create the views that `sql` names and that do not exist yet."""
    named = set(re.findall(r"\b[a-z_][a-z0-9_]*\b", sql))
    have = built | {name for (name,) in con.execute("select view_name from duckdb_views() where temporary").fetchall()}
    for source in catalog.sources():
        for table in source.tables:
            if table.identifier in named - have:
                con.execute(_at_cut_off(close, table.identifier, source.name, table.key))
    for feed in catalog.feeds():
        if feed.identifier in named - have:
            _provide_feed(con, close, feed)
    for mart in catalog.marts(close.pack):
        if f"history_{mart.name}" in named - have:
            con.execute(_history(close, mart.name))
    for log in ops_tables.TABLES:
        if f"ops_{log}" in named - have:
            _provide_log(con, log)
    for seed in (catalog.DBT / "seeds" / close.pack).glob("*.csv"):
        if seed.stem in named - have:  # before staging is built
            con.execute(
                f"create or replace temp view \"{seed.stem}\" as select * from read_csv('{seed}', header = true)"
            )
    if "landed" in named:
        _provide_landed(con, close)
    if "feed_rows" in named:
        _provide_feed_rows(con, close)
    if "set_aside" in named:
        _provide_set_aside(con, close)


def _at_cut_off(close: "Close", identifier: str, source: str, key: tuple[str, ...]) -> str:
    """A view of a raw table as the close may see it. A value that the source did not resend is null in it."""
    keys = ", ".join(f'"{column}"' for column in key)
    position = "(_epoch, _commit_lsn, _seq)"
    return f"""
        create or replace temp view "{identifier}" as
        with seen as (select * from {lakehouse.LAKEHOUSE}.raw."{identifier}" where {_seen(close, source)}),
        reset as (
            select
                max({position}) filter (_op = 't') as truncated_at,
                max(_epoch) filter (_op = 'r') as loaded_epoch
            from seen
        ),
        latest as (
            select * from seen, reset
            where _op <> 't'
                and (loaded_epoch is null or _epoch >= loaded_epoch)
                and (truncated_at is null or {position} > truncated_at)
            qualify row_number() over (partition by {keys} order by _epoch desc, _commit_lsn desc, _seq desc) = 1
        )
        select * exclude (truncated_at, loaded_epoch) from latest where _op <> 'd'
    """


def _seen(close: "Close", source: str) -> str:
    """The condition that keeps the rows of a raw table up to the cut-off of `source`: none where it has none."""
    cut = close.cut_off.get(source)
    return f"(_epoch, _commit_lsn) <= ({int(cut['epoch'])}, {int(cut['commit_lsn'])})" if cut else "false"


def _provide_feed(con: "DuckDBPyConnection", close: "Close", feed: catalog.Feed) -> None:
    try:
        con.execute(_at_cut_off(close, feed.identifier, feed.identifier, feed.key))
    except duckdb.CatalogException:  # no file of this feed ever came
        columns = [(c.name, FEED_TYPES.get(c.type, c.type)) for c in feed.columns]
        columns += [(f"{c.name}_utc", "timestamptz") for c in feed.columns if c.type in catalog.LOCAL_TYPES]
        columns += [("_landed_at", "timestamptz"), ("_source_at", "timestamptz"), ("_batch_id", "varchar")]
        nulls = ", ".join(f'null::{kind} as "{column}"' for column, kind in columns)
        con.execute(f'create or replace temp view "{feed.identifier}" as select {nulls} where false')


def _history(close: "Close", mart: str) -> str:
    snapshot = close.history.get(mart)
    if snapshot is None:  # never published: the same columns, no rows
        return f'create or replace temp view "history_{mart}" as select * from "{mart}" where false'
    return (
        f'create or replace temp view "history_{mart}" as select * from {lakehouse.LAKEHOUSE}."{close.pack}"."{mart}" '
        f"at (version => {int(snapshot)}) where calendar = '{close.calendar}'"
    )


def _provide_log(con: "DuckDBPyConnection", log: str) -> None:
    try:
        con.execute(f'create or replace temp view "ops_{log}" as select * from {lakehouse.LAKEHOUSE}.ops."{log}"')
    except duckdb.CatalogException:  # nothing was ever recorded
        empty = ops_tables.schema(log).empty_table()
        con.register(f"_empty_{log}", empty)
        con.execute(f'create or replace temp table "_none_{log}" as select * from "_empty_{log}"')
        con.unregister(f"_empty_{log}")
        con.execute(f'create or replace temp view "ops_{log}" as select * from "_none_{log}"')


def _provide_landed(con: "DuckDBPyConnection", close: "Close") -> None:
    """How far each source had landed at the cut-off, by the source's own clock: its heartbeat says so."""
    if con.execute("select count(*) from duckdb_tables() where temporary and table_name = 'landed'").fetchone()[0]:
        return
    con.execute(
        "create temp table landed (source varchar, landed_until timestamptz, caught_up boolean, limit_minutes double)"
    )
    for source in catalog.sources():
        if source.pack != close.pack:
            continue
        beats = [t for t in source.tables if t.name == "heartbeat"] or list(source.tables)
        seen = " union all ".join(
            f'select _source_at from {lakehouse.LAKEHOUSE}.raw."{t.identifier}" where {_seen(close, source.name)}'
            for t in beats
        )
        con.execute(
            f"insert into landed select $source, max(_source_at), $caught_up, $minutes from ({seen})",
            {"source": source.name, "caught_up": close.caught_up, "minutes": source.error_after_minutes},
        )


def _provide_feed_rows(con: "DuckDBPyConnection", close: "Close") -> None:
    """How many rows each feed has for the window, by the date or the hour in its key; whatever feeds are declared."""
    con.execute(
        "create or replace temp table feed_rows (source varchar, rows_in_window integer, rows_in_the_future integer)"
    )
    for feed in catalog.feeds():
        types = {column.name: column.type for column in feed.columns}
        days = [name for name in feed.key if types.get(name) == "date"]
        instants = [name for name in feed.key if name.removesuffix("_utc") in types and name.endswith("_utc")]
        if (feed.pack, feed.calendar) != (close.pack, close.calendar) or not days + instants:
            continue
        _provide_feed(con, close, feed)
        if days:
            window = f'f."{days[0]}" between c.from_date and c.to_date'
            future = f'f."{days[0]}" > cast(timezone(c.zone, c.frozen_at) as date)'
        else:
            window = f'f."{instants[0]}" >= c.starts_at and f."{instants[0]}" < c.ends_at'
            future = f'f."{instants[0]}" > c.frozen_at'
        con.execute(
            f"insert into feed_rows select $feed, count(*) filter ({window}), count(*) filter ({future}) "
            f'from "{feed.identifier}" as f cross join this_close as c having count(*) > 0',
            {"feed": feed.full_name},
        )


def _provide_set_aside(con: "DuckDBPyConnection", close: "Close") -> None:
    """The changes of source tables that landing put into quarantine; a table that never had any has no table there."""
    con.execute("create or replace temp table set_aside (table_name varchar, reason varchar)")
    for source in catalog.sources():
        for table in source.tables if source.pack == close.pack else ():
            held = f'{lakehouse.LAKEHOUSE}.quarantine."{table.identifier}"'
            with suppress(duckdb.CatalogException):
                con.execute(
                    f"insert into set_aside select $table, reason from {held} where {_seen(close, source.name)}",
                    {"table": f"{source.name}.{table.name}"},
                )
