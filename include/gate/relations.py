"""What the SQL of a suite may read by bare name, as SQL that DuckDB and Trino both understand.

    this_close            one row: pack, calendar, zone, contract_hour, from_date, to_date, starts_at, ends_at,
                          frozen_at, frozen_on (the date of that at the site), run_id
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

And these functions, since what stands for them in one engine is missing or different in the other:

    ratio(a, b)               a / b as a double; null where b is 0
    median_of(array)          the median as a double; nulls left out
    least_of(array), greatest_of(array)     as a double; nulls left out
    joined(array, between)    the texts in their order, nulls left out; null where none is left
    seconds_between(a, b)     from one instant to the other, as a double
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from include import catalog, lakehouse
from include.contract_day import ContractDay
from include.gate.suites import Suite
from include.ops import tables as ops_tables
from include.publish.workspace import window_bounds

if TYPE_CHECKING:
    from include.publish.freeze import Close

Dialect = Literal["duckdb", "trino"]
INSTANTS: dict[Dialect, str] = {"duckdb": "timestamptz", "trino": "timestamp(6) with time zone"}
TYPES = {"string": "varchar", "long": "bigint", "hour_range": "timestamp(6)", "decimal": "decimal(38, 18)"}  # of feeds
ARROW_TYPES = {
    pa.string(): "varchar",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.float64(): "double",
    pa.date32(): "date",
}


class Relations:
    """The relations of one close, each as the SQL of a query, made when it is asked for.

    `exists` says whether the lakehouse has the table `<namespace>.<name>`.
    """

    def __init__(self, close: "Close", dialect: Dialect, exists: Callable[[str], bool]) -> None:
        self._close, self._dialect, self._exists = close, dialect, exists
        self._instant = INSTANTS[dialect]
        self._makers: dict[str, Callable[[], str]] = {
            "this_close": self._this_close,
            "close_days": self._close_days,
            "close_shifts": self._close_shifts,
            "declared_tables": self._declared_tables,
            "landed": self._landed,
            "feed_rows": self._feed_rows,
            "set_aside": self._set_aside,
        }
        for source in catalog.sources():
            for table in source.tables:
                self._makers[table.identifier] = lambda t=table, s=source: self._at_cut_off(t.identifier, s.name, t.key)
        for feed in catalog.feeds():
            self._makers[feed.identifier] = lambda f=feed: self._feed(f)
        for mart in catalog.marts(close.pack):
            self._makers[f"history_{mart.name}"] = lambda m=mart.name: self._history(m)
        for log in ops_tables.TABLES:
            self._makers[f"ops_{log}"] = lambda name=log: self._log(name)
        for seed in (catalog.DBT / "seeds" / close.pack).glob("*.csv"):
            self._makers.setdefault(seed.stem, lambda path=seed: self._seed(path))

    def named_in(self, sql: str, built: Iterable[str]) -> dict[str, str]:
        """The relations that `sql` reads, those that they read before them. What is `built` stands in the workspace."""
        found: dict[str, str] = {}
        self._collect(sql, set(built), found)
        return found

    def _collect(self, sql: str, have: set[str], found: dict[str, str]) -> None:
        for name in sorted(set(re.findall(r"\b[a-z_][a-z0-9_]*\b", sql)) & self._makers.keys() - have):
            have.add(name)
            query = self._makers[name]()
            self._collect(query, have, found)
            found[name] = query

    def window_of(self, suite: Suite) -> str:
        """The default rows of a suite: a mart's declared window, a staging model or raw table whole."""
        for mart in catalog.marts(self._close.pack):
            if mart.name == suite.table:
                window = "true"
                if mart.window != "all":
                    low, high = map(self._literal, window_bounds(mart, self._close))
                    window = f"m.{mart.window} between {low} and {high}"
                return f'select m.* from "{mart.name}" as m, this_close as c where m.calendar = c.calendar and {window}'
        return f'select * from "{suite.table}"'

    def _this_close(self) -> str:
        close, site = self._close, catalog.calendar(self._close.calendar)
        row = {
            "pack": close.pack,
            "calendar": close.calendar,
            "zone": site.zone,
            "contract_hour": site.contract_hour,
            "from_date": close.from_date,
            "to_date": close.to_date,
            "starts_at": close.periods[0].starts_at,
            "ends_at": close.periods[-1].ends_at,
            "frozen_at": close.frozen_at,
            "frozen_on": close.frozen_at.astimezone(ZoneInfo(site.zone)).date(),
            "run_id": close.run_id,
        }
        return "select " + ", ".join(f"{self._literal(value)} as {name}" for name, value in row.items())

    def _close_days(self) -> str:
        site = catalog.calendar(self._close.calendar)
        day = ContractDay(site.zone, site.contract_hour)
        days = [(d, day.starts_at(d), day.ends_at(d)) for d in self._close.dates]
        return self._values(
            {"production_date": "date", "starts_at": self._instant, "ends_at": self._instant, "hours": "double"},
            [(d, start, end, (end - start) / timedelta(hours=1)) for d, start, end in days],
        )

    def _close_shifts(self) -> str:
        columns = {
            "shift_id": "varchar",
            "production_date": "date",
            "shift": "integer",
            "shift_name": "varchar",
            "starts_at": self._instant,
            "ends_at": self._instant,
            "hours": "double",
        }
        hours = {p.name: sum((end - start) / timedelta(hours=1) for start, end in p.parts) for p in self._close.shifts}
        rows = [
            (p.name, p.production_date, p.shift, p.label, p.starts_at, p.ends_at, float(hours[p.name]))
            for p in self._close.shifts
        ]
        return self._values(columns, rows)

    def _declared_tables(self) -> str:
        rows = [(s.name, t.name) for s in catalog.sources() if s.pack == self._close.pack for t in s.tables]
        return self._values({"source": "varchar", "table_name": "varchar"}, rows)

    def _at_cut_off(self, identifier: str, source: str, key: Sequence[str]) -> str:
        """A raw table as the close may see it. A value that the source did not resend is null in it."""
        keys = ", ".join(f'"{column}"' for column in key)
        order = "_epoch desc, _commit_lsn desc, _seq desc"
        return f"""
            with seen as (
                select * from {_raw("raw", identifier)} where {self._seen(source)}
            ),
            loaded as (
                select max(_epoch) as loaded_epoch from seen where _op = 'r'
            ),
            truncated as (
                select _epoch as t_epoch, _commit_lsn as t_commit_lsn, _seq as t_seq
                from seen where _op = 't' order by {order} limit 1
            ),
            latest as (
                select s.*, row_number() over (partition by {keys} order by {order}) as _place
                from seen as s
                cross join loaded as l
                left join truncated as t on true
                where s._op <> 't'
                    and (l.loaded_epoch is null or s._epoch >= l.loaded_epoch)
                    and (
                        t.t_epoch is null or s._epoch > t.t_epoch
                        or s._epoch = t.t_epoch and s._commit_lsn > t.t_commit_lsn
                        or s._epoch = t.t_epoch and s._commit_lsn = t.t_commit_lsn and s._seq > t.t_seq
                    )
            )
            select * from latest where _place = 1 and _op <> 'd'
        """

    def _seen(self, source: str) -> str:
        """The condition that keeps the rows of a raw table up to the cut-off of `source`: none where it has none."""
        if not (cut := self._close.cut_off.get(source)):
            return "false"
        epoch, commit_lsn = int(cut["epoch"]), int(cut["commit_lsn"])
        return f"(_epoch < {epoch} or _epoch = {epoch} and _commit_lsn <= {commit_lsn})"

    def _feed(self, feed: catalog.Feed) -> str:
        if self._exists(f"raw.{feed.identifier}"):
            return self._at_cut_off(feed.identifier, feed.identifier, feed.key)
        columns = {c.name: TYPES.get(c.type, c.type) for c in feed.columns}  # no file of this feed ever came
        columns |= {f"{c.name}_utc": self._instant for c in feed.columns if c.type in catalog.LOCAL_TYPES}
        return self._values(
            {**columns, "_landed_at": self._instant, "_source_at": self._instant, "_batch_id": "varchar"}, []
        )

    def _history(self, mart: str) -> str:
        snapshot = self._close.history.get(mart)
        if snapshot is None:  # never published: the same columns, no rows
            return f'select * from "{mart}" where false'
        relation = lakehouse.relation_at(f"{self._close.pack}.{mart}", snapshot, self._dialect)
        return f"select * from {relation} where calendar = {self._literal(self._close.calendar)}"

    def _log(self, log: str) -> str:
        if self._exists(f"ops.{log}"):
            return f"select * from {_raw('ops', log)}"
        columns = {f.name: ARROW_TYPES.get(f.type, self._instant) for f in ops_tables.schema(log)}
        return self._values(columns, [])  # nothing was ever recorded

    def _landed(self) -> str:
        """How far each source had landed at the cut-off, by the source's own clock: its heartbeat says so."""
        found = []
        for source in catalog.sources():
            if source.pack != self._close.pack:
                continue
            beats = [t for t in source.tables if t.name == "heartbeat"] or list(source.tables)
            seen = " union all ".join(
                f"select _source_at from {_raw('raw', t.identifier)} where {self._seen(source.name)}" for t in beats
            )
            found.append(
                f"select {self._literal(source.name)} as source, max(_source_at) as landed_until, "
                f"{self._literal(self._close.caught_up)} as caught_up, "
                f"cast({source.error_after_minutes} as double) as limit_minutes from ({seen})"
            )
        columns = {
            "source": "varchar",
            "landed_until": self._instant,
            "caught_up": "boolean",
            "limit_minutes": "double",
        }
        return " union all ".join(found) or self._values(columns, [])

    def _feed_rows(self) -> str:
        """How many rows each feed has for the window, by the date or the hour in its key."""
        found = []
        for feed in catalog.feeds():
            types = {column.name: column.type for column in feed.columns}
            days = [name for name in feed.key if types.get(name) == "date"]
            instants = [name for name in feed.key if name.removesuffix("_utc") in types and name.endswith("_utc")]
            if (feed.pack, feed.calendar) != (self._close.pack, self._close.calendar) or not days + instants:
                continue
            if days:
                window = f'f."{days[0]}" between c.from_date and c.to_date'
                future = f'f."{days[0]}" > c.frozen_on'
            else:
                window = f'f."{instants[0]}" >= c.starts_at and f."{instants[0]}" < c.ends_at'
                future = f'f."{instants[0]}" > c.frozen_at'
            found.append(
                f"select {self._literal(feed.full_name)} as source, "
                f"cast(count(*) filter (where {window}) as integer) as rows_in_window, "
                f"cast(count(*) filter (where {future}) as integer) as rows_in_the_future "
                f'from "{feed.identifier}" as f cross join this_close as c having count(*) > 0'
            )
        columns = {"source": "varchar", "rows_in_window": "integer", "rows_in_the_future": "integer"}
        return " union all ".join(found) or self._values(columns, [])

    def _set_aside(self) -> str:
        """The changes of source tables that landing put into quarantine; a table that never had any is not there."""
        found = [
            f"select {self._literal(f'{source.name}.{table.name}')} as table_name, reason "
            f"from {_raw('quarantine', table.identifier)} where {self._seen(source.name)}"
            for source in catalog.sources()
            if source.pack == self._close.pack
            for table in source.tables
            if self._exists(f"quarantine.{table.identifier}")
        ]
        return " union all ".join(found) or self._values({"table_name": "varchar", "reason": "varchar"}, [])

    def _seed(self, path: Path) -> str:
        """A seed, for what is judged before staging has built it."""
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            found = con.execute(f"select * from read_csv('{path}', header = true)")
            columns = {name: str(kind).lower() for name, kind, *_ in found.description}
            return self._values(columns, found.fetchall())

    def _values(self, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> str:
        """A small relation written out, with the types of its columns."""
        names = ", ".join(f'"{name}"' for name in columns)
        given = rows or [[None] * len(columns)]
        body = ", ".join(f"({', '.join(map(self._literal, row))})" for row in given)
        typed = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in columns.items())
        return f"select {typed} from (values {body}) as v({names})" + ("" if rows else " where false")

    def _literal(self, value: Any) -> str:
        match value:
            case None:
                return "null"
            case bool():
                return str(value).lower()
            case int() | Decimal():
                return str(value)
            case float():
                return f"cast({value!r} as double)"
            case datetime():
                return f"cast('{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC' as {self._instant})"
            case date():
                return f"date '{value}'"
            case time():
                return f"time '{value}'"
            case _:
                return "'" + str(value).replace("'", "''") + "'"


def _raw(namespace: str, name: str) -> str:
    return f'{lakehouse.LAKEHOUSE}.{namespace}."{name}"'
