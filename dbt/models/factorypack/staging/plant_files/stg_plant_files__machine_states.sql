with latest as (
    {{ latest('plant_files', 'machine_states') }}
),

renamed as (
    select
        station_id,
        started_at_utc as started_at,
        ended_at_utc as ended_at,
        execution,
        mode,
        fault_code
    from latest
)

select * from renamed
