"""Counts from files that touch the window: of a known station, not below zero, within one shift. A row an interval."""

import great_expectations as gx

KEY = ("station_id", "from_at")

ROWS = """
select
    f.station_id,
    f.from_at,
    case when s.station_id is null then 0 else 1 end as station_is_known,
    least(coalesce(f.good_units, 0), coalesce(f.scrap_units, 0), coalesce(f.rework_units, 0)) as least_units,
    round(seconds_between(f.from_at, f.to_at), 3) as duration_s,
    case when f.to_at > h.ends_at then 1 else 0 end as is_over_two_shifts,
    case
        when
            f.order_id is null
            and f.good_units + coalesce(f.scrap_units, 0) + coalesce(f.rework_units, 0) > 0
            and count(f.order_id) over (partition by f.station_id, f.from_at) > 0
            then 1
        else 0
    end as is_beside_an_order
from stg_plant_files__machine_counts as f
cross join this_close as c
left join int_stations as s on f.station_id = s.station_id
left join int_shifts as h on f.from_at >= h.starts_at and f.from_at < h.ends_at
where f.from_at >= c.starts_at and f.from_at < c.ends_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_plant_files__machine_counts",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="station_is_known",
            value_set=[1],
            severity="warning",
            notes="No such station, so its units are in no figure: send a stations file, or mend the code.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_units",
            min_value=0,
            severity="critical",
            notes="A machine makes no fewer than no units; corrections have a table of their own.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="duration_s",
            min_value=0,
            severity="warning",
            notes="It ends before it starts: its times are swapped, or of another zone.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_over_two_shifts",
            value_set=[0],
            severity="warning",
            notes="The interval runs on into the next shift, and all of its units are in the first: count by shift.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_beside_an_order",
            value_set=[0],
            severity="critical",
            notes="A count without an order and one with an order start at the same time: where the order was added "
            "later, its units would count twice. Send the row without an order again with 0 units.",
        ),
    ],
)
