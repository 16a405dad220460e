"""What a believable day of a gas flow computer looks like. One row per meter and contract day, its hours summed."""

import great_expectations as gx

KEY = ("meter_id", "production_date", "hours_present", "volume_of_hours", "volume_of_day")

ROWS = """
with hours as (
    select h.*, d.production_date, d.hours as hours_of_day
    from stg_flow_computer__gas_hourly as h
    cross join this_close as c
    inner join close_days as d on h.started_at >= d.starts_at and h.started_at < d.ends_at
    where c.calendar = 'permian'
),

by_day as (
    select
        meter_id,
        production_date,
        hours_of_day,
        cast(count(*) as integer) as hours_present,
        sum(volume_mcf) as volume_of_hours,
        min(volume_mcf) as least_volume,
        min(flow_time_pct) as least_flow_time_pct,
        max(flow_time_pct) as most_flow_time_pct,
        min(static_pressure_psia) as least_static_pressure_psia,
        min(temperature_degf) as least_temperature_degf,
        max(temperature_degf) as most_temperature_degf,
        cast(count(*) filter (where volume_mcf > 0 and flow_time_pct = 0) as integer) as volumes_without_flow
    from hours
    group by meter_id, production_date, hours_of_day
)

select
    b.*,
    v.volume as volume_of_day,
    round(
        case when b.hours_present = b.hours_of_day and v.volume_unit = 'mcf' and v.volume > 0
            then 100 * ratio(abs(b.volume_of_hours - v.volume), v.volume) end,
        3
    ) as percent_off_day
from by_day as b
left join stg_fieldops__meter_volumes as v on b.meter_id = v.meter_id and b.production_date = v.production_date
"""

SUITE = gx.ExpectationSuite(
    name="stg_flow_computer__gas_hourly",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="percent_off_day",
            max_value=5,
            severity="critical",
            notes="The hours and the daily volume come from one meter; 5 % apart, one of them is of another day, "
            "meter or unit.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="percent_off_day",
            max_value=0.5,
            severity="warning",
            notes="Hours rounded to a thousandth of an Mcf add up to the day well within half a percent.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_volume",
            min_value=0,
            severity="critical",
            notes="Gas does not flow back through a sales meter.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_flow_time_pct",
            min_value=0,
            severity="critical",
            notes="A share of an hour lies between 0 and 100 %.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="most_flow_time_pct",
            max_value=100,
            severity="critical",
            notes="A share of an hour lies between 0 and 100 %.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_static_pressure_psia",
            min_value=0,
            severity="warning",
            notes="Absolute pressure is never below zero: the transmitter reads gauge pressure or is broken.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_temperature_degf",
            min_value=-60,
            severity="warning",
            notes="Colder than any line in service: a lost element.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="most_temperature_degf",
            max_value=250,
            severity="warning",
            notes="Hotter than a sales line may run: a lost element.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="volumes_without_flow",
            max_value=0,
            severity="warning",
            notes="Volume in an hour without flow is a fixed value that the flow computer fell back to.",
        ),
    ],
)
