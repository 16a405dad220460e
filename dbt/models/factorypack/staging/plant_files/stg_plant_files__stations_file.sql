with latest as (
    {{ latest('plant_files', 'stations_file') }}
),

renamed as (
    select
        station_id,
        line_id,
        name as station_name,
        is_pacing,
        vocabulary,
        micro_stop_s
    from latest
)

select * from renamed
