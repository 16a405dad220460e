{#- What the models of machines share. Instants are whole milliseconds since 1970 UTC, as in ot.sql. -#}

{#- Of intervals that may overlap, pieces that do not: over each instant the interval counts that comes last by `order_by`.
    `relation` has from_ms, to_ms, the columns of `group` and those of `columns`. Only intervals that overlap are ever compared. -#}
{% macro factorypack_topmost(relation, group, order_by, columns) -%}
{%- set key = group | join(", ") -%}
{%- set by_key = "partition by " ~ key ~ " order by from_ms asc, standing asc rows between unbounded preceding and " -%}
with standing_ones as (
    select
        {{ key }},
        from_ms,
        to_ms,
        {{ columns | join(", ") }},
        row_number() over (partition by {{ key }} order by {{ order_by }}) as standing
    from {{ relation }}
    where from_ms < to_ms
),

reaching as (
    select
        *,
        max(to_ms) over ({{ by_key }} 1 preceding) as earlier_to_ms
    from standing_ones
),

islands as (
    select
        *,
        sum(case when from_ms < earlier_to_ms then 0 else 1 end) over ({{ by_key }} current row) as island
    from reaching
),

edges as (
    select distinct
        {% for column in group %}islands.{{ column }}, {% endfor %}
        islands.island,
        case when sides.side = 0 then islands.from_ms else islands.to_ms end as edge_ms
    from islands
    cross join (values (0), (1)) as sides (side)
),

pieces as (
    select
        {{ key }},
        island,
        edge_ms as from_ms,
        lead(edge_ms) over (partition by {{ key }}, island order by edge_ms asc) as to_ms
    from edges
),

covered as (
    select
        {% for column in group %}pieces.{{ column }}, {% endfor %}
        pieces.from_ms,
        pieces.to_ms,
        max(islands.standing) as standing
    from pieces
    inner join islands
        on
            {% for column in group %}pieces.{{ column }} = islands.{{ column }} and {% endfor %}
            pieces.island = islands.island
            and islands.from_ms <= pieces.from_ms
            and islands.to_ms >= pieces.to_ms
    where pieces.to_ms is not null
    group by {% for column in group %}pieces.{{ column }}, {% endfor %} pieces.from_ms, pieces.to_ms
)

select
    {% for column in group %}covered.{{ column }}, {% endfor %}
    covered.from_ms,
    covered.to_ms
    {%- for column in columns %},
    standing_ones.{{ column }}
    {%- endfor %}
from covered
inner join standing_ones
    on
        {% for column in group %}covered.{{ column }} = standing_ones.{{ column }} and {% endfor %}
        covered.standing = standing_ones.standing
{%- endmacro %}


{#- Both ends of an interval for each of some words, to be joined to intervals that are then read only once: is_start, `column`. -#}
{% macro factorypack_edges(column, words) -%}
    (values {% for word in words %}(0, '{{ word }}'), (1, '{{ word }}'){{ ", " if not loop.last }}{% endfor %}) as edges (is_start, {{ column }})
{%- endmacro %}


{#- The instant of whole milliseconds since 1970 UTC. -#}
{% macro factorypack_instant(ms) %}{{ return(adapter.dispatch("factorypack_instant")(ms)) }}{% endmacro %}

{% macro default__factorypack_instant(ms) %}{{ return("make_timestamptz(cast(" ~ ms ~ " as bigint) * 1000)") }}{% endmacro %}

{% macro trino__factorypack_instant(ms) %}
    {{- return("cast(from_unixtime_nanos(cast(" ~ ms ~ " as decimal(38, 0)) * 1000000) as timestamp(6) with time zone)") -}}
{% endmacro %}


{#- Milliseconds as seconds, exactly. -#}
{% macro factorypack_seconds(ms) -%}
    cast(cast({{ ms }} as decimal(18, 3)) * cast(0.001 as decimal(4, 3)) as decimal(18, 3))
{%- endmacro %}


{#- A text as a whole number, the nearest one, ties away from zero; null where it is none. -#}
{% macro factorypack_whole(text) -%} {{ factorypack_whole_number("trim(" ~ text ~ ")") }} {%- endmacro %}

{#- The same of a double. By way of a decimal, since engines round doubles differently. -#}
{% macro factorypack_whole_number(value) -%} try_cast(try_cast({{ value }} as decimal(38, 9)) as bigint) {%- endmacro %}


{#- Whether a counter may have made `units` since its last reading: three times what the fastest routing of the station allows,
    and ten more; without a routing, a quarter of the counter's range. -#}
{% macro factorypack_is_plausible(units) -%}
    case
        when fastest_cycle_s is not null
            then cast({{ units }} as decimal(20, 0)) * fastest_cycle_s * 1000 <= 3 * elapsed_ms + 10 * fastest_cycle_s * 1000
        else 4 * ({{ units }}) <= coalesce(width, 65536)
    end
{%- endmacro %}


{#- Availability, effectiveness, quality, OEE and NEE to six decimals, from columns in milliseconds and units: known_ms (planned
    busy time of which there is data), running_ms (production time, and micro-stops where these count against effectiveness),
    setup_ms, ideal_ms (planned run time of what was produced), good_units, produced_units, units_without_ideal. OEE is taken
    from the exact figures, so that no rounding is multiplied; where nothing ran or nothing was made it is 0. -#}
{% macro factorypack_figures() -%}
        cast({{ ratio("running_ms", "known_ms", 6) }} as decimal(18, 6)) as availability,
        cast(case when {{ factorypack_has_ideal() }} then {{ ratio("ideal_ms", "running_ms", 6) }} end as decimal(18, 6)) as effectiveness,
        cast({{ ratio("good_units", "produced_units", 6) }} as decimal(18, 6)) as quality,
        cast(case
            when known_ms = 0 or not {{ factorypack_has_ideal() }} then null
            when running_ms = 0 or produced_units = 0 then 0
            else {{ ratio("ideal_ms * cast(good_units as decimal(12, 0))", "cast(known_ms as decimal(20, 0)) * cast(produced_units as decimal(12, 0))", 6) }}
        end as decimal(18, 6)) as oee,
        cast(case
            when known_ms = 0 or not {{ factorypack_has_ideal() }} then null
            when running_ms = 0 or produced_units = 0 then 0
            else {{ ratio("ideal_ms * cast(good_units as decimal(12, 0)) * cast(running_ms + setup_ms as decimal(12, 0))", "cast(known_ms as decimal(20, 0)) * cast(running_ms as decimal(12, 0)) * cast(produced_units as decimal(12, 0))", 6) }}
        end as decimal(18, 6)) as nee
{%- endmacro %}

{#- Whether what was produced has a planned run time at all. -#}
{% macro factorypack_has_ideal() -%} (produced_units = 0 or units_without_ideal < produced_units) {%- endmacro %}


{#- A reading of a drive in the unit of its quantity: degC, mm/s or percent of rated. A unit that is not known stops the build. -#}
{% macro factorypack_condition_value(quantity, reading, unit) -%}
    case
        when {{ quantity }} = 'temperature' then cast({{ to_degc(reading, unit) }} as decimal(18, 6))
        when {{ quantity }} = 'vibration' and {{ unit }} = 'mm_per_s' then cast({{ reading }} as decimal(18, 6))
        when {{ quantity }} = 'load' and {{ unit }} = 'pct' then cast({{ reading }} as decimal(18, 6))
        else cast({{ unknown_unit(unit, "condition", "factorypack_condition_value") }} as decimal(18, 6))
    end
{%- endmacro %}
