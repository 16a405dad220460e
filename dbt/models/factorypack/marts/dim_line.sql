with stations as (
    select * from {{ ref('int_stations') }}
    where calendar = '{{ var("calendar") }}'
),

pacing as (
    select * from stations
    where is_pacing
),

sizes as (
    select
        line_id,
        cast(count(*) as integer) as stations
    from stations
    group by line_id
)

select
    pacing.line_id,
    pacing.line_name,
    cast(pacing.calendar as varchar) as calendar,
    pacing.station_id as pacing_station_id,
    sizes.stations,
    {{ factorypack_seconds("pacing.micro_stop_ms") }} as micro_stop_s,
    rules.micro_stop_treatment,
    pacing.origin
from pacing
inner join sizes on pacing.line_id = sizes.line_id
inner join {{ ref('int_line_rules') }} as rules on pacing.line_id = rules.line_id
