"""Does every field report its wells for every day of the window? One row per field and contract day.

Expected are the wells that produce, inject or are shut in, from their first production day on, on days since the
source keeps readings at all: a window before that (a historical file) expects nothing here.
"""

import great_expectations as gx

KEY = ("field_code", "production_date", "wells_expected", "wells_missing")

ROWS = """
with kept as (
    select min(production_date) as since from fieldops__daily_readings
),

expected as (
    select w.field_code, w.well_id, d.production_date
    from fieldops__wells as w
    inner join field_calendars as f on w.field_code = f.field_code
    inner join this_close as c on f.calendar = c.calendar
    cross join kept
    inner join close_days as d on d.production_date >= w.first_production_date and d.production_date >= kept.since
    where w.status in ('producing', 'injecting', 'shut_in')
),

present as (
    select distinct well_id, production_date from fieldops__daily_readings
)

select
    e.field_code,
    e.production_date,
    cast(count(*) as integer) as wells_expected,
    cast(count(*) - count(p.well_id) as integer) as wells_missing,
    round(100 * ratio(greatest(count(*) - count(p.well_id) - 1, 0), count(*)), 2) as percent_missing_beyond_one_well
from expected as e
left join present as p on e.well_id = p.well_id and e.production_date = p.production_date
group by e.field_code, e.production_date
"""

SUITE = gx.ExpectationSuite(
    name="landing_completeness",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="percent_missing_beyond_one_well",
            max_value=10,
            severity="critical",
            notes="With more than a tenth of a field's wells missing, its total is a guess: the field crew's "
            "upload has failed "
            "rather than one gauge sheet.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="wells_missing",
            max_value=0,
            severity="warning",
            notes="Every well reports each day, a shut-in one with zero hours. A missing well counts as no "
            "production until it reports.",
        ),
    ],
)
