"""The dates of the close's shifts: one row for each, none else."""

import great_expectations as gx

KEY = ("production_date",)

ROWS = """
select
    d.production_date,
    case when m.production_date is null then 0 else 1 end as is_there
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
            notes="A shift whose date no report can join is a shift without figures.",
        ),
    ],
)
