"""Defects of the window's images, and of images that nobody knows: rightly boxed, of a known image. A row a defect."""

import great_expectations as gx

KEY = ("inspection_id", "defect_number")

ROWS = """
select
    f.inspection_id,
    f.defect_number,
    case when r.inspection_id is null then 0 else 1 end as inspection_is_known,
    cast(f.confidence as double) as confidence,
    cast(least(f.x_max_px - f.x_min_px, f.y_max_px - f.y_min_px) as double) as least_side_px
from plant_files__vision_defects as f
cross join this_close as c
left join stg_plant_files__vision_results as r on f.inspection_id = r.inspection_id
where
    r.inspected_at >= c.starts_at and r.inspected_at < c.ends_at
    or r.inspection_id is null and f._landed_at >= c.starts_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_plant_files__vision_defects",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="inspection_is_known",
            value_set=[1],
            severity="warning",
            notes="Its image has no result, so nobody knows camera and time and it is in no figure: send the file of "
            "results too, then close again.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="confidence",
            min_value=0,
            max_value=1,
            severity="warning",
            notes="A share from 0 to 1. Outside of it, it is percent or a score: it counts for no mean and no drift.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_side_px",
            min_value=0,
            severity="warning",
            notes="The box ends before it starts: edges are swapped, or width and height were sent in their place.",
        ),
    ],
)
