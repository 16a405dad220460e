with orders as (
    select * from {{ ref('stg_mes__production_orders') }}
),

lines as (
    select * from {{ ref('stg_mes__lines') }}
)

select
    serials.serial,
    serials.order_id,
    orders.line_id,
    coalesce(serials.product_id, 'none') as product_id,
    serials.serial_status,
    serials.made_at,
    {{ epoch_ms("serials.made_at") }} as made_ms
from {{ ref('stg_mes__serials') }} as serials
left join orders on serials.order_id = orders.order_id
left join lines on orders.line_id = lines.line_id
where lines.site = '{{ var("calendar") }}' or lines.site is null
