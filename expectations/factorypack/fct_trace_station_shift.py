"""How many of the good units each station has scanned. A row a shift and station of a line that is traced."""

import great_expectations as gx

KEY = ("shift_id", "station_id", "coverage")

ROWS = """
select
    m.shift_id,
    m.station_id,
    cast(m.coverage as double) as coverage,
    cast(
        m.missing_units - m.without_serial_units - m.never_scanned_units - m.no_read_units - m.not_scanned_units
        as bigint
    ) as units_without_cause
from fct_trace_station_shift as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_trace_station_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_without_cause",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The causes add up to the units that are missing, to the last one.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="coverage",
            min_value=0.9,
            severity="warning",
            notes="A tenth of the units passed this station without a scan: a scanner is dirty, moved, or off.",
        ),
    ],
)
