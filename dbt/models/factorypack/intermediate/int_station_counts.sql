{%- set measures = {"good_count": "good_units", "scrap_count": "scrap_units", "rework_count": "rework_units"} -%}
{%- set by_time = "partition by station_id order by at_ms asc, place asc, nth asc" -%}
with stations as (
    select * from {{ ref('int_stations') }}
    where calendar = '{{ var("calendar") }}'
),

tags as (
    select * from {{ ref('int_station_tags') }}
    where measurement in ('good_count', 'scrap_count', 'rework_count')
),

fastest as (
    select
        station_id,
        min(ideal_cycle_s) as fastest_cycle_s
    from {{ ref('int_routings') }}
    where ideal_cycle_s > 0
    group by station_id
),

readings as (
    select
        tags.tag_id,
        tags.station_id,
        tags.measurement,
        tags.counter_width as width,
        readings.observed_at,
        readings.sequence,
        {{ epoch_ms("readings.observed_at") }} as at_ms,
        coalesce({{ factorypack_whole("readings.value_text") }}, {{ factorypack_whole_number("readings.value_double") }}) as shown
    from {{ ref('stg_machines__readings') }} as readings
    inner join tags on readings.tag_id = tags.tag_id
    where readings.quality < {{ ot_bad() }}
),

with_before as (
    select
        readings.*,
        fastest.fastest_cycle_s,
        lag(readings.shown) over (partition by readings.tag_id order by readings.observed_at asc, readings.sequence asc) as shown_before,
        readings.at_ms
        - lag(readings.at_ms) over (partition by readings.tag_id order by readings.observed_at asc, readings.sequence asc) as elapsed_ms
    from readings
    left join fastest on readings.station_id = fastest.station_id
    where readings.shown >= 0
),

