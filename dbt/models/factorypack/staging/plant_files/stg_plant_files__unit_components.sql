with latest as (
    {{ latest('plant_files', 'unit_components') }}
),

renamed as (
    select
        genealogy_id,
        serial,
        component_serial,
        component_product_id,
        quantity,
        station_id,
        assembled_at_utc as assembled_at
    from latest
)

select * from renamed
