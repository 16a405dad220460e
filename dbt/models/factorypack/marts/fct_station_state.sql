with states as (
    select * from {{ ref('int_station_states') }}
),

shifts as (
    select * from {{ ref('int_shifts') }}
)

select
    cast(shifts.calendar as varchar) as calendar,
    states.shift_id,
    shifts.production_date,
    states.line_id,
    states.station_id,
    {{ factorypack_instant("states.from_ms") }} as started_at,
    {{ factorypack_instant("states.to_ms") }} as ended_at,
    {{ factorypack_seconds("states.duration_ms") }} as duration_s,
    states.category,
    states.execution,
    states.mode,
    states.reason_code,
    states.reason_source,
    states.order_id,
    states.product_id,
    states.is_micro_stop,
    states.is_first,
    {{ factorypack_instant("states.run_from_ms") }} as stop_started_at,
    {{ factorypack_seconds("states.run_to_ms - states.run_from_ms") }} as stop_duration_s,
    states.is_open
from states
inner join shifts on states.shift_id = shifts.shift_id
