with latest as (
    {{ latest('mes', 'station_scans') }}
),

renamed as (
    select
        scan_id,
        serial,
        station_id,
        entered_at,
        left_at
    from latest
)

select * from renamed
