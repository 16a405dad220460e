with orders as (
    select * from {{ ref('stg_mes__production_orders') }}
),

lines as (
    select
        line_id,
        site as calendar
    from {{ ref('stg_mes__lines') }}
    union distinct
    select
        line_id,
        calendar
    from {{ ref('int_stations') }}
    where origin = 'files'
)

select
    serials.serial,
    serials.order_id,
    coalesce(orders.line_id, serials.line_id) as line_id,
    coalesce(serials.product_id, 'none') as product_id,
    serials.serial_status,
    serials.made_at,
    {{ epoch_ms("serials.made_at") }} as made_ms
from {{ ref('int_trace_serials') }} as serials
left join orders on serials.order_id = orders.order_id
left join lines on coalesce(orders.line_id, serials.line_id) = lines.line_id
where lines.calendar = '{{ var("calendar") }}' or lines.calendar is null
