"""Planned run times. A row a product and station of the calendar."""

import great_expectations as gx

KEY = ("product_id", "station_id", "ideal_cycle_s")

ROWS = """
select r.product_id, r.station_id, cast(r.ideal_cycle_s as double) as ideal_cycle_s
from int_routings as r
inner join int_stations as s on r.station_id = s.station_id
inner join this_close as c on s.calendar = c.calendar
"""

SUITE = gx.ExpectationSuite(
    name="stg_mes__routings",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="ideal_cycle_s",
            min_value=0,
            strict_min=True,
            severity="critical",
            notes="Nothing is made in no time: effectiveness would be 0 for every unit of the product.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="ideal_cycle_s",
            max_value=24 * 3600,
            severity="warning",
            notes="More than a day for one unit: minutes or milliseconds taken for seconds?",
        ),
    ],
)
