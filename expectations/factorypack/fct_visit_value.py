"""Means lie between least and greatest value, and are known no longer than the visit. A row a visit and tag."""

import great_expectations as gx

KEY = ("scan_id", "tag_id")

ROWS = """
select
    m.scan_id,
    m.tag_id,
    cast(m.mean_value - m.min_value as double) as mean_above_min,
    cast(m.max_value - m.mean_value as double) as max_above_mean,
    round(cast(m.known_s as double) - cast(v.duration_s as double), 3) as seconds_beyond_visit
from fct_visit_value as m
inner join fct_station_visit as v on m.scan_id = v.scan_id and m.calendar = v.calendar
inner join this_close as c on m.calendar = c.calendar
"""

SUITE = gx.ExpectationSuite(
    name="fct_visit_value",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="mean_above_min",
            min_value=-1e-06,
            severity="critical",
            notes="A mean below the least value is a fault of the model; a rounding of the sixth decimal is allowed.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="max_above_mean",
            min_value=-1e-06,
            severity="critical",
            notes="A mean above the greatest value is a fault of the model; a rounding of the sixth decimal is "
            "allowed.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="seconds_beyond_visit",
            max_value=0,
            severity="critical",
            notes="A value is known longer than the unit was there: two stretches of the tag overlap.",
        ),
    ],
)
