"""Yield, confidence, escapes and false rejects of cameras, hour by hour. A row an hour, camera, station and product."""

import great_expectations as gx

KEY = ("shift_id", "camera_id", "station_id", "product_id", "hour_started_at")

ROWS = """
select
    m.shift_id,
    m.camera_id,
    m.station_id,
    m.product_id,
    m.hour_started_at,
    cast(m.inspected_units - m.passed_units - m.failed_units as bigint) as units_beyond_verdicts,
    cast(case when m.inspected_units >= 20 then m.first_pass_yield end as double) as first_pass_yield,
    cast(
        case when m.inspections >= 20 and m.usual_units >= 100 then m.confidence_drift end as double
    ) as confidence_drift,
    cast(case when m.reviewed_passes >= 20 then m.escape_ratio end as double) as escape_ratio,
    cast(case when m.reviewed_fails >= 10 then m.false_reject_ratio end as double) as false_reject_ratio
from fct_vision_hour as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_vision_hour",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_beyond_verdicts",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="A unit that was inspected passed or failed; a third outcome would be in the yield's denominator "
            "alone.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="first_pass_yield",
            min_value=0.8,
            severity="warning",
            notes="One of five of at least 20 units failed within an hour: the process has left its window, or the "
            "camera sees something that is not there.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="confidence_drift",
            min_value=-0.1,
            max_value=0.1,
            severity="warning",
            notes="Far from the four weeks before, of at least 20 images now and 100 units then: dirt on the lens, "
            "another light, another material, or another model.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="escape_ratio",
            max_value=0.05,
            severity="warning",
            notes="People failed more than one of twenty units that the camera had passed, of at least 20 reviewed in "
            "the hour.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="false_reject_ratio",
            max_value=0.5,
            severity="warning",
            notes="People passed more than half of at least 10 units that the camera had failed: good units are being "
            "sorted out.",
        ),
    ],
)
