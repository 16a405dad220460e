"""The list of what stations did: no hole, no overlap, no stretch without length. A row a shift and station."""

import great_expectations as gx

KEY = ("shift_id", "station_id")

ROWS = """
with stretches as (
    select
        m.shift_id,
        m.station_id,
        m.duration_s,
        cast(seconds_between(m.started_at, m.ended_at) as decimal(18, 3)) as clock_s,
        seconds_between(
            m.ended_at, lead(m.started_at) over (partition by m.station_id order by m.started_at)
        ) as to_next_s
    from fct_station_state as m
    inner join this_close as c on m.calendar = c.calendar
    inner join close_shifts as h on m.shift_id = h.shift_id
)

select
    s.shift_id,
    s.station_id,
    cast(sum(s.duration_s) - cast(max(h.hours) * 3600 as decimal(18, 3)) as double) as seconds_beyond_shift,
    cast(min(s.duration_s) as double) as least_duration_s,
    cast(max(abs(s.duration_s - s.clock_s)) as double) as duration_off_clock_s,
    min(s.to_next_s) as least_to_next_s
from stretches as s
inner join close_shifts as h on s.shift_id = h.shift_id
group by s.shift_id, s.station_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_station_state",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="seconds_beyond_shift",
            min_value=-0.0005,
            max_value=0.0005,
            severity="critical",
            notes="The stretches of a shift add up to its hours: less is a hole, more counts time twice.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_duration_s",
            min_value=0,
            strict_min=True,
            severity="critical",
            notes="A stretch without length, or with less, takes time from its neighbours.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="duration_off_clock_s",
            max_value=0.0005,
            severity="critical",
            notes="A stretch lasts from its start to its end; another figure beside the two is wrong.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_to_next_s",
            min_value=0,
            severity="critical",
            notes="Two stretches of one station overlap: time counts twice.",
        ),
    ],
)
