{#- What models of OT readings share. Times are counted in whole milliseconds since 1970 UTC: on integers both engines
    agree to the last digit, and they are fast on millions of rows. -#}

{#- OPC UA status codes: from `ot_bad()` on nothing is known; from `ot_uncertain()` on the value counts and is counted. -#}
{% macro ot_bad() %}{{ return("2147483648") }}{% endmacro %}

{% macro ot_uncertain() %}{{ return("1073741824") }}{% endmacro %}

{#- The sample by which a bridge says that it has no connection; it tells of the mirror, not of the plant. -#}
{% macro is_no_connection() -%} (quality = 2150694912 and clock = 'bridge') {%- endmacro %}


{#- The condition by which a row of `ot` was in at the close's cut-off. A close that froze before there was a mirror has
    no entry for it and reads nothing, so that clearing it builds what it built. -#}
{% macro ot_at_cut_off() %}
    {%- set cut_off = var("cut_off") -%}
    {%- if cut_off == "all" -%}
        true
    {%- elif not cut_off.get("ot") -%}
        false
    {%- else -%}
        _ordinal <= {{ cut_off.ot.commit_lsn }}
    {%- endif -%}
{% endmacro %}


{#- Whole milliseconds from 1970 UTC to an instant; what is finer is cut off. -#}
{% macro epoch_ms(instant) %}{{ return(adapter.dispatch("epoch_ms")(instant)) }}{% endmacro %}

{% macro default__epoch_ms(instant) %}{{ return("epoch_ms(" ~ instant ~ ")") }}{% endmacro %}

{% macro trino__epoch_ms(instant) %}
    {{- return("date_diff('millisecond', timestamp '1970-01-01 00:00:00 UTC', " ~ instant ~ ")") -}}
{% endmacro %}


{#- num / den of whole numbers above zero, cut off to a whole number. -#}
{% macro whole(num, den) %}{{ return(adapter.dispatch("whole")(num, den)) }}{% endmacro %}

{% macro default__whole(num, den) %}{{ return("((" ~ num ~ ") // " ~ den ~ ")") }}{% endmacro %}

{% macro trino__whole(num, den) %}{{ return("((" ~ num ~ ") / " ~ den ~ ")") }}{% endmacro %}


{#- How long a value is believed after its source was last heard, in milliseconds. -#}
{% macro max_hold_ms() %}{{ return((var("ot_max_hold_h") * 3600000) | int) }}{% endmacro %}


{#- A reading's double as a decimal of six decimals, by the engine's cast: the nearest, ties away from zero. From then on
    figures are exact. A value of a billion or more, in whatever unit, is none: no instrument shows it, and it would
    overflow the sums of all others. -#}
{% macro exact_reading(value) -%}
    case when abs({{ value }}) < 1000000000 then cast({{ value }} as decimal(18, 6)) end
{%- endmacro %}


{#- The readings of a pack's tags as they were in at the cut-off: those of the close's window, one per tag, time and sequence
    (of two rows with one key the one that came first), and per tag the last one before it, which is in force when the
    window starts, and the last by which a bridge says that it has no connection. A scan that goes back for weeks is dear,
    so it asks only for tags that were silent shortly before the window. -#}
{% macro ot_readings(tags_seed) %}
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
    select tag_id from {{ ref(tags_seed) }}
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
{% endmacro %}


{#- The intervals in which readings of a pack's tags may be missing, each in its latest state at the cut-off. -#}
{% macro ot_gaps(tags_seed) %}
with tags as (
    select tag_id from {{ ref(tags_seed) }}
),

at_cut_off as (
    select
        gaps.gap_id,
        gaps.tag_id,
        gaps.source,
        gaps.from_at,
        gaps.to_at,
        gaps.cause,
        gaps.state,
        gaps.recovered_rows,
        gaps.reason,
        gaps.recorded_at,
        gaps._ordinal
    from {{ source('ot', 'gaps') }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
    where
        {{ ot_at_cut_off() }}
        and gaps.to_at >= {{ window_starts_at() }} - interval '{{ var("ot_look_back_h") }}' hour
        and gaps.from_at < {{ window_ends_at() }}
),

numbered as (
    select
        gap_id,
        tag_id,
        source,
        from_at,
        to_at,
        cause,
        state,
        recovered_rows,
        reason,
        row_number() over (
            partition by gap_id, tag_id
            order by _ordinal desc, case when state = 'open' then 1 else 0 end asc, recorded_at desc, state asc
        ) as nth
    from at_cut_off
)

select
    gap_id,
    tag_id,
    source,
    from_at,
    to_at,
    cause,
    state,
    recovered_rows,
    reason
from numbered
where nth = 1
{% endmacro %}
