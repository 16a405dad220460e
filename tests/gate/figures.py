"""The figures of the tiny operator, as SQL that creates its tables."""

from datetime import UTC, date, datetime, timedelta

from include.contract_day import ContractDay

LAST_DAY = date(2026, 11, 23)
FROZEN_AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # two hours after the last day ended
DAY_ENDS = ContractDay("America/Chicago", 7).ends_at(LAST_DAY)
LAST_24_HOURS = f"timestamptz '{DAY_ENDS}' - interval 24 hour"
META = f"""
    'r' as _op, 1 as _epoch, 100 as _commit_lsn, 100 as _lsn, row_number() over () as _seq, null::varchar as _unchanged,
    timestamptz '{FROZEN_AT - timedelta(seconds=2)}' as _source_at, timestamptz '{FROZEN_AT}' as _landed_at,
    'b' as _batch_id
"""
WELLS = """
    select
        format('W{:02d}', n) as well_id,
        format('Well {}', n) as well_name,
        'EAGLE' as field_code,
        'oil_producer' as well_type,
        'producing' as status,
        date '2025-01-01' as first_production_date,
        28.5 as latitude,
        -98.6 as longitude,
        'EPSG:4267' as crs,
        n
    from range(1, 13) as r(n)
"""
DAYS = f"""
    select d::date as production_date
    from range(date '{LAST_DAY}' - 39, date '{LAST_DAY}' + 1, interval 1 day) as r(d)
"""
READINGS = f"""
    select
        row_number() over () as reading_id,
        w.well_id,
        d.production_date,
        (w.n * 100)::decimal(18, 6) as oil_reported,
        (w.n * 200)::decimal(18, 6) as gas_reported,
        10::decimal(18, 6) as water_reported,
        null::decimal(18, 6) as water_injected_reported,
        'bbl' as liquid_unit,
        'mcf' as gas_unit,
        24::decimal(6, 3) as hours_on
    from ({WELLS}) as w cross join ({DAYS}) as d
"""
HOURS = f"""
    select 'EAG-M1' as meter_id, h as started_at, (7800 * 2 / 24.0)::decimal(38, 18) as volume_mcf
    from range(timestamptz '{DAY_ENDS}' - interval 240 hour, timestamptz '{DAY_ENDS}', interval 1 hour) as r(h)
"""
SCADA = {
    "tubing_head_pressure_kpa": "6200",
    "casing_pressure_kpa": "8300",
    "tubing_head_temperature_degc": "45",
    "choke_opening_ratio": "0.4",
    "oil_rate_sm3_per_d": "100",
    "gas_rate_sm3_per_d": "30000",
    "water_rate_sm3_per_d": "null",
    "water_injection_rate_sm3_per_d": "null",
}


def _known(figures: dict[str, str]) -> str:
    """Figures of an hour, each known for all of it."""
    units = ("_kpa", "_degc", "_ratio", "_sm3_per_d")
    covered = [next(name.removesuffix(u) for u in units if name.endswith(u)) for name in figures]
    values = [f"{value}::decimal(18, 6) as {name}" for name, value in figures.items()]
    return ", ".join([*values, *(f"3600::decimal(9, 3) as {name}_covered_s" for name in covered)])


def raw() -> list[str]:
    return [
        f"create table raw.fieldops__wells as select * exclude (n), {META} from ({WELLS})",
        f"""
        create table raw.fieldops__daily_readings as
        select
            reading_id, well_id, production_date,
            oil_reported as oil_volume, gas_reported as gas_volume,
            {META}
        from ({READINGS})
        """,
        f"create table raw.fieldops__heartbeat as select 1 as id, {META}",
        f"""
        create table raw.flow_computer__gas_hourly as
        select meter_id, started_at as hour_started_at_utc, volume_mcf, {META}
        from ({HOURS})
        """,
    ]


