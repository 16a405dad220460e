"""Have the gas flow computers' hours of the window arrived? One row per meter and contract day.

Expected are the meters that sent anything in the 35 days up to the window's end; a feed that was never used
expects nothing.
"""

import great_expectations as gx

KEY = ("meter_id", "production_date", "hours_expected")

ROWS = """
with hours as (
    select h.meter_id, h.hour_started_at_utc
    from flow_computer__gas_hourly as h
    cross join this_close as c
    where c.calendar = 'permian' and h.hour_started_at_utc < c.ends_at
),

meters as (
    select h.meter_id, min(h.hour_started_at_utc) as first_hour
    from hours as h
    cross join this_close as c
    group by h.meter_id, c.ends_at
    having max(h.hour_started_at_utc) >= c.ends_at - interval '35' day
),

by_day as (
    select
        m.meter_id,
        d.production_date,
        d.hours as hours_expected,
        count(distinct h.hour_started_at_utc) as hours_present
    from meters as m
    inner join close_days as d on d.starts_at >= m.first_hour
    left join hours as h
        on m.meter_id = h.meter_id and h.hour_started_at_utc >= d.starts_at and h.hour_started_at_utc < d.ends_at
    group by m.meter_id, d.production_date, d.hours
)

select
    meter_id,
    production_date,
    hours_expected,
    cast(hours_expected - hours_present as integer) as hours_missing,
    cast(sum(hours_present) over (partition by production_date) as integer) as hours_of_all_meters
from by_day
"""

SUITE = gx.ExpectationSuite(
    name="landing_files",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_of_all_meters",
            min_value=1,
            severity="critical",
            notes="Not one meter's file came for this day: the contractor's transfer is down, and the hourly gas "
            "would be published empty.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_missing",
            max_value=0,
            severity="warning",
            notes="A meter's file is late or short. The daily meter volume comes by another way, so the day's gas "
            "stands; its hours do not.",
        ),
    ],
)
