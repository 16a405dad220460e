with latest as (
    {{ latest('plant_files', 'machine_counts') }}
),

renamed as (
    select
        station_id,
        from_at_utc as from_at,
        to_at_utc as to_at,
        good_units,
        scrap_units,
        rework_units,
        product_id,
        order_id
    from latest
)

select * from renamed
