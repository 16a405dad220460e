"""The Pareto of defects is of all defects. A row a shift, camera, station and product."""

import great_expectations as gx

KEY = ("shift_id", "camera_id", "station_id", "product_id")

ROWS = """
with boxes as (
    select
        d.shift_id,
        d.camera_id,
        d.station_id,
        d.product_id,
        count(*) as defects
    from fct_vision_defect as d
    inner join this_close as c on d.calendar = c.calendar
    group by d.shift_id, d.camera_id, d.station_id, d.product_id
),

ranked as (
    select
        m.shift_id,
        m.camera_id,
        m.station_id,
        m.product_id,
        sum(m.defects) as defects,
        max(m.cumulative_share) as last_share
    from fct_vision_defect_shift as m
    inner join this_close as c on m.calendar = c.calendar
    group by m.shift_id, m.camera_id, m.station_id, m.product_id
)

select
    b.shift_id,
    b.camera_id,
    b.station_id,
    b.product_id,
    cast(coalesce(r.defects, 0) - b.defects as bigint) as defects_beyond,
    cast(r.last_share as double) as last_share
from boxes as b
inner join close_shifts as h on b.shift_id = h.shift_id
left join ranked as r
    on
        b.shift_id = r.shift_id
        and b.camera_id = r.camera_id
        and b.station_id = r.station_id
        and b.product_id = r.product_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_vision_defect_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="defects_beyond",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The classes of a shift add up to its defects.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="last_share",
            min_value=1,
            max_value=1,
            severity="critical",
            notes="A Pareto ends at all of the defects.",
        ),
    ],
)
