"""A tiny operator in plain DuckDB files: what gates read of a lakehouse and a workspace, small enough to check by eye.

Twelve wells of field EAGLE (contract day 07:00 Central) flow to one facility for 40 days up to 23 November 2026.
Well Wn makes n x 100 bbl and n x 200 Mcf a day, 24 hours on; the facility sells exactly that. One flow computer
measures all gas, the same every hour. Tests change what they are about by SQL.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from include.contract_day import ContractDay
from include.ops.tables import TABLES, schema
from include.publish.freeze import Close

LAST_DAY = date(2026, 11, 23)
FROZEN_AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # two hours after the last day ended
DAY_ENDS = ContractDay("America/Chicago", 7).ends_at(LAST_DAY)
META = (
    "'r' as _op, 1 as _epoch, 100 as _commit_lsn, 100 as _lsn, row_number() over () as _seq, null::varchar as _unchanged, "
    f"timestamptz '{FROZEN_AT - timedelta(seconds=2)}' as _source_at, timestamptz '{FROZEN_AT}' as _landed_at, 'b' as _batch_id"
)
WELLS = """
    select
        format('W{:02d}', n) as well_id, format('Well {}', n) as well_name, 'EAGLE' as field_code, 'oil_producer' as well_type,
        'producing' as status, date '2025-01-01' as first_production_date, 28.5 as latitude, -98.6 as longitude,
        'EPSG:4267' as crs, n
    from range(1, 13) as r(n)
"""
DAYS = f"select d::date as production_date from range(date '{LAST_DAY}' - 39, date '{LAST_DAY}' + 1, interval 1 day) as r(d)"
READINGS = f"""
    select
        row_number() over () as reading_id, w.well_id, d.production_date,
        (w.n * 100)::decimal(18, 6) as oil, (w.n * 200)::decimal(18, 6) as gas, 10::decimal(18, 6) as water,
        null::decimal(18, 6) as injected, 'bbl' as liquid_unit, 'mcf' as gas_unit, 24::decimal(6, 3) as hours_on
    from ({WELLS}) as w cross join ({DAYS}) as d
"""
HOURS = f"""
    select 'EAG-M1' as meter_id, h as started_at, (7800 * 2 / 24.0)::decimal(38, 18) as volume_mcf
    from range(timestamptz '{DAY_ENDS}' - interval 240 hour, timestamptz '{DAY_ENDS}', interval 1 hour) as r(h)
