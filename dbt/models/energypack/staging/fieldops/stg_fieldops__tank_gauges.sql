with latest as (
    {{ latest('fieldops', 'tank_gauges') }}
),

renamed as (
    select
        gauge_id,
        facility_id,
        tank_id,
        production_date,
        opening_stock,
        closing_stock,
        volume_unit
    from latest
)

select * from renamed
