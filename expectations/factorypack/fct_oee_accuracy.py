"""Is the OEE that of what people wrote and counted? A row a shift and line; those without enough data only warn."""

import great_expectations as gx

KEY = ("shift_id", "line_id", "oee", "manual_oee")

ROWS = """
select
    m.shift_id,
    m.line_id,
    cast(m.oee as double) as oee,
    cast(m.manual_oee as double) as manual_oee,
    cast(m.oee_difference_points as double) as points_off,
    cast(case when not m.is_doubtful then m.oee_difference_points end as double) as points_off_of_certain,
    cast(case when not m.is_doubtful and m.manual_produced_units >= 100 then m.oee_difference_pct end as double)
        as percent_off_of_certain,
    cast(case when not m.is_doubtful then m.quality_difference_points end as double) as quality_points_off
from fct_oee_accuracy as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_oee_accuracy",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="points_off_of_certain",
            min_value=-2,
            max_value=2,
            severity="critical",
            notes="Two points off what people counted: a counter, a routing or a shift edge is wrong, or the count is. "
            "Settle which before anybody reads the figure.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="percent_off_of_certain",
            min_value=-2,
            max_value=2,
            severity="critical",
            notes="The same in percent, so that a bias stops the close at a low OEE too; of a hundred units and more, "
            "since one unit of fewer is more than a percent.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="points_off",
            min_value=-1,
            max_value=1,
            severity="warning",
            notes="People round and miscount by less than a point; more is worth a look.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="quality_points_off",
            min_value=-2,
            max_value=2,
            severity="warning",
            notes="Scrap and rework by machine and by hand are apart: rejects are booked elsewhere, or not at all.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="manual_oee",
            severity="warning",
            notes="Nobody has entered a count of this line and shift yet, so its OEE is not held against anything.",
        ),
    ],
)