"""


@dataclass
class Operator:
    """The files, and the close that reads them."""

    folder: Path
    close: Close
    changes: list[str] = field(default_factory=list)

    def connect(self, into: Path) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(str(into))
        con.execute(f"set TimeZone = 'UTC'; attach '{self.folder / 'lakehouse.duckdb'}' as lakehouse (read_only)")
        return con

    def lakehouse(self, *statements: str) -> None:
        _run(self.folder / "lakehouse.duckdb", statements)

    def workspace(self, *statements: str) -> None:
        _run(self.close.workspace, statements)


def a_close(
    first: date = LAST_DAY, last: date = LAST_DAY, calendar: str = "permian", run_id: str = "test run", **changed
) -> Close:
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    known = {"epoch": 1, "commit_lsn": 100}
    values = {
        "pack": "energypack",
        "calendar": calendar,
        "from_date": first,
        "to_date": last,
        "run_id": run_id,
        "reason": "test",
        "keys": {f"{day}@{calendar}": 1 for day in days},
        "cut_off": {"fieldops": known, "flow_computer__gas_hourly": known, "npd__daily_production": known},
        "history": {},
        "history_at": FROZEN_AT,
        "frozen_at": FROZEN_AT,
        "caught_up": True,
    }
    return Close(**{**values, **changed})


def _run(path: Path, statements) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("set TimeZone = 'UTC'")
        for statement in statements:
            con.execute(statement)


def settle(operator: Operator) -> Operator:
    """Write the files of a good operator."""
    operator.lakehouse(
        "create schema raw",
        "create schema ops",
        f"create table raw.fieldops__wells as select * exclude (n), {META} from ({WELLS})",
        f"""create table raw.fieldops__daily_readings as
            select reading_id, well_id, production_date, oil as oil_volume, gas as gas_volume, {META} from ({READINGS})""",
        f"create table raw.fieldops__heartbeat as select 1 as id, {META}",
        f"create table raw.flow_computer__gas_hourly as select meter_id, started_at as hour_started_at_utc, volume_mcf, {META} from ({HOURS})",
        *(f"create table ops.{log} ({_columns(log)})" for log in TABLES),
    )
    operator.workspace(
        "create table field_calendars as select 'EAGLE' as field_code, 'permian' as calendar union all select 'NORDLYS', 'north_sea'",
        f"create table stg_fieldops__wells as select * exclude (n) from ({WELLS})",
        f"""create table stg_fieldops__daily_readings as
            select * exclude (oil, gas, water, injected), oil as oil_reported, gas as gas_reported, water as water_reported,
                injected as water_injected_reported from ({READINGS})""",
        "create table stg_fieldops__facilities as select 'EAG-PAD-A' as facility_id, 'EAGLE' as field_code",
        f"""create table int_well_facilities_daily as
            select d.production_date, w.well_id, 'EAG-PAD-A' as facility_id from ({WELLS}) as w cross join ({DAYS}) as d""",
        """create table stg_fieldops__meters as select 'EAG-M1' as meter_id, 'EAG-PAD-A' as facility_id, 'sales' as meter_role, 'gas' as product
            union all select 'EAG-M2', 'EAG-PAD-A', 'sales', 'oil'""",
        f"""create table stg_fieldops__meter_volumes as
            select m as meter_id, production_date, volume::decimal(18, 6) as volume, unit as volume_unit
            from ({DAYS}) as d cross join (values ('EAG-M1', 15600, 'mcf'), ('EAG-M2', 7800, 'bbl')) as v(m, volume, unit)""",
        f"""create table stg_fieldops__tank_gauges as
            select 'EAG-PAD-A' as facility_id, 'T1' as tank_id, production_date, 500::decimal(18, 6) as opening_stock,
                500::decimal(18, 6) as closing_stock from ({DAYS})""",
        "create table stg_fieldops__facility_volumes (facility_id varchar, production_date date, product varchar, volume decimal(18, 6))",
        f"""create table stg_fieldops__well_tests as
            select row_number() over () as well_test_id, well_id, timestamptz '{DAY_ENDS}' - to_days(7 * k) - interval 3 hour as tested_at,
                (n * 100)::decimal(14, 4) as oil_rate_bbl_per_day, (n * 200)::decimal(14, 4) as gas_rate_mcf_per_day,
                10::decimal(14, 4) as water_rate_bbl_per_day, 900 as tubing_pressure_psi, 1200 as casing_pressure_psi
            from ({WELLS}) cross join range(0, 4) as r(k)""",
        f"""create table stg_flow_computer__gas_hourly as
            select *, 100::decimal(9, 3) as flow_time_pct, 60::decimal(9, 3) as temperature_degf, 800::decimal(9, 3) as static_pressure_psia
            from ({HOURS})""",
        """create table stg_npd__daily_production (well_id varchar, production_date date, oil_sm3 decimal(38, 18), gas_sm3 decimal(38, 18),
            water_sm3 decimal(38, 18), water_injected_sm3 decimal(38, 18), hours_on decimal(38, 18), well_type varchar, flow_kind varchar)""",
        *marts("permian", LAST_DAY, LAST_DAY),
    )
    return operator


def marts(calendar: str, first: date, last: date) -> list[str]:
    """The marts as dbt would build them for a window, with the columns that suites read."""
    window = f"production_date between date '{first}' and date '{last}'"
    site = ContractDay("America/Chicago", 7) if calendar == "permian" else ContractDay("Europe/Oslo", 0)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    hours = ", ".join(f"(date '{d}', {(site.ends_at(d) - site.starts_at(d)).total_seconds() / 3600})" for d in days)
    return [
        f"""create or replace table fct_well_production_daily as
            select '{calendar}' as calendar, r.well_id, r.production_date, w.field_code, 'EAG-PAD-A' as facility_id,
                (r.oil_reported * 0.158987)::decimal(38, 18) as oil_sm3, (r.gas_reported * 28.328)::decimal(38, 18) as gas_sm3,
                r.water_reported::decimal(38, 18) as water_sm3, r.water_injected_reported::decimal(38, 18) as water_injected_sm3, r.hours_on
            from stg_fieldops__daily_readings as r inner join stg_fieldops__wells as w on r.well_id = w.well_id where {window}""",
        """create or replace table fct_field_production_daily as
            select calendar, production_date, field_code, count(*)::integer as wells_reported, count(*)::integer as wells_on_stream,
                sum(oil_sm3)::decimal(38, 18) as oil_sm3, sum(gas_sm3)::decimal(38, 18) as gas_sm3,
                sum(water_sm3)::decimal(38, 18) as water_sm3, sum(hours_on)::decimal(38, 18) as hours_on
            from fct_well_production_daily group by all""",
        """create or replace table fct_field_production_monthly as
            select calendar, date_trunc('month', production_date)::date as month, field_code, count(*)::integer as days_closed,
                day(last_day(max(production_date)))::integer as days_in_month, sum(oil_sm3)::decimal(38, 18) as oil_sm3,
                sum(gas_sm3)::decimal(38, 18) as gas_sm3 from fct_field_production_daily group by all""",
        f"""create or replace table fct_gas_measurement_hourly as
            select '{calendar}' as calendar, date '{LAST_DAY}' as production_date, meter_id, started_at, 'EAG-PAD-A' as facility_id,
                volume_mcf * 28.328 as gas_sm3, null::varchar as alarms from stg_flow_computer__gas_hourly
            where started_at >= timestamptz '{DAY_ENDS}' - interval 24 hour""",
        f"""create or replace table fct_well_test as
            select '{calendar}' as calendar, date '{LAST_DAY}' as production_date, well_test_id, well_id, 'valid' as validity,
                oil_rate_bbl_per_day * 0.158987 as oil_rate_sm3_per_day, gas_rate_mcf_per_day * 28.328 as gas_rate_sm3_per_day,
                5::decimal(6, 3) as bsw_pct from stg_fieldops__well_tests where tested_at >= timestamptz '{DAY_ENDS}' - interval 24 hour""",
        f"""create or replace table dim_well as
            select well_id, field_code, '{calendar}' as calendar, well_type, latitude, longitude, 'fieldops' as origin from stg_fieldops__wells""",
        f"create or replace table dim_facility as select 'EAG-PAD-A' as facility_id, '{calendar}' as calendar, 'fieldops' as origin",
        f"create or replace table dim_date as select '{calendar}' as calendar, * from (values {hours}) as v(production_date, hours)",
    ]


def _columns(log: str) -> str:
    con = duckdb.connect()
    con.register("declared", schema(log).empty_table())
    return ", ".join(f'"{name}" {kind}' for name, kind, *_ in con.execute("describe declared").fetchall())
