"""Intervals from files that touch the window: of a known station, and the right way round. A row an interval."""

import great_expectations as gx

KEY = ("station_id", "started_at")

ROWS = """
select
    f.station_id,
    f.started_at,
    case when s.station_id is null then 0 else 1 end as station_is_known,
    round(seconds_between(f.started_at, f.ended_at), 3) as duration_s,
    case
        when f.ended_at > lead(f.started_at) over (partition by f.station_id order by f.started_at) then 1 else 0
    end as is_overlapped
from stg_plant_files__machine_states as f
cross join this_close as c
left join int_stations as s on f.station_id = s.station_id
where f.started_at < c.ends_at and coalesce(f.ended_at, f.started_at) >= c.starts_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_plant_files__machine_states",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="station_is_known",
            value_set=[1],
            severity="warning",
            notes="No such station, so the interval is in no figure: send a stations file, or mend the code.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="duration_s",
            min_value=0,
            severity="warning",
            notes="It ends before it starts and counts for nothing: its times are swapped, or of another zone.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_overlapped",
            value_set=[0],
            severity="warning",
            notes="The next interval starts before this one ends. No time counts twice, the later start wins; the "
            "export is not what it should be.",
        ),
    ],
)
