with inspections as (
    select * from {{ ref('int_vision_inspections') }}
),

shifts as (
    select * from {{ ref('int_trace_shifts') }}
),

{# Known is what was made by the end of the shift: a unit that is registered later has its inspections in the shift in which they were made. #}
units as (
    select
        serial,
        order_id,
        product_id,
        made_ms
    from {{ ref('int_trace_units') }}
),

told as (
    select
        inspections.*,
        shifts.calendar,
        shifts.shift_id,
        shifts.production_date,
        {{ factorypack_hour_ms("inspections.at_ms", "shifts.starts_ms") }} as hour_ms,
        shifts.to_ms
    from inspections
    inner join shifts on inspections.at_ms >= shifts.from_ms and inspections.at_ms < shifts.to_ms
)

select
    told.calendar,
    told.shift_id,
    told.production_date,
    told.inspection_id,
    told.camera_id,
    told.station_id,
    told.line_id,
    coalesce(told.product_id, units.product_id, 'none') as product_id,
    told.serial,
    units.serial is not null as is_known_unit,
    units.order_id,
    told.inspected_at,
    {{ factorypack_instant("told.hour_ms") }} as hour_started_at,
    told.verdict,
    told.is_judged,
    told.is_first,
    told.confidence,
    told.defects,
    told.image_uri,
    told.model_version
from told
left join units on told.serial = units.serial and told.to_ms > units.made_ms
