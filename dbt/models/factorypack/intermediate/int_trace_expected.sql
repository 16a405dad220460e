{#- What each line that is traced should have scanned, and the units that it is asked of: by the counter of its pacing station
    those made in the shift; where nothing counts, those of the orders that ended in it. -#}
with lines as (
    select
        stations.line_id,
        stations.station_id as pacing_station_id,
        trace.least_coverage,
        trace.target_coverage
    from {{ ref('int_stations') }} as stations
    inner join {{ ref('factorypack_trace') }} as trace on stations.line_id = trace.line_id
    where stations.is_pacing and stations.calendar = '{{ var("calendar") }}'
),

counting as (
    select distinct station_id from {{ ref('int_station_tags') }}
    where measurement = 'good_count'
    union distinct
    select distinct station_id from {{ ref('stg_plant_files__machine_counts') }}
),

asked as (
    select
        stations.line_id,
        counts.shift_id,
        'good_count' as basis,
        counts.product_id,
        sum(counts.good_units) as units
    from {{ ref('int_station_counts') }} as counts
    inner join {{ ref('int_stations') }} as stations on counts.station_id = stations.station_id
    where counts.shift_id is not null and stations.is_pacing
    group by stations.line_id, counts.shift_id, counts.product_id
    union all
    select
        orders.line_id,
        shifts.shift_id,
        'order_quantity' as basis,
        orders.product_id,
        sum(orders.ordered_units) as units
    from {{ ref('stg_mes__production_orders') }} as orders
    inner join {{ ref('int_trace_shifts') }} as shifts
        on {{ epoch_ms("orders.ended_at") }} >= shifts.from_ms and {{ epoch_ms("orders.ended_at") }} < shifts.to_ms
    group by orders.line_id, shifts.shift_id, orders.product_id
),

by_basis as (
    select
        lines.line_id,
        lines.least_coverage,
        lines.target_coverage,
        case when counting.station_id is not null then 'good_count' else 'order_quantity' end as basis
    from lines
    left join counting on lines.pacing_station_id = counting.station_id
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    by_basis.line_id,
    by_basis.least_coverage,
    by_basis.target_coverage,
    by_basis.basis,
    cast(coalesce(asked.units, 0) as bigint) as expected_units,
    coalesce(asked.product_id, 'none') as product_id
from by_basis
cross join {{ ref('int_shifts') }} as shifts
left join asked
    on by_basis.line_id = asked.line_id and shifts.shift_id = asked.shift_id and by_basis.basis = asked.basis
