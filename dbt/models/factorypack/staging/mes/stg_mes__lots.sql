with latest as (
    {{ latest('mes', 'lots') }}
),

renamed as (
    select
        lot_id,
        site as calendar,
        product_id,
        supplier,
        quantity_received,
        unit,
        created_at
    from latest
)

select * from renamed
