with latest as (
    {{ latest('plant_files', 'unit_scans') }}
),

renamed as (
    select
        scan_id,
        serial,
        station_id,
        entered_at_utc as entered_at,
        left_at_utc as left_at
    from latest
)

select * from renamed