def staging() -> list[str]:
    return [
        """
        create table field_calendars as
        select * from (values ('EAGLE', 'permian'), ('NORDLYS', 'north_sea')) as v(field_code, calendar)
        """,
        f"create table stg_fieldops__wells as select * exclude (n) from ({WELLS})",
        f"create table stg_fieldops__daily_readings as {READINGS}",
        "create table stg_fieldops__facilities as select 'EAG-PAD-A' as facility_id, 'EAGLE' as field_code",
        f"""
        create table int_well_facilities_daily as
        select d.production_date, w.well_id, 'EAG-PAD-A' as facility_id
        from ({WELLS}) as w cross join ({DAYS}) as d
        """,
        """
        create table stg_fieldops__meters as
        select meter_id, 'EAG-PAD-A' as facility_id, 'sales' as meter_role, product
        from (values ('EAG-M1', 'gas'), ('EAG-M2', 'oil')) as v(meter_id, product)
        """,
        f"""
        create table stg_fieldops__meter_volumes as
        select meter_id, production_date, volume::decimal(18, 6) as volume, volume_unit
        from ({DAYS}) as d
        cross join (values ('EAG-M1', 15600, 'mcf'), ('EAG-M2', 7800, 'bbl')) as v(meter_id, volume, volume_unit)
        """,
        f"""
        create table stg_fieldops__tank_gauges as
        select
            'EAG-PAD-A' as facility_id, 'T1' as tank_id, production_date,
            500::decimal(18, 6) as opening_stock, 500::decimal(18, 6) as closing_stock
        from ({DAYS})
        """,
        """
        create table stg_fieldops__facility_volumes (
            facility_id varchar, production_date date, product varchar, volume decimal(18, 6)
        )
        """,
        f"""
        create table stg_fieldops__well_tests as
        select
            row_number() over () as well_test_id,
            well_id,
            timestamptz '{DAY_ENDS}' - to_days(7 * k) - interval 3 hour as tested_at,
            (n * 100)::decimal(14, 4) as oil_rate_bbl_per_day,
            (n * 200)::decimal(14, 4) as gas_rate_mcf_per_day,
            10::decimal(14, 4) as water_rate_bbl_per_day,
            900 as tubing_pressure_psi,
            1200 as casing_pressure_psi
        from ({WELLS}) cross join range(0, 4) as r(k)
        """,
        f"""
        create table stg_flow_computer__gas_hourly as
        select
            *,
            100::decimal(9, 3) as flow_time_pct,
            60::decimal(9, 3) as temperature_degf,
            800::decimal(9, 3) as static_pressure_psia
        from ({HOURS})
        """,
        """
        create table stg_npd__daily_production (
            well_id varchar, production_date date, oil_sm3 decimal(38, 18), gas_sm3 decimal(38, 18),
            water_sm3 decimal(38, 18), water_injected_sm3 decimal(38, 18), hours_on decimal(38, 18),
            well_type varchar, flow_kind varchar
        )
        """,
        f"""
        create table energypack_tags as
        select w.well_id || '.is_running' as tag_id, w.well_id as asset_id, 'is_running' as measurement,
            'field_rtu' as source
        from ({WELLS}) as w
        """,
        """
        create table int_well_tags as
        select e.tag_id, e.asset_id as well_id, e.measurement, e.source from energypack_tags as e
        """,
        """
        create table stg_ot__readings as
        select t.tag_id, timestamptz '2026-11-20 00:00:00+00' as observed_at from int_well_tags as t
        """,
        f"""
        create table int_tag_hours as
        select t.tag_id, date '{LAST_DAY}' as production_date, h as started_at, 60::bigint as readings,
            0::bigint as bad_readings
        from int_well_tags as t
        cross join range({LAST_24_HOURS}, timestamptz '{DAY_ENDS}', interval 1 hour) as r(h)
        """,
    ]


