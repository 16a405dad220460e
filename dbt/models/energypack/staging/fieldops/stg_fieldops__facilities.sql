with latest as (
    {{ latest('fieldops', 'facilities') }}
),

renamed as (
    select
        facility_id,
        facility_name,
        facility_type,
        field_code,
        latitude,
        longitude,
        crs
    from latest
)

select * from renamed
