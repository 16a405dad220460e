"""Did the counters behave? A row a shift and station; without a shift, what was counted outside of all of them."""

import great_expectations as gx

KEY = ("shift_id", "station_id")

ROWS = """
select
    n.shift_id,
    n.station_id,
    cast(sum(n.good_units) as bigint) as good_units,
    cast(least_of(array[sum(n.good_units), sum(n.scrap_units), sum(n.rework_units)]) as bigint) as least_units,
    cast(sum(n.counter_resets) as integer) as counter_resets,
    cast(sum(case when n.shift_id is null then n.good_units + n.scrap_units + n.rework_units else 0 end) as bigint)
        as units_outside_shifts
from int_station_counts as n
group by n.shift_id, n.station_id
"""

SUITE = gx.ExpectationSuite(
    name="int_station_counts",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_units",
            min_value=0,
            severity="critical",
            notes="Fewer than no units: a correction took away more than was counted, or went to another shift.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="counter_resets",
            max_value=0,
            severity="warning",
            notes="A counter was set back; what was made between its last reading and then is lost to it. Add it by a "
            "correction if it matters.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_outside_shifts",
            max_value=0,
            severity="warning",
            notes="Units counted while no shift ran are in no figure: is an extra shift missing from the calendar?",
        ),
    ],
)
