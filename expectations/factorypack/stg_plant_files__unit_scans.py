"""Scans from files that touch the window: at a known station, the right way round, told once. A row a scan."""

import great_expectations as gx

KEY = ("scan_id",)

ROWS = """
select
    f.scan_id,
    case when s.station_id is null then 0 else 1 end as station_is_known,
    case when m.scan_id is null then 0 else 1 end as is_in_mes,
    round(seconds_between(f.entered_at, f.left_at), 3) as duration_s
from stg_plant_files__unit_scans as f
cross join this_close as c
left join int_stations as s on f.station_id = s.station_id
left join stg_mes__station_scans as m on f.scan_id = m.scan_id
where f.entered_at < c.ends_at and coalesce(f.left_at, f.entered_at) >= c.starts_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_plant_files__unit_scans",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="station_is_known",
            value_set=[1],
            severity="warning",
            notes="No such station, so the scan counts for no line's coverage: send a stations file, or mend the code.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_in_mes",
            value_set=[0],
            severity="warning",
            notes="The manufacturing execution system has a scan of that key, which counts; the file's is left out. "
            "Two sources that number alike need keys that tell them apart.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="duration_s",
            min_value=0,
            severity="warning",
            notes="It left before it came: its times are swapped, or of another zone.",
        ),
    ],
)
