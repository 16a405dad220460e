with shifts as (
    select * from {{ ref('int_trace_shifts') }}
),

visits as (
    select
        shifts.calendar,
        shifts.shift_id,
        shifts.production_date,
        visits.scan_id,
        visits.serial,
        visits.station_id,
        visits.entered_ms,
        visits.left_ms,
        shifts.starts_ms - {{ (var("trace_look_back_h") * 3600000) | int }} as known_from_ms
    from {{ ref('int_trace_visits') }} as visits
    inner join shifts on visits.told_ms >= shifts.from_ms and visits.told_ms < shifts.to_ms
    where visits.is_known_unit
),

overlapping as (
    select
        visits.*,
        stretches.tag_id,
        stretches.measurement,
        stretches.unit,
        stretches.reading,
        {{ earlier_of("stretches.to_ms", "visits.left_ms") }} - {{ later_of("stretches.from_ms", "visits.entered_ms") }} as held_ms
    from visits
    inner join {{ ref('int_process_stretches') }} as stretches
        on
            visits.station_id = stretches.station_id
            and visits.left_ms > stretches.from_ms
            and visits.entered_ms < stretches.to_ms
            and visits.known_from_ms <= stretches.from_ms
)

select
    calendar,
    shift_id,
    production_date,
    scan_id,
    serial,
    station_id,
    tag_id,
    measurement,
    unit,
    cast(min(reading) as decimal(18, 6)) as min_value,
    cast({{ ratio("sum(reading * cast(held_ms as decimal(12, 0)))", "sum(held_ms)", 6) }} as decimal(18, 6)) as mean_value,
    cast(max(reading) as decimal(18, 6)) as max_value,
    {{ factorypack_seconds("sum(held_ms)") }} as known_s
from overlapping
group by calendar, shift_id, production_date, scan_id, serial, station_id, tag_id, measurement, unit
