"""What is missing or wrong in the records of trace: how much, by issue. A row a shift and issue."""

import great_expectations as gx

KEY = ("shift_id", "issue")

ROWS = """
select
    m.shift_id,
    m.issue,
    cast(count(*) as integer) as found,
    cast(count(*) filter (where m.issue not in ('missing_scan', 'scan_without_serial')) as integer) as found_wrong
from fct_trace_exception as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
group by m.shift_id, m.issue
"""

SUITE = gx.ExpectationSuite(
    name="fct_trace_exception",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="found_wrong",
            max_value=50,
            severity="warning",
            notes="So many records that contradict others come of one cause: a scanner that reads a label "
            "wrongly, or a table that is booked by another rule than before.",
        ),
    ],
)
