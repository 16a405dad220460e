with events_on_days as (
    select
        events.asset_type,
        events.asset_id,
        days.production_date,
        {{ later_of("events.started_at", "days.starts_at") }} as started_at,
        {{ earlier_of("coalesce(events.ended_at, days.ends_at)", "days.ends_at") }} as ended_at,
        events.fraction_down
    from {{ ref('stg_fieldops__downtime_events') }} as events
    inner join {{ ref('int_contract_days') }} as days
        on events.started_at < days.ends_at and (events.ended_at is null or events.ended_at > days.starts_at)
),

events_on_wells as (
    select
        asset_id as well_id,
        production_date,
        started_at,
        ended_at,
        fraction_down
    from events_on_days
    where asset_type = 'well'
    union all
    select
        routes.well_id,
        events.production_date,
        events.started_at,
        events.ended_at,
        events.fraction_down
    from events_on_days as events
    inner join {{ ref('int_well_facilities_daily') }} as routes
        on events.asset_id = routes.facility_id and events.production_date = routes.production_date
    where events.asset_type = 'facility'
),

edges as (
    select
        well_id,
        production_date,
        started_at as edge_at
    from events_on_wells
    union distinct
    select
        well_id,
        production_date,
        ended_at as edge_at
    from events_on_wells
),

pieces as (
    select
        well_id,
        production_date,
        edge_at as started_at,
        lead(edge_at) over (partition by well_id, production_date order by edge_at) as ended_at
    from edges
),

worst_per_piece as (
    select
        pieces.well_id,
        pieces.production_date,
        pieces.started_at,
        pieces.ended_at,
        max(events.fraction_down) as fraction_down
    from pieces
    inner join events_on_wells as events
        on
            pieces.well_id = events.well_id
            and pieces.production_date = events.production_date
            and pieces.started_at >= events.started_at
            and pieces.ended_at <= events.ended_at
    where pieces.ended_at is not null
    group by pieces.well_id, pieces.production_date, pieces.started_at, pieces.ended_at
),

summed as (
    select
        well_id,
        production_date,
        sum({{ ms_between("started_at", "ended_at") }}) as down_ms,
        sum({{ ms_between("started_at", "ended_at") }} * fraction_down) as lost_ms
    from worst_per_piece
    group by well_id, production_date
)

select
    well_id,
    production_date,
    {{ ratio("down_ms", "3600000", 6) }} as downtime_h,
    {{ ratio("lost_ms", "3600000", 6) }} as full_downtime_h
from summed
