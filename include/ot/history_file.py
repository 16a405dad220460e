"""Take a historian's export into `ot.readings`: the past of tags whose source keeps no history that could be asked.

    python -m include.ot.history_file export.parquet
    python -m include.ot.history_file export.csv --source plant_lines

A row is a reading: `tag_id`, `observed_at` (with its zone), `value`, and perhaps `quality` (an OPC UA status code, or
good, uncertain, bad). Values are read by the tag's type in the dictionary, in the tag's unit. A row that cannot be used
is set aside with its reason in `<file>.refused.csv`; taking a file in twice adds nothing. The lake alone gets them: the
hot store is for what is recent.
"""

import argparse
import csv
import hashlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from include import lakehouse
from include.errors import CommitConflict, HnaiError, OtError
from include.ops.lease import Lease, hold
from include.ot import lake, tables
from include.ot.backfill import LEASE
from include.ot.known import unknown, without_repetitions
from include.ot.reading import AHEAD, BAD_NO_DATA, BAD_OUT_OF_RANGE, EARLIEST, EXACT
from include.ot.tables import SEGMENT_SCHEMA
from include.ot.tags import tags

log = logging.getLogger(__name__)
ROWS_A_COMMIT = 100_000  # a drain commits every few seconds: what takes longer than that always loses
TRIES = 50  # of a commit that loses against a drain
NEEDED, OPTIONAL = ("tag_id", "observed_at", "value"), "quality"
_TYPED = f"""
    create table typed as
    with told as (
        select
            given.line, given.tag_id, given.observed_at as observed_text, given.value, given.quality as quality_text,
            tags.data_type, tags.unit,
            case when regexp_matches(trim(given.observed_at), '(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')
                then try_cast(given.observed_at as timestamptz) end as observed_at,
            case lower(trim(coalesce(given.quality, '')))
                when '' then 0 when 'good' then 0 when 'uncertain' then 1073741824 when 'bad' then 2147483648
                else try_cast(given.quality as bigint) end as quality,
            nullif(trim(given.value), '') as said
        from given left join tags using (tag_id)
    )
    select
        line, tag_id, observed_text, value, observed_at, unit,
        case when data_type in ('double', 'long') then try_cast(said as double) end as number,
        case when data_type = 'long' then try_cast(said as hugeint) end as whole,
        case when data_type = 'text' then said end as words,
        case when data_type = 'boolean' then
            case lower(said) when 'true' then true when '1' then true when 'false' then false when '0' then false end
        end as flag,
        case
            when said is null and quality < 2147483648 then {BAD_NO_DATA}
            when data_type in ('double', 'long') and not isfinite(try_cast(said as double)) then {BAD_OUT_OF_RANGE}
            else quality
        end as quality,
        case
            when tag_id is null or trim(tag_id) = '' then 'no tag_id'
            when data_type is null then 'the dictionary has no such tag'
            when observed_at is null then 'observed_at is no instant with a zone, such as 2026-01-31T13:00:00Z'
            when observed_at < timestamptz '{EARLIEST.isoformat()}' or observed_at > now() + interval {AHEAD.days} day
                then 'observed_at is before 2000 or in the future'
            when quality is null or quality < 0 or quality >= 4294967296 then 'quality is no status code'
            when said is null or quality >= 2147483648 then null
            when data_type in ('double', 'long') and try_cast(said as double) is null then 'value is no number'
            when data_type = 'boolean' and lower(said) not in ('true', 'false', '0', '1') then 'value is no flag'
        end as refused
    from told
"""
# Samples of one instant are numbered in the order of the file; one that repeats another says nothing.
_READINGS = f"""
    select
        tag_id, observed_at,
        cast(row_number() over (partition by tag_id, observed_at order by line) - 1 as integer) as sequence,
        case when isfinite(number) and (whole is null or abs(whole) <= {EXACT}) then number end as value_double,
        coalesce(words, case when abs(whole) > {EXACT} then cast(whole as varchar) end) as value_text,
        flag as value_bool, cast(quality as bigint) as quality, 'source' as clock,
        cast(null as timestamptz) as served_at, cast($now as timestamptz) as received_at, unit
    from (
        select *, row_number() over (
            partition by tag_id, observed_at, number, whole, words, flag, quality order by line
        ) as nth
        from typed where refused is null and observed_at >= $first and observed_at < $last
    )
    where nth = 1
"""


@dataclass(frozen=True)
class Taken:
    """What became of a file."""

    rows: int
    new: int
    refused: int
    refused_in: Path | None

    def __str__(self) -> str:
        said = f"{self.rows:,} rows: {self.new:,} new readings, {self.rows - self.new - self.refused:,} known"
        return f"{said}, {self.refused:,} refused: see {self.refused_in}" if self.refused else f"{said}, none refused"


