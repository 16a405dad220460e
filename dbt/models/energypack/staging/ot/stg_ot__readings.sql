{#- A scan that goes back for weeks is dear, so it asks only for tags that were silent shortly before the window. -#}
{%- set columns = [
    "readings.tag_id", "readings.observed_at", "readings.sequence", "readings.value_double", "readings.value_text",
    "readings.value_bool", "readings.quality", "readings.clock", "readings.unit", "readings.received_at",
    "readings._segment_id", "readings._ordinal",
] | join(", ") -%}
{%- set kept = [
    "tag_id", "observed_at", "sequence", "value_double", "value_text", "value_bool", "quality", "clock", "unit",
] | join(", ") -%}
{%- set recent = window_starts_at() ~ " - interval '" ~ var("ot_look_back_near_h") ~ "' hour" -%}
{%- set earliest = window_starts_at() ~ " - interval '" ~ var("ot_look_back_h") ~ "' hour" -%}
{%- set newest_first = "observed_at desc, sequence desc, _ordinal asc, _segment_id asc, received_at asc, quality asc" -%}
with tags as (
    select tag_id from {{ ref('energypack_tags') }}
),

in_window as (
    select {{ columns }}
    from {{ source('ot', 'readings') }} as readings
    inner join tags on readings.tag_id = tags.tag_id
    where
        {{ ot_at_cut_off() }}
        and readings.observed_at >= {{ window_starts_at() }}
        and readings.observed_at < {{ window_ends_at() }}
),

numbered as (
    select
        *,
        row_number() over (
            partition by tag_id, observed_at, sequence
            order by _ordinal asc, _segment_id asc, received_at asc, quality asc
        ) as nth
    from in_window
),

shortly_before as (
    select
        {{ columns }},
        row_number() over (partition by readings.tag_id, {{ is_no_connection() }} order by {{ newest_first }}) as nth
    from {{ source('ot', 'readings') }} as readings
    inner join tags on readings.tag_id = tags.tag_id
    where
        {{ ot_at_cut_off() }}
        and readings.observed_at >= {{ recent }}
        and readings.observed_at < {{ window_starts_at() }}
),

in_force as (
    select {{ kept }} from shortly_before
    where nth = 1
),

silent as (
    select tags.tag_id
    from tags
    left join in_force on tags.tag_id = in_force.tag_id and not {{ is_no_connection() }}
    where in_force.tag_id is null
),

long_before as (
    select
        {{ columns }},
        row_number() over (partition by readings.tag_id, {{ is_no_connection() }} order by {{ newest_first }}) as nth
    from {{ source('ot', 'readings') }} as readings
    inner join silent on readings.tag_id = silent.tag_id
    where
        {{ ot_at_cut_off() }}
        and readings.observed_at >= {{ earliest }}
        and readings.observed_at < {{ recent }}
)

select {{ kept }} from numbered
where nth = 1
union all
select {{ kept }} from in_force
union all
select {{ kept }} from long_before
where nth = 1
