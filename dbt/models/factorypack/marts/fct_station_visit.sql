with shifts as (
    select * from {{ ref('int_trace_shifts') }}
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    visits.scan_id,
    visits.serial,
    visits.line_id,
    visits.station_id,
    visits.order_id,
    visits.product_id,
    visits.entered_at,
    visits.left_at,
    {{ factorypack_seconds("visits.left_ms - visits.entered_ms") }} as duration_s,
    cast(visits.visit as integer) as visit,
    visits.visit > 1 as is_revisit
from {{ ref('int_trace_visits') }} as visits
inner join shifts on visits.told_ms >= shifts.from_ms and visits.told_ms < shifts.to_ms
where visits.is_known_unit
