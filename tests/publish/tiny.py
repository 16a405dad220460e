"""A pack small enough to check by eye: one feed of daily readings, four marts, and a build in plain SQL.

Field figures are sums of wells, a month is the sum of its published days and the close's own. Each test closes
a calendar of its own, so tests do not meet.
"""

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

from include import catalog, lakehouse
from include.publish.freeze import Close, freeze
from include.publish.restate import published_rows, window_filter

PACK = "tinypack"
CALENDARS = [f"site_{n:02}" for n in range(60)]
RAW = "raw.tiny__readings"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIELDS = {"A-1": "ALPHA", "A-2": "ALPHA", "B-1": "BETA"}
SCHEMA = pa.schema(
    [
        ("reading_id", pa.int64()),
        ("calendar", pa.string()),
        ("well_id", pa.string()),
        ("production_date", pa.date32()),
        ("oil_sm3", pa.decimal128(18, 6)),
        ("_op", pa.string()),
        ("_epoch", pa.int64()),
        ("_commit_lsn", pa.int64()),
        ("_lsn", pa.int64()),
        ("_seq", pa.int64()),
        ("_unchanged", pa.string()),
        ("_source_at", pa.timestamp("us", tz="UTC")),
        ("_landed_at", pa.timestamp("us", tz="UTC")),
        ("_batch_id", pa.string()),
    ]
)
SOURCES = """
sources:
  - name: tiny
    schema: raw
    tables:
      - name: readings
        identifier: tiny__readings
        config:
          meta:
            feed:
              pattern: 'tiny.*'
              key: [reading_id]
              calendar: site_00
              owner: tests
              columns:
                reading_id: long
                calendar: string
                well_id: string
                production_date: date
                oil_sm3: decimal(18,6)
"""
MARTS = """
models:
  - name: fct_well_daily
    config: {meta: {publish: {window: production_date, key: [well_id, production_date]}}}
    columns:
      - {name: calendar, data_type: varchar}
      - {name: well_id, data_type: varchar}
      - {name: field_code, data_type: varchar}
      - {name: production_date, data_type: date}
      - {name: oil_sm3, data_type: "decimal(38, 6)"}
  - name: fct_field_daily
    config: {meta: {publish: {window: production_date, key: [field_code, production_date]}}}
    columns:
      - {name: calendar, data_type: varchar}
      - {name: field_code, data_type: varchar}
      - {name: production_date, data_type: date}
      - {name: oil_sm3, data_type: "decimal(38, 6)"}
      - {name: wells, data_type: integer}
  - name: fct_field_monthly
    config: {meta: {publish: {window: month, key: [field_code, month]}}}
    columns:
      - {name: calendar, data_type: varchar}
      - {name: field_code, data_type: varchar}
      - {name: month, data_type: date}
      - {name: oil_sm3, data_type: "decimal(38, 6)"}
  - name: dim_well
    config: {meta: {publish: {window: all, key: [well_id]}}}
    columns:
      - {name: calendar, data_type: varchar}
      - {name: well_id, data_type: varchar}
      - {name: field_code, data_type: varchar}
"""
BUILD = """
create table latest as
    select * from (
        select *, row_number() over (partition by reading_id order by _commit_lsn desc, _seq desc) as place
        from raw_rows
    ) where place = 1 and _op <> 'd';
create table fct_well_daily as
    select l.calendar, l.well_id, f.field_code, l.production_date, l.oil_sm3::decimal(38, 6) as oil_sm3
    from latest l join fields f using (well_id);
create table fct_field_daily as
    select calendar, field_code, production_date, sum(oil_sm3)::decimal(38, 6) as oil_sm3, count(*)::integer as wells
    from fct_well_daily group by all;
create table dim_well as
    select distinct l.calendar, l.well_id, f.field_code from latest l join fields f using (well_id);
"""
MONTH = """
create table fct_field_monthly as
    select
        calendar,
        field_code,
        date_trunc('month', production_date)::date as month,
        sum(oil_sm3)::decimal(38, 6) as oil_sm3
    from (
        select calendar, field_code, production_date, oil_sm3 from fct_field_daily
        union all
        select calendar, field_code, production_date, oil_sm3 from other_days
    ) group by all;
"""
_reading_ids = itertools.count(1)


def declare(folder: Path) -> None:
    """Write the pack's declarations and let `include.catalog` read them instead of the repository's."""
    models, seeds = folder / "models" / PACK, folder / "seeds" / PACK
    if not models.exists():
        (models / "marts").mkdir(parents=True)
        (models / "staging").mkdir()
        seeds.mkdir(parents=True)
        (models / "marts" / "_marts.yml").write_text(MARTS)
        (models / "staging" / "_tiny__sources.yml").write_text(SOURCES)
        lines = ["calendar,zone,contract_hour,grace_minutes,label", *(f"{c},UTC,0,60,{c}" for c in CALENDARS)]
        (seeds / f"{PACK}_calendars.csv").write_text("\n".join(lines) + "\n")
    catalog.ROOT, catalog.DBT, catalog.MODELS = folder, folder, folder / "models"


