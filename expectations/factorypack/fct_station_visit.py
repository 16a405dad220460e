"""Units at stations: they come before they leave, and not for days. A row a visit."""

import great_expectations as gx

KEY = ("scan_id", "serial")

ROWS = """
select
    m.scan_id,
    m.serial,
    m.station_id,
    cast(m.duration_s as double) as duration_s
from fct_station_visit as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_station_visit",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="duration_s",
            min_value=0,
            severity="warning",
            notes="A unit that leaves before it comes: the clocks of two scanners are apart.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="duration_s",
            max_value=86400,
            severity="warning",
            notes="More than a day in a station: the scan of its leaving is that of another visit.",
        ),
    ],
)
