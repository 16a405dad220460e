"""The contract days of the close: one row for each, none else."""

import great_expectations as gx

KEY = ("production_date",)

ROWS = """
select
    d.production_date,
    d.hours as hours_of_day,
    cast(m.hours as double) as hours,
    case when m.production_date is null then 0 else 1 end as is_there,
    round(cast(m.hours as double) - d.hours, 6) as hours_off
from close_days as d
cross join this_close as c
left join dim_date as m on d.production_date = m.production_date and m.calendar = c.calendar
"""

SUITE = gx.ExpectationSuite(
    name="dim_date",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_there",
            value_set=[1],
            severity="critical",
            notes="A closed day that no report can join is a day without figures.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_off",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="A contract day has 23, 24 or 25 hours by its zone; another length shifts every rate per hour.",
        ),
    ],
)
