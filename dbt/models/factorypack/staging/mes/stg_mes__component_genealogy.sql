with latest as (
    {{ latest('mes', 'component_genealogy') }}
),

renamed as (
    select
        genealogy_id,
        serial,
        component_serial,
        component_product_id,
        quantity,
        station_id,
        assembled_at
    from latest
)

select * from renamed