{# What falls by more than half of the range may have rolled over; it has, if so many units can have been made meanwhile. #}
dropped as (
    select
        *,
        case
            when shown >= shown_before or shown_before is null then 'no'
            when 2 * (shown_before - shown) > width and {{ factorypack_is_plausible("shown + width - shown_before") }} then 'roll_over'
            else 'reset'
        end as drop_kind
    from with_before
),

{# After a reset the counter shows what was made since; what was made between the last reading and the reset is not known. #}
steps as (
    select
        station_id,
        at_ms,
        measurement,
        case
            when shown_before is null then 0
            when drop_kind = 'no' then shown - shown_before
            when drop_kind = 'roll_over' then shown + width - shown_before
            when {{ factorypack_is_plausible("shown") }} then shown
            else 0
        end as units,
        case when drop_kind = 'roll_over' then 1 else 0 end as roll_overs,
        case when drop_kind = 'reset' then 1 else 0 end as resets
    from dropped
),

counters as (
    select
        station_id,
        min(at_ms) as first_ms
    from readings
    group by station_id
),

{# One row a millisecond in which anything was counted; of files and corrections each row stays by itself. #}
counted as (
    select
        station_id,
        at_ms,
        cast(null as varchar) as own_order_id,
        cast(null as varchar) as own_product_id,
        {%- for measurement, units in measures.items() %}
            cast(sum(case when measurement = '{{ measurement }}' then units else 0 end) as bigint) as {{ units }},
        {%- endfor %}
        cast(sum(roll_overs) as bigint) as roll_overs,
        cast(sum(resets) as bigint) as resets,
        cast(0 as bigint) as corrected_units
    from steps
    where units <> 0 or resets > 0
    group by station_id, at_ms
    union all
    select
        files.station_id,
        {{ epoch_ms("files.from_at") }} as at_ms,
        files.order_id as own_order_id,
        files.product_id as own_product_id,
        files.good_units,
        coalesce(files.scrap_units, 0) as scrap_units,
        coalesce(files.rework_units, 0) as rework_units,
        cast(0 as bigint) as roll_overs,
        cast(0 as bigint) as resets,
        cast(0 as bigint) as corrected_units
    from {{ ref('stg_plant_files__machine_counts') }} as files
    left join counters on files.station_id = counters.station_id
    where
        (counters.first_ms is null or {{ epoch_ms("files.to_at") }} <= counters.first_ms)
        and files.from_at >= {{ window_starts_at() }}
        and files.from_at < {{ window_ends_at() }}
    union all
    select
        station_id,
        {{ epoch_ms("from_at") }} as at_ms,
        cast(null as varchar) as own_order_id,
        cast(null as varchar) as own_product_id,
        {%- for units in measures.values() %}
            case when what = '{{ units }}' then coalesce({{ factorypack_whole("new_value") }}, 0) else 0 end as {{ units }},
        {%- endfor %}
        cast(0 as bigint) as roll_overs,
        cast(0 as bigint) as resets,
        coalesce({{ factorypack_whole("new_value") }}, 0) as corrected_units
    from {{ ref('stg_mes__manual_corrections') }}
    where
        what in ('good_units', 'scrap_units', 'rework_units')
        and from_at >= {{ window_starts_at() }}
        and from_at < {{ window_ends_at() }}
),

shift_parts as (
    {{ close_period_parts() }}
),

parts as (
    select
        stations.station_id,
        {{ epoch_ms("shift_parts.starts_at") }} as from_ms,
        {{ epoch_ms("shift_parts.ends_at") }} as to_ms,
        shift_parts.shift_id
    from shift_parts
    cross join stations
),

orders as (
    select
        station_id,
        from_ms,
        to_ms,
        coalesce(order_id, '') as order_id,
        coalesce(product_id, '') as product_id
    from {{ ref('int_station_orders') }}
),

{# What was counted among the starts (1) and ends (0) of shifts and orders; a count of the same millisecond comes after both. #}
events as (
    select
        counted.station_id,
        counted.at_ms,
        2 as place,
        row_number() over (order by counted.at_ms asc) as nth,
        cast(null as varchar) as shift_id,
        cast(null as varchar) as order_id,
        cast(null as varchar) as product_id,
        counted.own_order_id,
        counted.own_product_id,
        counted.good_units,
        counted.scrap_units,
        counted.rework_units,
        counted.roll_overs,
        counted.resets,
        counted.corrected_units
    from counted
    inner join stations on counted.station_id = stations.station_id
    {% for relation, at, place, values in [
        ("parts", "from_ms", 1, ["shift_id", "null", "null"]), ("parts", "to_ms", 0, ["''", "null", "null"]),
        ("orders", "from_ms", 1, ["null", "order_id", "product_id"]), ("orders", "to_ms", 0, ["null", "''", "''"]),
    ] %}
        union all
        select
            station_id,
            {{ at }} as at_ms,
            {{ place }} as place,
            0 as nth,
            {{ values[0] }},
            {{ values[1] }},
            {{ values[2] }},
            cast(null as varchar) as own_order_id,
            cast(null as varchar) as own_product_id,
            cast(null as bigint) as good_units,
            cast(null as bigint) as scrap_units,
            cast(null as bigint) as rework_units,
            cast(null as bigint) as roll_overs,
            cast(null as bigint) as resets,
            cast(null as bigint) as corrected_units
        from {{ relation }}
    {% endfor %}
),

placed as (
    select
        station_id,
        place,
        nullif({{ last_known("shift_id", by_time) }}, '') as shift_id,
        nullif({{ last_known("order_id", by_time) }}, '') as order_in_force,
        nullif({{ last_known("product_id", by_time) }}, '') as product_in_force,
        own_order_id,
        own_product_id,
        good_units,
        scrap_units,
        rework_units,
        roll_overs,
        resets,
        corrected_units
    from events
)

select
    station_id,
    shift_id,
    cast(sum(good_units) as bigint) as good_units,
    cast(sum(scrap_units) as bigint) as scrap_units,
    cast(sum(rework_units) as bigint) as rework_units,
    cast(sum(roll_overs) as bigint) as counter_roll_overs,
    cast(sum(resets) as bigint) as counter_resets,
    cast(sum(corrected_units) as bigint) as corrected_units,
    coalesce(own_order_id, order_in_force, 'none') as order_id,
    coalesce(own_product_id, product_in_force, 'none') as product_id
from placed
where place = 2
group by
    station_id,
    shift_id,
    coalesce(own_order_id, order_in_force, 'none'),
    coalesce(own_product_id, product_in_force, 'none')