def take_in(path: Path, source: str | None = None) -> Taken:
    """Take an export (CSV or Parquet) into `ot.readings`, of the tags of one source or of all.

    Commits by some days at a time: cut off, it goes on where it was. Raises `OtError` where the file cannot be read or
    lacks a column.
    """
    tables.ensure()
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        rows = _read(con, path, source)
        refused, refused_in = _set_aside(con, path)
        segment_id, new = f"file-{_digest(path)}", 0
        with hold(LEASE, f"{path.name} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}") as lease:
            for first, last in _portions(con):
                found = con.execute(_READINGS, {"now": datetime.now(UTC), "first": first, "last": last})
                new += _commit(found.to_arrow_table().cast(SEGMENT_SCHEMA), segment_id, lease)
                log.info("%s: readings up to %s are in, %s new so far", path.name, last, f"{new:,}")
    return Taken(rows, new, refused, refused_in)


def _read(con: duckdb.DuckDBPyConnection, path: Path, source: str | None) -> int:
    """Make `typed` of the file's rows; gives their number."""
    known = [(tag.tag_id, tag.data_type, tag.unit) for tag in tags(source)]
    if not known:
        raise OtError(f"The dictionary has no tag of the source {source!r}" if source else "The dictionary has no tag")
    con.execute("create table tags (tag_id varchar, data_type varchar, unit varchar)")
    columns = list(zip(*known, strict=True))
    con.register("declared", pa.table(dict(zip(("tag_id", "data_type", "unit"), map(pa.array, columns), strict=True))))
    con.execute("insert into tags select * from declared")
    reader = (
        "read_parquet($path)" if path.suffix == ".parquet" else "read_csv($path, header = true, all_varchar = true)"
    )
    try:
        there = [name for name, *_ in con.execute(f"describe select * from {reader}", {"path": str(path)}).fetchall()]
        if missing := [name for name in NEEDED if name not in there]:
            raise OtError(f"{path} has no column {', '.join(missing)}; it has {', '.join(there)}")
        quality = f'cast("{OPTIONAL}" as varchar)' if OPTIONAL in there else "null::varchar"
        texts = ", ".join(f'cast("{name}" as varchar) as "{name}"' for name in NEEDED)
        con.execute(
            f"create table given as select row_number() over () + 1 as line, {texts}, {quality} as quality "
            f"from {reader}",
            {"path": str(path)},
        )
    except duckdb.Error as error:
        raise OtError(f"{path} cannot be read: {str(error).splitlines()[0]}. It must be CSV or Parquet") from error
    con.execute(_TYPED)
    return con.execute("select count(*) from given").fetchone()[0]


def _set_aside(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, Path | None]:
    """Write the refused rows with their lines and reasons beside the file."""
    found = con.execute(
        "select line, refused, tag_id, observed_text, value from typed where refused is not null order by line"
    ).fetchall()
    report = path.with_name(f"{path.name}.refused.csv")
    if not found:
        report.unlink(missing_ok=True)
        return 0, None
    with report.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["line", "reason", *NEEDED])
        lines.writerows(found)
    return len(found), report


def _portions(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[datetime, datetime]]:
    """Spans of whole days with about `ROWS_A_COMMIT` readings each."""
    days = con.execute(
        "select date_trunc('day', observed_at) as day, count(*) from typed where refused is null group by 1 order by 1"
    ).fetchall()
    first, rows = None, 0
    for n, (day, count) in enumerate(days):
        first, rows = first or day, rows + count
        if rows >= ROWS_A_COMMIT or n == len(days) - 1:
            (last,) = con.execute("select cast($day as timestamptz) + interval 1 day", {"day": day}).fetchone()
            yield first, last
            first, rows = None, 0


def _commit(rows: pa.Table, segment_id: str, lease: Lease) -> int:
    """Commit the readings that the table lacks; gives their number."""
    rows, above = without_repetitions(rows), 0
    for tried in range(1, TRIES + 1):
        readings = lakehouse.table(tables.READINGS_TABLE)
        at = lake.position(readings)
        rows = unknown(readings, rows, above)
        if not rows.num_rows:
            return 0
        above = at.ordinal
        try:
            lake.commit(readings, at, [lake.stamped(rows, segment_id)], guard=lease.guard())
            return rows.num_rows
        except CommitConflict:
            if tried == TRIES:
                raise
    return 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.ot.history_file", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="CSV or Parquet: tag_id, observed_at, value and perhaps quality")
    parser.add_argument("--source", help="take tags of this source alone; others are refused")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        print(take_in(chosen.file, chosen.source))
    except (HnaiError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
