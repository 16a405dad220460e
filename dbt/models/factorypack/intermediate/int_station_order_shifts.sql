with states as (
    select * from {{ ref('int_station_states') }}
),

times as (
    select
        station_id,
        shift_id,
        order_id,
        product_id,
        {%- for category in ["planned", "no_data", "production", "setup", "delay", "down", "unknown"] %}
            cast(sum(case when category = '{{ category }}' then duration_ms else 0 end) as bigint) as {{ category }}_ms,
        {%- endfor %}
        cast(sum(case when is_micro_stop then duration_ms else 0 end) as bigint) as micro_stop_ms,
        cast(sum(case when is_micro_stop and is_first then 1 else 0 end) as bigint) as micro_stops,
        cast(sum(case when category = 'delay' and not is_micro_stop then duration_ms else 0 end) as bigint) as failure_ms,
        cast(sum(case when category = 'delay' and not is_micro_stop and is_first then 1 else 0 end) as bigint) as failures,
        cast(sum(case when category = 'setup' and is_first then 1 else 0 end) as bigint) as changeovers
    from states
    group by station_id, shift_id, order_id, product_id
),

counts as (
    select * from {{ ref('int_station_counts') }}
    where shift_id is not null
),

keys as (
    select
        station_id,
        shift_id,
        order_id,
        product_id
    from times
    union distinct
    select
        station_id,
        shift_id,
        order_id,
        product_id
    from counts
),

routings as (
    select * from {{ ref('int_routings') }}
),

joined as (
    select
        keys.station_id,
        keys.shift_id,
        keys.order_id,
        keys.product_id,
        {%- for column in [
            "planned_ms", "no_data_ms", "production_ms", "setup_ms", "delay_ms", "down_ms", "unknown_ms", "micro_stop_ms",
            "micro_stops", "failure_ms", "failures", "changeovers",
        ] %}
            coalesce(times.{{ column }}, 0) as {{ column }},
        {%- endfor %}
        {%- for column in ["good_units", "scrap_units", "rework_units", "counter_roll_overs", "counter_resets", "corrected_units"] %}
            coalesce(counts.{{ column }}, 0) as {{ column }},
        {%- endfor %}
        coalesce(counts.good_units + counts.scrap_units + counts.rework_units, 0) as produced_units,
        coalesce(own_routing.ideal_cycle_s, any_routing.ideal_cycle_s) as ideal_cycle_s
    from keys
    left join times
        on
            keys.station_id = times.station_id
            and keys.shift_id = times.shift_id
            and keys.order_id = times.order_id
            and keys.product_id = times.product_id
    left join counts
        on
            keys.station_id = counts.station_id
            and keys.shift_id = counts.shift_id
            and keys.order_id = counts.order_id
            and keys.product_id = counts.product_id
    left join routings as own_routing
        on keys.station_id = own_routing.station_id and keys.product_id = own_routing.product_id
    left join routings as any_routing
        on keys.station_id = any_routing.station_id and any_routing.product_id = '*'
)

select
    *,
    cast(coalesce(cast(produced_units as decimal(12, 0)) * ideal_cycle_s, 0) as decimal(30, 6)) as ideal_s,
    cast(coalesce(cast(good_units as decimal(12, 0)) * ideal_cycle_s, 0) as decimal(30, 6)) as ideal_good_s,
    case when ideal_cycle_s is null then produced_units else 0 end as units_without_ideal
from joined
