"""The units of the shifts, with the order and line that they belong to."""

import great_expectations as gx

KEY = ("serial",)

ROWS = """
select
    m.serial,
    m.shift_id,
    m.line_id,
    cast(count(*) over (partition by m.serial) as integer) as rows_of_unit
from fct_unit as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_unit",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="rows_of_unit",
            min_value=1,
            max_value=1,
            severity="critical",
            notes="A serial number is one unit: twice in the window, every recall would count it twice.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="line_id",
            severity="warning",
            notes="The order of the unit is not known, so nobody knows which line made it and its coverage "
            "counts for none.",
        ),
    ],
)
