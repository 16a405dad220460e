with latest as (
    {{ latest('plant_files', 'lots') }}
),

renamed as (
    select
        lot_id,
        product_id,
        supplier,
        quantity_received,
        unit,
        created_at_utc as created_at,
        '{{ declared("plant_files", "lots").calendar }}' as calendar
    from latest
)

select * from renamed
