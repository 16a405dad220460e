with latest as (
    {{ latest('mes', 'manual_log') }}
),

renamed as (
    select
        log_id,
        line_id,
        station_id,
        started_at,
        ended_at,
        reason_code,
        entered_by,
        entered_at
    from latest
)

select * from renamed
