"""The hot store in PostgreSQL: schema `ot` of database `hnai`.

    ot.readings       a partition a day of observed_at, UTC; key tag_id, observed_at, sequence
    ot.latest         a row a tag: its latest reading, and its latest good one
    ot.segments       the segments taken in the last day: written in the transaction of their readings

`ot.latest` is kept up to date row by row rather than searched for, so that it answers at once for thousands of tags,
and for one that has been bad, or silent, for weeks.
"""

import io
import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from pyarrow import csv

from include.errors import OtError
from include.ot.hot import Part
from include.ot.tables import SEGMENT_SCHEMA
from include.settings import postgres_dsn

log = logging.getLogger(__name__)

COLUMNS = tuple(SEGMENT_SCHEMA.names)
SEGMENTS_KEPT = timedelta(days=1)
LOCK_TIMEOUT = "2s"  # how long a drop may hold up readers that come after it
CONNECT_S = 5

_TYPES = """
    tag_id text not null, observed_at timestamptz not null, sequence integer not null,
    value_double double precision, value_text text, value_bool boolean, quality bigint not null, clock text not null,
    served_at timestamptz, received_at timestamptz not null, unit text not null
"""
_SCHEMA = f"""
create schema if not exists ot;
create table if not exists ot.readings ({_TYPES}, primary key (tag_id, observed_at, sequence))
    partition by range (observed_at);
create table if not exists ot.last_readings (
    kind text not null check (kind in ('any', 'good')), {_TYPES}, primary key (kind, tag_id)
) with (fillfactor = 50);
create table if not exists ot.segments (
    spool text, number bigint, rows integer not null, stored integer not null, skipped integer not null,
    sealed_at timestamptz not null, stored_at timestamptz not null default now(), reason text,
    primary key (spool, number)
);
create or replace view ot.latest as
select
    l.tag_id, l.observed_at, l.sequence, l.value_double, l.value_text, l.value_bool, l.quality, l.clock, l.served_at,
    l.received_at, l.unit,
    g.observed_at as good_observed_at, g.value_double as good_value_double, g.value_text as good_value_text,
    g.value_bool as good_value_bool, g.unit as good_unit
from ot.last_readings l left join ot.last_readings g on g.kind = 'good' and g.tag_id = l.tag_id
where l.kind = 'any';
create temporary table if not exists incoming ({_TYPES}) on commit delete rows;
"""
_COPY = f"copy incoming ({', '.join(COLUMNS)}) from stdin (format csv)"
_INSERT = (
    f"insert into ot.readings ({', '.join(COLUMNS)}) select {', '.join(COLUMNS)} from incoming on conflict do nothing"
)
_LATEST = f"""
insert into ot.last_readings as l (kind, {", ".join(COLUMNS)})
select distinct on (k.kind, i.tag_id) k.kind, {", ".join(f"i.{name}" for name in COLUMNS)}
from incoming i cross join (values ('any'), ('good')) k (kind)
where k.kind = 'any' or i.quality >> 30 = 0
order by k.kind, i.tag_id, i.observed_at desc, i.sequence desc
on conflict (kind, tag_id) do update set {", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])}
where (excluded.observed_at, excluded.sequence) > (l.observed_at, l.sequence)
"""
_SEGMENT = """
insert into ot.segments (spool, number, rows, stored, skipped, sealed_at, reason) values (%s, %s, %s, %s, %s, %s, %s)
"""
_PARTITIONS = """
select substring(c.relname from 'readings_(\\d{8})$') from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'ot.readings'::regclass
"""
_NUL = "\x00"  # the one character that PostgreSQL's text cannot hold
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class PostgresStore:
    """One connection to the hot store. After an error make another."""

    name = "postgres"

    def __init__(self) -> None:
        try:
            self._connection = psycopg.connect(
                postgres_dsn("hnai", "hnai"),
                autocommit=True,
                connect_timeout=CONNECT_S,
                application_name="recorder",
                options="-c timezone=UTC",
            )
            self._connection.add_notice_handler(lambda notice: None)  # "already exists, skipping"
            self._connection.execute(_SCHEMA)
            self._days = self._partitions()
        except psycopg.Error as error:
            raise _away(error) from error

    def close(self) -> None:
        self._connection.close()

    def progress(self, spool: str) -> int:
        try:
            found = self._connection.execute("select max(number) from ot.segments where spool = %s", [spool])
            return found.fetchone()[0] or 0
        except psycopg.Error as error:
            raise _away(error) from error

    def store(self, parts: Sequence[Part]) -> dict[str, int]:
        """One transaction for all. A segment that PostgreSQL can never take is told and left to the lake."""
        try:
            return self._store(parts)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(parts) > 1:
                return _sum(self.store([part]) for part in parts)
            return self._give_up(parts[0], error)
        except psycopg.Error as error:
            raise _away(error) from error

    def _store(self, parts: Sequence[Part]) -> dict[str, int]:
        held = [part for part in parts if part.readings.num_rows]
        days = set().union(*(_days_of(part.readings) for part in held)) - self._days
        with self._connection.transaction():
            for day in sorted(days):
                self._make_partition(day)
            if held:
                with self._connection.cursor().copy(_COPY) as copy:
                    for part in held:
                        copy.write(_csv(part.readings))
                stored = self._connection.execute(_INSERT).rowcount
                self._connection.execute(_LATEST)
            else:
                stored = 0
            self._connection.cursor().executemany(_SEGMENT, [_segment_row(part) for part in parts])
        self._days |= days
        return {
            "stored": stored,
            "known_before": sum(part.readings.num_rows for part in held) - stored,
            "too_old": sum(part.too_old for part in parts),
            "too_early": sum(part.too_early for part in parts),
            "corrupt_segments": sum(part.corrupt is not None for part in parts),
        }

    def _give_up(self, part: Part, error: psycopg.Error) -> dict[str, int]:
        reason = f"PostgreSQL cannot take segment {part.segment.number}: {str(error).strip()}"
        log.error("%s. It is left to the lake", reason)
        return self._store([Part(part.segment, part.readings.slice(0, 0), part.too_old, part.too_early, reason)])

    def _make_partition(self, day: date) -> None:
        """Attached rather than created in place: that would wait for every reader of `ot.readings`, and they for it.

        A backfill may make it at the same time.
        """
        self._connection.execute("select pg_advisory_xact_lock(hashtext('ot.readings'))")
        if day in self._partitions():
            return
        names = {
            "partition": sql.Identifier("ot", f"readings_{day:%Y%m%d}"),
            "first": sql.Literal(f"{day} 00:00:00+00"),
            "next": sql.Literal(f"{day + timedelta(days=1)} 00:00:00+00"),
        }
        self._connection.execute(
            sql.SQL(
                "create table {partition} (like ot.readings including all);"
                "alter table ot.readings attach partition {partition} for values from ({first}) to ({next})"
            ).format(**names)
        )

    def _partitions(self) -> set[date]:
        found = self._connection.execute(_PARTITIONS)
        return {datetime.strptime(day, "%Y%m%d").date() for (day,) in found if day}

    def expire(self, first_day: datetime) -> None:
        """Drop the partitions before a day. One that is being read for long is dropped another time."""
        try:
            self._connection.execute(
                """delete from ot.segments s where stored_at < %s
                and number < (select max(number) from ot.segments m where m.spool = s.spool)""",
                [datetime.now(UTC) - SEGMENTS_KEPT],
            )
            for day in sorted(day for day in self._days if day < first_day.date()):
                name = f"readings_{day:%Y%m%d}"
                try:
                    with self._connection.transaction():
                        self._connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
                        self._connection.execute(sql.SQL("drop table {}").format(sql.Identifier("ot", name)))
                except psycopg.errors.LockNotAvailable:
                    log.warning("ot.%s is in use; it is dropped once it is not", name)
                    continue
                self._days.discard(day)
                log.info("Dropped ot.%s: the hot store keeps what is after %s", name, first_day.date())
        except psycopg.Error as error:
            raise _away(error) from error


def _days_of(readings: pa.Table) -> set[date]:
    days = pc.unique(readings["observed_at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False))
    return set(days.to_pylist())


def _csv(readings: pa.Table) -> bytes:
    """As COPY reads it: nothing is null, "" is an empty text."""
    for name in ("tag_id", "value_text", "unit"):
        column = pc.replace_substring(readings[name], _NUL, _REPLACEMENT)
        readings = readings.set_column(readings.schema.get_field_index(name), name, column)
    out = io.BytesIO()
    csv.write_csv(readings, out, csv.WriteOptions(include_header=False))
    return out.getvalue()


def _segment_row(part: Part) -> list:
    segment = part.segment
    skipped = part.too_old + part.too_early
    row = [segment.spool, segment.number, segment.rows, part.readings.num_rows, skipped, segment.sealed_at]
    return [*row, part.corrupt]


def _sum(counts) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _away(error: psycopg.Error) -> OtError:
    return OtError(f"The hot store in PostgreSQL does not take readings: {str(error).strip()}. The spool keeps them")
