with latest as (
    {{ latest('fieldops', 'wells') }}
),

renamed as (
    select
        well_id,
        well_name,
        field_code,
        well_type,
        status,
        first_production_date,
        latitude,
        longitude,
        crs,
        {{ carried('remarks') }} as remarks,
        updated_at
    from latest
)

select * from renamed
