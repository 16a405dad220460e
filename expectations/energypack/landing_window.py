"""Is there anything to close at all, and does nothing claim to come from the future? One row per source of readings."""

import great_expectations as gx

KEY = ("source",)

ROWS = """
with readings as (
    select r.production_date
    from fieldops__daily_readings as r
    inner join fieldops__wells as w on r.well_id = w.well_id
    inner join field_calendars as f on w.field_code = f.field_code
    inner join this_close as c on f.calendar = c.calendar
)

select
    'fieldops.daily_readings' as source,
    cast(count(*) filter (where r.production_date between c.from_date and c.to_date) as integer) as rows_in_window,
    cast(count(*) filter (where r.production_date > c.frozen_on) as integer) as rows_in_the_future
from this_close as c
left join readings as r on true
union all
select source, rows_in_window, rows_in_the_future
from feed_rows
"""

SUITE = gx.ExpectationSuite(
    name="landing_window",
    expectations=[
        gx.expectations.ExpectColumnSumToBeBetween(
            column="rows_in_window",
            min_value=1,
            severity="critical",
            notes="No source has a single reading for these days: the dates are wrong, or nothing has landed. "
            "Publishing would "
            "replace the window by nothing.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="rows_in_the_future",
            max_value=0,
            severity="warning",
            notes="A reading of a day that has not begun: day and month are swapped, or a year is mistyped. It is "
            "in no close yet, "
            "but it is missing from the day it belongs to.",
        ),
    ],
)
