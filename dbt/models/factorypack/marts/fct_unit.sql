with shifts as (
    select * from {{ ref('int_trace_shifts') }}
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    units.serial,
    units.order_id,
    units.line_id,
    units.product_id,
    units.serial_status,
    units.made_at
from {{ ref('int_trace_units') }} as units
inner join shifts on units.made_ms >= shifts.from_ms and units.made_ms < shifts.to_ms
