with latest as (
    {{ latest('mes', 'serials') }}
),

renamed as (
    select
        serial,
        order_id,
        product_id,
        made_at,
        status as serial_status
    from latest
)

select * from renamed
