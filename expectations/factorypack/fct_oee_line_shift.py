"""The lines of the shifts: each has its row, and it is that of its pacing station."""

import great_expectations as gx

KEY = ("shift_id", "line_id")

ROWS = """
select
    h.shift_id,
    d.line_id,
    cast(count(m.line_id) as integer) as rows_of_line,
    cast(max(abs(m.apt_s - s.apt_s) + abs(m.known_s - s.known_s) + abs(m.ideal_s - s.ideal_s)) as double)
        as off_station_s,
    cast(max(abs(m.produced_units - s.produced_units)) as bigint) as units_off_station
from close_shifts as h
cross join this_close as c
inner join dim_line as d on c.calendar = d.calendar
left join fct_oee_line_shift as m on h.shift_id = m.shift_id and d.line_id = m.line_id and m.calendar = c.calendar
left join fct_oee_station_shift as s
    on m.shift_id = s.shift_id and m.pacing_station_id = s.station_id and m.calendar = s.calendar
group by h.shift_id, d.line_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_oee_line_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="rows_of_line",
            value_set=[1],
            severity="critical",
            notes="A line has one row a shift: none hides it, two double it in every report.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="off_station_s",
            max_value=0,
            severity="critical",
            notes="A line's figures are those of its pacing station.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_off_station",
            max_value=0,
            severity="critical",
            notes="A line's units are those of its pacing station.",
        ),
    ],
)
