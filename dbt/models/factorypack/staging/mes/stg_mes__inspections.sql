with latest as (
    {{ latest('mes', 'inspections') }}
),

renamed as (
    select
        inspection_id,
        serial,
        station_id,
        order_id,
        product_id,
        inspected_at,
        result,
        defect_code
    from latest
)

select * from renamed