def land(calendar: str, readings: dict[tuple[str, str], str | None], ids: dict | None = None) -> dict:
    """Land one file: `{(well, date): oil}`; None deletes. Gives the reading ids, to correct them with a later file."""
    lakehouse.ensure_table(RAW, SCHEMA)
    ordinals = lakehouse.table(RAW).scan(selected_fields=("_commit_lsn",)).to_arrow()["_commit_lsn"].to_pylist()
    ordinal, ids = max(ordinals, default=0) + 1, dict(ids or {})
    rows = []
    for place, ((well, day), oil) in enumerate(readings.items()):
        new = (well, day) not in ids
        rows.append(
            {
                "reading_id": ids.setdefault((well, day), next(_reading_ids)),
                "calendar": calendar,
                "well_id": well,
                "production_date": date.fromisoformat(day),
                "oil_sm3": None if oil is None else Decimal(oil),
                "_op": "d" if oil is None else "c" if new else "u",
                "_epoch": 0,
                "_commit_lsn": ordinal,
                "_lsn": 0,
                "_seq": place,
                "_source_at": NOON,
                "_landed_at": NOON,
                "_batch_id": f"file-{ordinal}",
            }
        )
    lakehouse.append(RAW, pa.Table.from_pylist(rows, schema=SCHEMA))
    return ids


def close_days(
    calendar: str, first: str, last: str | None = None, *, run_id: str | None = None, why: str = "test"
) -> Close:
    """Freeze and build."""
    close = freeze(PACK, calendar, first, last or first, run_id or f"{calendar}.{next(_reading_ids)}", why)
    build(close)
    return close


def build(close: Close) -> None:
    """Fill the workspace at the close's cut-off; what other days of the month hold is read as it was published then."""
    ordinal = close.cut_off["tiny"]["commit_lsn"]
    raw = (
        lakehouse.table(RAW).scan(row_filter=f"calendar == '{close.calendar}' and _commit_lsn <= {ordinal}").to_arrow()
    )
    close.workspace.parent.mkdir(parents=True, exist_ok=True)
    close.workspace.unlink(missing_ok=True)
    with duckdb.connect(str(close.workspace)) as con:
        con.execute("create table fields (well_id varchar, field_code varchar)")
        con.executemany("insert into fields values (?, ?)", list(FIELDS.items()))
        con.register("raw_rows", raw.filter(_between(raw, close)))
        con.execute(BUILD)
    build_months(close)


def build_months(close: Close, names: object = None) -> None:
    """Build the month from the days in the workspace and the other days as published."""
    daily = next(m for m in catalog.marts(PACK) if m.name == "fct_field_daily")
    whole = replace(close, from_date=close.from_date.replace(day=1), to_date=close.to_date.replace(day=28))
    month = window_filter(daily, whole)
    with duckdb.connect(str(close.workspace)) as con:
        days = f"production_date between date '{close.from_date}' and date '{close.to_date}'"
        history = close.history["fct_field_daily"]
        if history is None:
            con.execute(
                "create table other_days "
                "(calendar varchar, field_code varchar, production_date date, oil_sm3 decimal(38, 6))"
            )
        else:
            con.register("published", published_rows(lakehouse.table(f"{PACK}.fct_field_daily"), history, month))
            con.execute(f"create table other_days as select * from published where not ({days})")
        con.execute("drop table if exists fct_field_monthly")
        con.execute(MONTH)
        con.execute("drop table other_days")


def _between(raw: pa.Table, close: Close):
    import pyarrow.compute as pc

    day = raw["production_date"]
    return pc.and_(
        pc.greater_equal(day, pa.scalar(close.from_date, pa.date32())),
        pc.less_equal(day, pa.scalar(close.to_date, pa.date32())),
    )


def published(mart: str, calendar: str) -> list[tuple]:
    """The published rows of one mart and calendar, in order, without the calendar."""
    identifier = f"{PACK}.{mart}"
    if not lakehouse.exists(identifier):
        return []
    rows = lakehouse.table(identifier).scan(row_filter=f"calendar == '{calendar}'").to_arrow().to_pylist()
    return sorted(tuple(str(v) for k, v in row.items() if k != "calendar") for row in rows)


def files(calendar: str) -> dict[str, tuple[int, int]]:
    """Mart -> live data files and delete files of one calendar's partitions."""
    found = {}
    for mart in catalog.marts(PACK):
        inspected = lakehouse.table(f"{PACK}.{mart.name}").inspect.files().to_pylist()
        mine = [f for f in inspected if f["partition"]["calendar"] == calendar]
        found[mart.name] = (sum(f["content"] == 0 for f in mine), sum(f["content"] != 0 for f in mine))
    return found
