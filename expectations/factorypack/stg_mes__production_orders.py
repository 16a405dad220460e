"""What believable orders look like: those that run in the window, one at a time on a line. A row an order."""

import great_expectations as gx

KEY = ("order_id", "line_id")

ROWS = """
with orders as (
    select
        o.*,
        c.starts_at as window_starts_at,
        c.ends_at as window_ends_at,
        lag(o.order_id) over (partition by o.line_id order by o.started_at, o.order_id) as order_before,
        lag(coalesce(o.ended_at, c.ends_at)) over (
            partition by o.line_id order by o.started_at, o.order_id
        ) as ended_before
    from stg_mes__production_orders as o
    inner join stg_mes__lines as l on o.line_id = l.line_id
    inner join this_close as c on l.site = c.calendar
    where o.started_at < c.ends_at
),

routed as (
    select distinct r.product_id, s.line_id
    from int_routings as r
    inner join int_stations as s on r.station_id = s.station_id
)

select
    o.order_id,
    o.line_id,
    o.product_id,
    round(coalesce(seconds_between(o.started_at, o.ended_before), 0), 3) as overlap_s,
    round(seconds_between(o.started_at, coalesce(o.ended_at, o.window_ends_at)) / 3600, 3) as hours,
    case when r.product_id is null and every_product.line_id is null then 0 else 1 end as has_routing
from orders as o
left join routed as r on o.product_id = r.product_id and o.line_id = r.line_id
left join routed as every_product on every_product.product_id = '*' and o.line_id = every_product.line_id
where o.ended_at is null or o.ended_at > o.window_starts_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_mes__production_orders",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="overlap_s",
            max_value=0,
            severity="warning",
            notes="Two orders at once on a line: time and units go to the one that began last. One of them was not "
            "booked off.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours",
            min_value=0,
            severity="critical",
            notes="An order that ends before it starts would take time from the one before it.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours",
            max_value=24 * 14,
            severity="warning",
            notes="An order that runs for a fortnight was most likely never booked off; standstill counts as delay "
            "while it is open.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="has_routing",
            value_set=[1],
            severity="warning",
            notes="No station of the line has a planned run time for the product, so its effectiveness cannot be told.",
        ),
    ],
)
