"""Which well misses which day? One row per well and contract day that a reading is expected for."""

import great_expectations as gx

KEY = ("well_id", "production_date")

ROWS = """
with kept as (
    select min(production_date) as since from fieldops__daily_readings
),

readings as (
    select well_id, production_date, count(*) as n
    from fieldops__daily_readings
    group by well_id, production_date
)

select
    w.well_id,
    d.production_date,
    cast(coalesce(r.n, 0) as integer) as readings
from fieldops__wells as w
inner join field_calendars as f on w.field_code = f.field_code
inner join this_close as c on f.calendar = c.calendar
cross join kept
inner join close_days as d on d.production_date >= w.first_production_date and d.production_date >= kept.since
left join readings as r on w.well_id = r.well_id and d.production_date = r.production_date
where w.status in ('producing', 'injecting', 'shut_in')
"""

SUITE = gx.ExpectationSuite(
    name="landing_readings",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="readings",
            min_value=1,
            severity="warning",
            notes="A well without a reading counts as no production. One or two come late most days; the field's "
            "total has its own limit.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="readings",
            max_value=1,
            severity="critical",
            notes="Two readings of one well and day would count its volume twice.",
        ),
    ],
)
