with inspections as (
    select
        serial,
        station_id,
        result,
        inspected_at,
        row_number() over (partition by serial, station_id order by inspected_at asc, inspection_id asc) as nth
    from {{ ref('stg_mes__inspections') }}
    where inspected_at < {{ window_ends_at() }}
),

parts as (
    {{ close_period_parts() }}
)

select
    inspections.station_id,
    parts.shift_id,
    cast(count(*) as bigint) as inspected_units,
    cast(sum(case when inspections.result = 'pass' then 1 else 0 end) as bigint) as passed_units
from inspections
inner join parts on inspections.inspected_at >= parts.starts_at and inspections.inspected_at < parts.ends_at
where inspections.nth = 1 and inspections.inspected_at >= {{ window_starts_at() }}
group by inspections.station_id, parts.shift_id
