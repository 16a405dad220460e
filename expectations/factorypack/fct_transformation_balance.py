"""What came out, and what was declared lost, is what went in. A row a transformation."""

import great_expectations as gx

KEY = ("shift_id", "transformation_id")

ROWS = """
select
    m.shift_id,
    m.transformation_id,
    cast(m.difference as double) as difference,
    case when m.unit is null then 1 else 0 end as mixes_units,
    case when m.inputs = 0 then 1 else 0 end as is_without_input
from fct_transformation_balance as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_transformation_balance",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="difference",
            min_value=0,
            max_value=0,
            severity="warning",
            notes="More went in than came out and was declared lost, or less: a weighing or a loss was not "
            "booked. The difference is published.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="mixes_units",
            max_value=0,
            severity="warning",
            notes="Inputs and outputs in different units cannot be compared; book them in one.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="is_without_input",
            max_value=0,
            severity="warning",
            notes="Something came of nothing, so a recall backward ends here.",
        ),
    ],
)
