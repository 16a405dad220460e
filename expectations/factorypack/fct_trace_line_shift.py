"""Can what was made be traced? A row a shift and line."""

import great_expectations as gx

KEY = ("shift_id", "line_id", "coverage")

ROWS = """
with traced as (
    select distinct s.line_id
    from int_stations as s
    inner join factorypack_trace as t on s.line_id = t.line_id
    inner join this_close as c on s.calendar = c.calendar
)

select
    h.shift_id,
    t.line_id,
    cast(count(m.line_id) as integer) as rows_of_line,
    cast(max(m.coverage) as double) as coverage,
    cast(max(m.coverage - m.least_coverage) as double) as above_least,
    cast(max(m.coverage - m.target_coverage) as double) as above_target,
    cast(max(m.complete_units - m.serial_units) as bigint) as complete_beyond_serials
from close_shifts as h
cross join traced as t
left join fct_trace_line_shift as m on h.shift_id = m.shift_id and t.line_id = m.line_id
group by h.shift_id, t.line_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_trace_line_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="rows_of_line",
            value_set=[1],
            severity="critical",
            notes="A line that is traced has one row a shift: none would hide that nothing was scanned.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="complete_beyond_serials",
            max_value=0,
            severity="critical",
            notes="More units are complete than have a serial number: something is counted twice.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="above_target",
            min_value=0,
            severity="warning",
            notes="Fewer scans than aimed at. See the stations and causes in the report, and the list in "
            "fct_trace_exception.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="above_least",
            min_value=0,
            severity="warning",
            notes="Fewer scans than trace needs to be relied on: a recall of this shift has to take whole "
            "orders. It stops no close, since scans that were never made do not come by waiting, and "
            "everything else of the shift is right without them.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="coverage",
            max_value=1,
            severity="warning",
            notes="More units were scanned than the counter of the pacing station counted: it was reset or its "
            "readings are missing, or units were scanned under two numbers.",
        ),
    ],
)
