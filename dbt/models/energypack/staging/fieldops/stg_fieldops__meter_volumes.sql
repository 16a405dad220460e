with latest as (
    {{ latest('fieldops', 'meter_volumes') }}
),

renamed as (
    select
        meter_volume_id,
        meter_id,
        production_date,
        volume,
        volume_unit
    from latest
)

select * from renamed