def marts(calendar: str, window: str, hours: str) -> list[str]:
    """`window` is a condition on production_date, `hours` the days with their lengths as SQL values."""
    return [
        f"""
        create or replace table fct_well_production_daily as
        select
            '{calendar}' as calendar, r.well_id, r.production_date, w.field_code, 'EAG-PAD-A' as facility_id,
            (r.oil_reported * 0.158987)::decimal(38, 18) as oil_sm3,
            (r.gas_reported * 28.328)::decimal(38, 18) as gas_sm3,
            r.water_reported::decimal(38, 18) as water_sm3,
            r.water_injected_reported::decimal(38, 18) as water_injected_sm3,
            r.hours_on,
            24::decimal(18, 6) as scada_hours_on, 24::decimal(18, 6) as scada_hours_known,
            (r.oil_reported * 0.158987)::decimal(18, 6) as scada_oil_sm3, 24::decimal(18, 6) as scada_oil_hours_known,
            (r.gas_reported * 28.328)::decimal(18, 6) as scada_gas_sm3, 24::decimal(18, 6) as scada_gas_hours_known
        from stg_fieldops__daily_readings as r
        inner join stg_fieldops__wells as w on r.well_id = w.well_id
        where {window}
        """,
        """
        create or replace table fct_field_production_daily as
        select
            calendar, production_date, field_code,
            count(*)::integer as wells_reported, count(*)::integer as wells_on_stream,
            sum(oil_sm3)::decimal(38, 18) as oil_sm3, sum(gas_sm3)::decimal(38, 18) as gas_sm3,
            sum(water_sm3)::decimal(38, 18) as water_sm3, sum(hours_on)::decimal(38, 18) as hours_on
        from fct_well_production_daily
        group by all
        """,
        """
        create or replace table fct_field_production_monthly as
        select
            calendar, date_trunc('month', production_date)::date as month, field_code,
            count(*)::integer as days_closed, day(last_day(max(production_date)))::integer as days_in_month,
            sum(oil_sm3)::decimal(38, 18) as oil_sm3, sum(gas_sm3)::decimal(38, 18) as gas_sm3
        from fct_field_production_daily
        group by all
        """,
        f"""
        create or replace table fct_gas_measurement_hourly as
        select
            '{calendar}' as calendar, date '{LAST_DAY}' as production_date, meter_id, started_at,
            'EAG-PAD-A' as facility_id, volume_mcf * 28.328 as gas_sm3, null::varchar as alarms
        from stg_flow_computer__gas_hourly
        where started_at >= {LAST_24_HOURS}
        """,
        f"""
        create or replace table fct_well_scada_hourly as
        select
            '{calendar}' as calendar, date '{LAST_DAY}' as production_date, w.well_id, h as started_at,
            h + interval 1 hour as ended_at, {_known(SCADA)},
            3600::decimal(9, 3) as uptime_s, 3600::decimal(9, 3) as uptime_covered_s
        from stg_fieldops__wells as w
        cross join range({LAST_24_HOURS}, timestamptz '{DAY_ENDS}', interval 1 hour) as r(h)
        """,
        f"""
        create or replace table fct_well_test as
        select
            '{calendar}' as calendar, date '{LAST_DAY}' as production_date, well_test_id, well_id, 'valid' as validity,
            oil_rate_bbl_per_day * 0.158987 as oil_rate_sm3_per_day,
            gas_rate_mcf_per_day * 28.328 as gas_rate_sm3_per_day,
            5::decimal(6, 3) as bsw_pct
        from stg_fieldops__well_tests
        where tested_at >= {LAST_24_HOURS}
        """,
        f"""
        create or replace table dim_well as
        select
            well_id, field_code, '{calendar}' as calendar, well_type, latitude, longitude, 'fieldops' as origin
        from stg_fieldops__wells
        """,
        f"""
        create or replace table dim_facility as
        select 'EAG-PAD-A' as facility_id, '{calendar}' as calendar, 'fieldops' as origin
        """,
        f"""
        create or replace table dim_date as
        select '{calendar}' as calendar, * from (values {hours}) as v(production_date, hours)
        """,
    ]
