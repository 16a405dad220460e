"""Every defect of an image is told once. A row a shift and camera."""

import great_expectations as gx

KEY = ("shift_id", "camera_id")

ROWS = """
with boxes as (
    select
        m.shift_id,
        m.camera_id,
        count(*) as defects
    from fct_vision_defect as m
    inner join this_close as c on m.calendar = c.calendar
    group by m.shift_id, m.camera_id
)

select
    i.shift_id,
    i.camera_id,
    cast(sum(i.defects) - coalesce(max(b.defects), 0) as bigint) as defects_beyond_images
from fct_vision_inspection as i
inner join this_close as c on i.calendar = c.calendar
inner join close_shifts as h on i.shift_id = h.shift_id
left join boxes as b on i.shift_id = b.shift_id and i.camera_id = b.camera_id
group by i.shift_id, i.camera_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_vision_defect",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="defects_beyond_images",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The defects of a shift are those of its images, no more and no fewer.",
        ),
    ],
)
