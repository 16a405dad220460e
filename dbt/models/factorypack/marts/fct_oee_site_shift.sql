{%- set summed = [
    "clock_s", "pot_s", "planned_s", "pbt_s", "no_data_s", "known_s", "apt_s", "aust_s", "adet_s", "adot_s", "unknown_s", "micro_stop_s",
    "running_s",
] -%}
{%- set counted = ["good_units", "scrap_units", "rework_units", "produced_units", "units_without_ideal"] -%}
with lines as (
    select * from {{ ref('fct_oee_line_shift') }}
),

summed as (
    select
        calendar,
        shift_id,
        production_date,
        shift,
        shift_name,
        cast(count(*) as integer) as lines,
        {%- for column in summed %}
            cast(sum({{ column }}) as decimal(18, 3)) as {{ column }},
        {%- endfor %}
        {%- for column in counted %}
            cast(sum({{ column }}) as bigint) as {{ column }},
        {%- endfor %}
        cast(sum(micro_stops) as integer) as micro_stops,
        cast(sum(ideal_s) as decimal(18, 6)) as ideal_s,
        cast(sum(ideal_good_s) as decimal(18, 6)) as ideal_good_s,
        cast(sum(case when is_doubtful then 1 else 0 end) as integer) as doubtful_lines,
        case when min(micro_stop_treatment) = max(micro_stop_treatment) then min(micro_stop_treatment) else 'mixed' end
            as micro_stop_treatment
    from lines
    group by calendar, shift_id, production_date, shift, shift_name
),

figured as (
    select
        *,
        cast({{ ratio("running_s", "known_s", 6) }} as decimal(18, 6)) as availability,
        cast(case when {{ factorypack_has_ideal() }} then {{ ratio("ideal_s", "running_s", 6) }} end as decimal(18, 6)) as effectiveness,
        cast({{ ratio("ideal_good_s", "ideal_s", 6) }} as decimal(18, 6)) as quality,
        cast(case
            when known_s = 0 or not {{ factorypack_has_ideal() }} then null
            when running_s = 0 or produced_units = 0 then 0
            else {{ ratio("ideal_good_s", "known_s", 6) }}
        end as decimal(18, 6)) as oee,
        cast(case
            when known_s = 0 or not {{ factorypack_has_ideal() }} then null
            when running_s = 0 or produced_units = 0 then 0
            else {{ ratio("cast(running_s + aust_s as decimal(20, 3)) * ideal_good_s", "cast(known_s as decimal(20, 3)) * running_s", 6) }}
        end as decimal(18, 6)) as nee
    from summed
)

select
    calendar,
    shift_id,
    production_date,
    shift,
    shift_name,
    lines,
    doubtful_lines,
    {%- for column in summed %}
        {{ column }},
    {%- endfor %}
    micro_stops,
    micro_stop_treatment,
    {%- for column in counted %}
        {{ column }},
    {%- endfor %}
    ideal_s,
    ideal_good_s,
    availability,
    effectiveness,
    quality,
    oee,
    nee,
    cast(case when oee = 0 then 0 when oee is not null then {{ ratio("ideal_good_s", "clock_s", 6) }} end as decimal(18, 6)) as teep,
    cast({{ ratio("scrap_units", "produced_units", 6) }} as decimal(18, 6)) as scrap_ratio,
    cast({{ ratio("rework_units", "produced_units", 6) }} as decimal(18, 6)) as rework_ratio,
    cast({{ ratio("planned_s", "pot_s", 6) }} as decimal(18, 6)) as planned_share,
    cast({{ ratio("no_data_s", "pbt_s", 6) }} as decimal(18, 6)) as no_data_share
from figured
