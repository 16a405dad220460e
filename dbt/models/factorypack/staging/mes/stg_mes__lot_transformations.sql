with latest as (
    {{ latest('mes', 'lot_transformations') }}
),

renamed as (
    select
        movement_id,
        transformation_id,
        site as calendar,
        kind,
        role as movement,
        item_id,
        product_id,
        quantity,
        unit,
        reason,
        happened_at
    from latest
)

select * from renamed
