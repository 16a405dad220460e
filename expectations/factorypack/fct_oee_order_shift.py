"""The orders of a station in a shift add up to the station. A row a shift and station."""

import great_expectations as gx

KEY = ("shift_id", "station_id")

ROWS = """
with summed as (
    select
        m.calendar,
        m.shift_id,
        m.station_id,
        sum(m.apt_s + m.aust_s + m.adet_s + m.adot_s + m.unknown_s) as known_s,
        sum(m.apt_s) as apt_s,
        sum(m.planned_s) as planned_s,
        sum(m.produced_units) as produced_units,
        sum(m.good_units) as good_units,
        sum(m.ideal_s) as ideal_s
    from fct_oee_order_shift as m
    group by m.calendar, m.shift_id, m.station_id
)

select
    s.shift_id,
    s.station_id,
    cast(
        abs(coalesce(o.known_s, 0) - s.known_s) + abs(coalesce(o.apt_s, 0) - s.apt_s)
        + abs(coalesce(o.planned_s, 0) - s.planned_s) + abs(coalesce(o.ideal_s, 0) - s.ideal_s)
        as double
    ) as seconds_off_station,
    cast(
        abs(coalesce(o.produced_units, 0) - s.produced_units) + abs(coalesce(o.good_units, 0) - s.good_units)
        as bigint
    ) as units_off_station
from fct_oee_station_shift as s
inner join this_close as c on s.calendar = c.calendar
inner join close_shifts as h on s.shift_id = h.shift_id
left join summed as o on s.calendar = o.calendar and s.shift_id = o.shift_id and s.station_id = o.station_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_oee_order_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="seconds_off_station",
            max_value=0,
            severity="critical",
            notes="The time of a station's orders, with that without an order, is the station's time to the "
            "millisecond.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="units_off_station",
            max_value=0,
            severity="critical",
            notes="The units of a station's orders are the station's; a reader who adds them up must not find others.",
        ),
    ],
)
