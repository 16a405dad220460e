"""Standstill by reason is all of the standstill, and most of it has a reason. A row a shift and station."""

import great_expectations as gx

KEY = ("shift_id", "station_id")

ROWS = """
with summed as (
    select
        m.calendar,
        m.shift_id,
        m.station_id,
        sum(m.downtime_s) as downtime_s,
        sum(case when m.category = 'delay' and m.reason_code = 'unknown' then m.downtime_s - m.micro_stop_s else 0 end)
            as unexplained_s,
        max(m.station_cumulative_share) as last_share,
        max(case when m.level_1 = m.category then m.reason_code end) as reason_without_level
    from fct_downtime_shift as m
    group by m.calendar, m.shift_id, m.station_id
)

select
    s.shift_id,
    s.station_id,
    cast(coalesce(d.downtime_s, 0) - s.aust_s - s.adet_s - s.adot_s - s.unknown_s as double) as seconds_beyond_station,
    cast(d.last_share as double) as last_share,
    round(case when s.failure_s >= 600 then ratio(d.unexplained_s, s.failure_s) end, 4) as unexplained_share
from fct_oee_station_shift as s
inner join this_close as c on s.calendar = c.calendar
inner join close_shifts as h on s.shift_id = h.shift_id
left join summed as d on s.calendar = d.calendar and s.shift_id = d.shift_id and s.station_id = d.station_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_downtime_shift",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="seconds_beyond_station",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The reasons of a shift add up to its set-up, delay and down time, to the millisecond.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="last_share",
            min_value=1,
            max_value=1,
            severity="critical",
            notes="A Pareto ends at all of the standstill.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="unexplained_share",
            max_value=0.5,
            severity="warning",
            notes="More than half of ten minutes and more of failures has no reason from machine or people: the Pareto "
            "says little.",
        ),
    ],
)
