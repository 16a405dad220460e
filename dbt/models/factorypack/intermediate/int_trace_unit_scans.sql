{#- The good units that a shift's coverage asks for, at each station of their routing: scanned there, elsewhere, or nowhere. -#}
with expected as (
    select distinct
        shift_id,
        line_id,
        basis
    from {{ ref('int_trace_expected') }}
),

parts as (
    {{ close_period_parts() }}
),

good as (
    select * from {{ ref('int_trace_units') }}
    where serial_status = 'good'
),

of_counts as (
    select
        expected.shift_id,
        expected.line_id,
        good.serial,
        good.product_id
    from expected
    inner join parts on expected.shift_id = parts.shift_id
    inner join good on expected.line_id = good.line_id and parts.starts_at <= good.made_at and parts.ends_at > good.made_at
    where expected.basis = 'good_count'
),

of_orders as (
    select
        expected.shift_id,
        expected.line_id,
        good.serial,
        good.product_id
    from expected
    inner join {{ ref('int_trace_shifts') }} as shifts on expected.shift_id = shifts.shift_id
    inner join {{ ref('stg_mes__production_orders') }} as orders
        on
            expected.line_id = orders.line_id
            and {{ epoch_ms("orders.ended_at") }} >= shifts.from_ms
            and {{ epoch_ms("orders.ended_at") }} < shifts.to_ms
    inner join good on orders.order_id = good.order_id and shifts.to_ms > good.made_ms
    where expected.basis = 'order_quantity'
),

units as (
    select * from of_counts
    union all
    select * from of_orders
),

scanned as (
    select
        serial,
        station_id,
        min(left_ms) as first_ms
    from {{ ref('int_trace_visits') }}
    where is_known_unit
    group by serial, station_id
),

anywhere as (
    select
        serial,
        min(first_ms) as first_ms
    from scanned
    group by serial
)

select
    units.shift_id,
    units.line_id,
    units.serial,
    routes.station_id,
    coalesce(scanned.first_ms < shifts.to_ms, false) as is_scanned,
    coalesce(anywhere.first_ms < shifts.to_ms, false) as is_scanned_anywhere
from units
inner join {{ ref('int_trace_shifts') }} as shifts on units.shift_id = shifts.shift_id
inner join {{ ref('int_trace_routes') }} as routes on units.line_id = routes.line_id and units.product_id = routes.product_id
left join scanned on units.serial = scanned.serial and routes.station_id = scanned.station_id
left join anywhere on units.serial = anywhere.serial
