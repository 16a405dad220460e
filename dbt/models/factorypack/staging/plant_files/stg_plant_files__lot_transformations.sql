with latest as (
    {{ latest('plant_files', 'lot_transformations') }}
),

renamed as (
    select
        movement_id,
        transformation_id,
        item_id,
        product_id,
        quantity,
        unit,
        reason,
        happened_at_utc as happened_at,
        '{{ declared("plant_files", "lot_transformations").calendar }}' as calendar,
        lower(kind) as kind,
        lower(role) as movement
    from latest
)

select * from renamed
