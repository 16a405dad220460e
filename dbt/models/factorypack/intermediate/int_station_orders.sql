with stations as (
    select * from {{ ref('int_stations') }}
    where calendar = '{{ var("calendar") }}'
),

orders as (
    select
        line_id,
        order_id,
        product_id,
        {{ epoch_ms("started_at") }} as from_ms,
        coalesce({{ epoch_ms("ended_at") }}, {{ epoch_ms(window_ends_at()) }}) as to_ms
    from {{ ref('stg_mes__production_orders') }}
    where
        started_at < {{ window_ends_at() }}
        and (ended_at is null or ended_at > {{ window_starts_at() }})
),

orders_of_lines as (
    {{ factorypack_topmost("orders", ["line_id"], "from_ms asc, order_id asc", ["order_id", "product_id"]) }}
),

counted as (
    select
        counts.station_id,
        counts.order_id,
        counts.product_id,
        {{ epoch_ms("counts.from_at") }} as from_ms,
        {{ epoch_ms("counts.to_at") }} as to_ms
    from {{ ref('stg_plant_files__machine_counts') }} as counts
    inner join stations on counts.station_id = stations.station_id
    where
        not stations.has_orders
        and (counts.order_id is not null or counts.product_id is not null)
        and counts.from_at < {{ window_ends_at() }}
        and counts.to_at > {{ window_starts_at() }}
),

orders_of_counts as (
    {{ factorypack_topmost("counted", ["station_id"], "from_ms asc", ["order_id", "product_id"]) }}
)

select
    stations.station_id,
    orders_of_lines.from_ms,
    orders_of_lines.to_ms,
    orders_of_lines.order_id,
    orders_of_lines.product_id
from orders_of_lines
inner join stations on orders_of_lines.line_id = stations.line_id
union all
select
    station_id,
    from_ms,
    to_ms,
    order_id,
    product_id
from orders_of_counts
