"""Is there anything to close at all? One row for the calendar: its stations, and the orders that ran in the window."""

import great_expectations as gx

KEY = ("calendar",)

ROWS = """
with stations as (
    select cast(count(*) as integer) as stations
    from mes__stations as s
    inner join mes__lines as l on s.line_id = l.line_id
    inner join this_close as c on l.site = c.calendar
),

filed as (
    select cast(count(*) as integer) as stations
    from plant_files__stations_file
),

orders as (
    select
        cast(count(*) as integer) as orders,
        cast(count(*) filter (where o.started_at > c.frozen_at) as integer) as orders_of_the_future
    from mes__production_orders as o
    inner join mes__lines as l on o.line_id = l.line_id
    inner join this_close as c on l.site = c.calendar
    where o.started_at < c.ends_at and (o.ended_at is null or o.ended_at > c.starts_at) or o.started_at > c.frozen_at
)

select
    c.calendar,
    s.stations as stations_of_mes,
    s.stations + f.stations as stations,
    case when s.stations > 0 then o.orders - o.orders_of_the_future end as orders_in_window,
    o.orders_of_the_future
from this_close as c
cross join stations as s
cross join filed as f
cross join orders as o
"""

SUITE = gx.ExpectationSuite(
    name="landing_stations",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="stations",
            min_value=1,
            severity="critical",
            notes="No line of this site has a station, so every figure would be missing. Is the calendar named as the "
            "site of the lines?",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="orders_in_window",
            min_value=1,
            severity="warning",
            notes="Not one order ran in these shifts, so all standstill counts as for want of orders: a quiet day, or "
            "orders were booked late.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="orders_of_the_future",
            max_value=0,
            severity="warning",
            notes="An order that starts after the close froze: day and month are swapped, or a clock is wrong.",
        ),
    ],
)
