with latest as (
    {{ latest('fieldops', 'run_tickets') }}
),

renamed as (
    select
        ticket_id,
        facility_id,
        tank_id,
        ticket_at_utc as ticketed_at,
        net_volume,
        volume_unit,
        bsw_pct,
        api_gravity,
        purchaser
    from latest
)

select * from renamed
