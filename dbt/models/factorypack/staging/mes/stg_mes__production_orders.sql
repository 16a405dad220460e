with latest as (
    {{ latest('mes', 'production_orders') }}
),

renamed as (
    select
        order_id,
        line_id,
        product_id,
        quantity_ordered as ordered_units,
        started_at,
        ended_at,
        status as order_status
    from latest
)

select * from renamed
