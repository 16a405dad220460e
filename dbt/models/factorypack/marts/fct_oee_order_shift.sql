with shifts as (
    select * from {{ ref('int_shifts') }}
),

stations as (
    select * from {{ ref('int_stations') }}
),

rules as (
    select * from {{ ref('int_line_rules') }}
),

orders as (
    select
        orders.*,
        shifts.calendar,
        shifts.production_date,
        stations.line_id,
        rules.micro_stop_treatment,
        cast(orders.ideal_s * 1000 as decimal(22, 3)) as ideal_ms,
        orders.production_ms + orders.setup_ms + orders.delay_ms + orders.down_ms + orders.unknown_ms as known_ms,
        orders.production_ms
        + case when rules.micro_stop_treatment = 'performance' then orders.micro_stop_ms else 0 end as running_ms
    from {{ ref('int_station_order_shifts') }} as orders
    inner join shifts on orders.shift_id = shifts.shift_id
    inner join stations on orders.station_id = stations.station_id
    inner join rules on stations.line_id = rules.line_id
),

figured as (
    select
        *,
        {{ factorypack_figures() }}
    from orders
)

select
    cast(calendar as varchar) as calendar,
    shift_id,
    production_date,
    line_id,
    station_id,
    order_id,
    product_id,
    {{ factorypack_seconds("planned_ms") }} as planned_s,
    {{ factorypack_seconds("no_data_ms") }} as no_data_s,
    {{ factorypack_seconds("production_ms") }} as apt_s,
    {{ factorypack_seconds("setup_ms") }} as aust_s,
    {{ factorypack_seconds("delay_ms") }} as adet_s,
    {{ factorypack_seconds("down_ms") }} as adot_s,
    {{ factorypack_seconds("unknown_ms") }} as unknown_s,
    {{ factorypack_seconds("micro_stop_ms") }} as micro_stop_s,
    cast(micro_stops as integer) as micro_stops,
    micro_stop_treatment,
    cast(failures as integer) as failures,
    cast(changeovers as integer) as changeovers,
    good_units,
    scrap_units,
    rework_units,
    produced_units,
    units_without_ideal,
    cast(ideal_cycle_s as decimal(18, 6)) as ideal_cycle_s,
    cast(ideal_s as decimal(18, 6)) as ideal_s,
    cast(ideal_good_s as decimal(18, 6)) as ideal_good_s,
    availability,
    effectiveness,
    quality,
    oee,
    nee
from figured
