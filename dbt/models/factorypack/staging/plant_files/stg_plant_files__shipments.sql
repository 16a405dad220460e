with latest as (
    {{ latest('plant_files', 'shipments') }}
),

renamed as (
    select
        shipment_id,
        serial,
        customer,
        sales_order,
        shipped_at_utc as shipped_at,
        '{{ declared("plant_files", "shipments").calendar }}' as calendar
    from latest
)

select * from renamed
