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
    (of two rows with one key the one that came first), and per tag the last ones before it: of good and of bad quality, the later
    of which is in force when the window starts, and that by which a bridge says that it has no connection. A scan that goes back for weeks is dear,
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
{%- set by_kind = "partition by readings.tag_id, " ~ is_no_connection() ~ ", readings.quality < " ~ ot_bad() -%}
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
        row_number() over ({{ by_kind }} order by {{ newest_first }}) as nth
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
        row_number() over ({{ by_kind }} order by {{ newest_first }}) as nth
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

{#- When nothing is known of what `tags` (a relation with `key`, tag_id and source) say: a source that was silent for longer
    than a value is believed, and gaps that were not filled; joined and cut to `bounds` (starts_ms, ends_ms). Any tag of the
    dictionary shows that its source is alive. One row per key and interruption: key, from_ms, to_ms. -#}
{% macro ot_interruptions(key, tags, bounds, readings, dictionary, gaps) %}
{%- set max_hold = max_hold_ms() -%}
with tags as (
    {{ tags }}
),

bounds as (
    {{ bounds }}
),

heard as (
    select
        dictionary.source,
        {{ epoch_ms("readings.observed_at") }} as heard_ms
    from {{ ref(readings) }} as readings
    inner join {{ ref(dictionary) }} as dictionary on readings.tag_id = dictionary.tag_id
    where not {{ is_no_connection() }}
),

{# Within a stretch as long as the longest hold no silence can be longer than that, so its ends say enough. #}
stretches as (
    select
        source,
        min(heard_ms) as first_ms,
        max(heard_ms) as last_ms
    from heard
    group by source, {{ whole("heard_ms", max_hold) }}
),

sources as (
    select distinct source from tags
),

with_edges as (
    select
        source,
        first_ms,
        last_ms
    from stretches
    union all
    select
        sources.source,
        bounds.starts_ms - {{ max_hold }} as first_ms,
        bounds.starts_ms - {{ max_hold }} as last_ms
    from sources
    cross join bounds
    union all
    select
        sources.source,
        bounds.ends_ms as first_ms,
        bounds.ends_ms as last_ms
    from sources
    cross join bounds
),

silences as (
    select
        source,
        max(last_ms) over (
            partition by source order by first_ms asc, last_ms asc rows between unbounded preceding and current row
        ) + {{ max_hold }} as from_ms,
        lead(first_ms) over (partition by source order by first_ms asc, last_ms asc) as to_ms
    from with_edges
),

interruptions as (
    select
        tags.{{ key }},
        silences.from_ms,
        silences.to_ms
    from silences
    inner join tags on silences.source = tags.source
    union all
    select
        tags.{{ key }},
        {{ epoch_ms("gaps.from_at") }} as from_ms,
        {{ epoch_ms("gaps.to_at") }} as to_ms
    from {{ ref(gaps) }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
    where gaps.state in ('open', 'lost')
),

clipped as (
    select
        interruptions.{{ key }},
        {{ later_of("interruptions.from_ms", "bounds.starts_ms") }} as from_ms,
        {{ earlier_of("interruptions.to_ms", "bounds.ends_ms") }} as to_ms
    from interruptions
    cross join bounds
),

with_earlier as (
    select
        *,
        max(to_ms) over (
            partition by {{ key }} order by from_ms asc, to_ms asc rows between unbounded preceding and 1 preceding
        ) as earlier_to_ms
    from clipped
    where from_ms < to_ms
),

with_island as (
    select
        *,
        sum(case when from_ms <= earlier_to_ms then 0 else 1 end) over (
            partition by {{ key }} order by from_ms asc, to_ms asc rows between unbounded preceding and current row
        ) as island
    from with_earlier
)

select
    {{ key }},
    min(from_ms) as from_ms,
    max(to_ms) as to_ms
from with_island
group by {{ key }}, island
{% endmacro %}
