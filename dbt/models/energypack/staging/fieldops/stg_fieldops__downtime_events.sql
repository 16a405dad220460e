with latest as (
    {{ latest('fieldops', 'downtime_events') }}
),

renamed as (
    select
        event_id,
        asset_type,
        asset_id,
        started_at_utc as started_at,
        ended_at_utc as ended_at,
        reason_code,
        is_planned,
        fraction_down,
        {{ carried('remarks') }} as remarks
    from latest
)

select * from renamed
