with latest as (
    {{ latest('fieldops', 'facility_volumes') }}
),

renamed as (
    select
        facility_volume_id,
        facility_id,
        production_date,
        use_kind,
        product,
        volume,
        volume_unit
    from latest
)

select * from renamed
