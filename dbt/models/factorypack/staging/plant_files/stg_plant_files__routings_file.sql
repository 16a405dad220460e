with latest as (
    {{ latest('plant_files', 'routings_file') }}
),

renamed as (
    select
        product_id,
        station_id,
        ideal_cycle_time_s as ideal_cycle_s
    from latest
)

select * from renamed
