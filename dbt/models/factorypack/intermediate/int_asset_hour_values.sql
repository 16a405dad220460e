{#- Both steady time and values are cut at full hours first, so that they meet by equality of station and hour: overlaps of all
    with all would be dear. A value holds for two hours at most, so it reaches into `ot_max_hold_h` further hours; an hour of a shift reaches
    into one. -#}
{%- set hour_ms = 3600000 -%}
{%- set reaches = ((max_hold_ms() | int) + hour_ms - 1) // hour_ms + 1 -%}
with further as (
    {% for n in range(reaches) %}
        select {{ n }} as n
        {{ "" if loop.last else "union all" }}
    {% endfor %}
),

steady as (
    select
        hours.station_id,
        hours.shift_id,
        hours.from_ms as hour_ms,
        {{ later_of("stretches.from_ms", "hours.from_ms") }} as from_ms,
        {{ earlier_of("stretches.to_ms", "hours.to_ms") }} as to_ms
    from {{ ref('int_asset_hours') }} as hours
    inner join {{ ref('int_steady_stretches') }} as stretches
        on
            hours.station_id = stretches.station_id
            and hours.shift_id = stretches.shift_id
            and hours.to_ms > stretches.from_ms
            and hours.from_ms < stretches.to_ms
),

steady_hours as (
    select
        steady.*,
        {{ whole("steady.from_ms", hour_ms) }} + further.n as clock_hour
    from steady
    cross join further
),

steady_pieces as (
    select
        station_id,
        shift_id,
        hour_ms,
        clock_hour,
        {{ later_of("from_ms", "clock_hour * " ~ hour_ms) }} as from_ms,
        {{ earlier_of("to_ms", "(clock_hour + 1) * " ~ hour_ms) }} as to_ms
    from steady_hours
    where clock_hour * {{ hour_ms }} < to_ms
),

{# What was read before, or in an interruption, says nothing of a drive at work, however long it is held. #}
known as (
    select
        tags.station_id,
        steady_pieces.shift_id,
        tags.quantity,
        {{ factorypack_condition_value("tags.quantity", "stretches.reading", "stretches.unit") }} as reading,
        stretches.from_ms,
        stretches.to_ms,
        {{ whole("stretches.from_ms", hour_ms) }} + further.n as clock_hour
    from {{ ref('int_process_stretches') }} as stretches
    inner join {{ ref('int_condition_tags') }} as tags on stretches.tag_id = tags.tag_id
    inner join steady_pieces
        on
            tags.station_id = steady_pieces.station_id
            and steady_pieces.clock_hour = {{ whole("stretches.from_ms", hour_ms) }}
            and stretches.from_ms >= steady_pieces.from_ms
            and stretches.from_ms < steady_pieces.to_ms
    cross join further
),

known_pieces as (
    select
        station_id,
        shift_id,
        quantity,
        reading,
        clock_hour,
        {{ later_of("from_ms", "clock_hour * " ~ hour_ms) }} as from_ms,
        {{ earlier_of("to_ms", "(clock_hour + 1) * " ~ hour_ms) }} as to_ms
    from known
    where clock_hour * {{ hour_ms }} < to_ms
),

overlapping as (
    select
        steady_pieces.station_id,
        steady_pieces.hour_ms,
        known_pieces.quantity,
        known_pieces.reading,
        {{ earlier_of("known_pieces.to_ms", "steady_pieces.to_ms") }}
        - {{ later_of("known_pieces.from_ms", "steady_pieces.from_ms") }} as held_ms
    from steady_pieces
    inner join known_pieces
        on
            steady_pieces.station_id = known_pieces.station_id
            and steady_pieces.shift_id = known_pieces.shift_id
            and steady_pieces.clock_hour = known_pieces.clock_hour
            and steady_pieces.to_ms > known_pieces.from_ms
            and steady_pieces.from_ms < known_pieces.to_ms
)

select
    station_id,
    hour_ms as from_ms,
    quantity,
    cast(min(reading) as decimal(18, 6)) as min_value,
    cast({{ ratio("sum(reading * cast(held_ms as decimal(12, 0)))", "sum(held_ms)", 6) }} as decimal(18, 6)) as mean_value,
    cast(max(reading) as decimal(18, 6)) as max_value,
    cast(sum(held_ms) as bigint) as known_ms
from overlapping
where reading is not null
group by station_id, hour_ms, quantity
