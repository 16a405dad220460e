with latest as (
    {{ latest('fieldops', 'meters') }}
),

renamed as (
    select
        meter_id,
        meter_name,
        facility_id,
        meter_role,
        product,
        volume_unit
    from latest
)

select * from renamed
