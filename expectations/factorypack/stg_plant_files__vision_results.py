"""Images of the window that cameras judged: at a known station, with a confidence that is one. A row an image."""

import great_expectations as gx

KEY = ("inspection_id",)

ROWS = """
select
    f.inspection_id,
    case when s.station_id is null then 0 else 1 end as station_is_known,
    cast(f.confidence as double) as confidence
from stg_plant_files__vision_results as f
cross join this_close as c
left join int_stations as s on f.station_id = s.station_id
where f.inspected_at >= c.starts_at and f.inspected_at < c.ends_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_plant_files__vision_results",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="station_is_known",
            value_set=[1],
            severity="warning",
            notes="No such station, so the image is told without its line and no production stands beside it: mend "
            "the code, or send a stations file.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="confidence",
            min_value=0,
            max_value=1,
            severity="warning",
            notes="A share from 0 to 1. Outside of it, it is percent or a score: it counts for no mean and no drift.",
        ),
    ],
)
