with latest as (
    {{ latest('mes', 'shipments') }}
),

renamed as (
    select
        shipment_id,
        site as calendar,
        serial,
        customer,
        sales_order,
        shipped_at
    from latest
)

select * from renamed
