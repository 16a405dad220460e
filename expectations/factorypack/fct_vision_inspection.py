"""Does each camera see what its station makes, and know the units? A row a shift and camera of the last four weeks."""

import great_expectations as gx

KEY = ("shift_id", "camera_id")

ROWS = """
with seen as (
    select
        f.camera_id,
        f.station_id,
        row_number() over (partition by f.camera_id order by f.inspected_at desc, f.inspection_id desc) as nth
    from stg_plant_files__vision_results as f
    cross join this_close as c
    inner join int_stations as s on f.station_id = s.station_id and c.calendar = s.calendar
    where f.inspected_at < c.ends_at and seconds_between(f.inspected_at, c.starts_at) < 2419200
),

told as (
    select
        m.shift_id,
        m.camera_id,
        count(*) as images,
        sum(case when m.is_judged then 0 else 1 end) as unjudged,
        sum(case when m.serial is null then 0 else 1 end) as read_images,
        sum(case when m.serial is null or m.is_known_unit then 0 else 1 end) as unknown_images
    from fct_vision_inspection as m
    inner join this_close as c on m.calendar = c.calendar
    group by m.shift_id, m.camera_id
),

by_hour as (
    select
        o.shift_id,
        o.camera_id,
        sum(o.inspections) as images
    from fct_vision_hour as o
    inner join this_close as c on o.calendar = c.calendar
    group by o.shift_id, o.camera_id
)

select
    h.shift_id,
    k.camera_id,
    case when p.produced_units > 0 and t.images is null then 1 else 0 end as is_silent,
    cast(coalesce(t.images, 0) - coalesce(b.images, 0) as bigint) as images_beyond_hours,
    round(ratio(t.unjudged, t.images), 4) as unjudged_share,
    round(case when t.read_images >= 20 then ratio(t.unknown_images, t.read_images) end, 4) as unknown_share
from close_shifts as h
cross join seen as k
left join told as t on h.shift_id = t.shift_id and k.camera_id = t.camera_id
left join by_hour as b on h.shift_id = b.shift_id and k.camera_id = b.camera_id
left join fct_oee_station_shift as p on h.shift_id = p.shift_id and k.station_id = p.station_id
where k.nth = 1
"""

SUITE = gx.ExpectationSuite(
    name="fct_vision_inspection",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="images_beyond_hours",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The hours of a shift hold each of its images once: otherwise yield and Pareto are wrong.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_silent",
            value_set=[0],
            severity="warning",
            notes="Its station produced and the camera sent nothing all shift: it is off, or its file is late. What "
            "comes later counts in the next version.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="unjudged_share",
            max_value=0.05,
            severity="warning",
            notes="One image in twenty could not be judged: light, focus or trigger. These units passed uninspected.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="unknown_share",
            max_value=0.1,
            severity="warning",
            notes="A few units are still on their way when a shift ends; more that nobody registered means that the "
            "camera reads serial numbers wrongly, and neither escapes nor a recall find its images.",
        ),
    ],
)
