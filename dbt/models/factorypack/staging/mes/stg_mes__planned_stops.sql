with latest as (
    {{ latest('mes', 'planned_stops') }}
),

renamed as (
    select
        planned_stop_id,
        line_id,
        station_id,
        from_at,
        to_at,
        reason_code
    from latest
)

select * from renamed
