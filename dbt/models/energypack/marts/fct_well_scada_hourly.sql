{%- set rates = {"oil_rate": "oil", "gas_rate": "gas", "water_rate": "water", "water_injection_rate": "water_injected"} -%}
{%- set others = {
    "tubing_head_pressure": "tubing_head_pressure_kpa",
    "casing_pressure": "casing_pressure_kpa",
    "tubing_head_temperature": "tubing_head_temperature_degc",
    "choke_opening": "choke_opening_ratio",
} -%}
with tag_hours as (
    select
        *,
        {{ ratio("value_ms", "covered_ms", 12) }} as mean_value,
        {{ ratio("value_ms", "86400000", 12) }} as value_days
    from {{ ref('int_tag_hours') }}
),

converted as (
    select
        well_id,
        field_code,
        production_date,
        started_at,
        ended_at,
        measurement,
        readings,
        uncertain_readings,
        bad_readings,
        cast(covered_ms as decimal(18, 0)) as covered_ms,
        case when covered_ms > 0 then not_zero_ms end as not_zero_ms,
        case
            when measurement in ('tubing_head_pressure', 'casing_pressure') then {{ to_kpa("mean_value", "unit") }}
            when measurement = 'tubing_head_temperature' then {{ to_degc("mean_value", "unit") }}
            when measurement = 'choke_opening' then {{ to_share("mean_value", "unit") }}
            when measurement in ('{{ rates | join("', '") }}') then {{ rate_to_sm3_per_d("mean_value", "unit") }}
        end as figure,
        case
            when covered_ms > 0 and measurement in ('{{ rates | join("', '") }}')
                then {{ rate_to_sm3_per_d("value_days", "unit") }}
        end as volume_sm3
    from tag_hours
),

pivoted as (
    select
        production_date,
        well_id,
        field_code,
        started_at,
        ended_at,
        {% for measurement in (others | list) + (rates | list) %}
            sum(case when measurement = '{{ measurement }}' then figure * covered_ms end) as {{ measurement }}_weighted,
            coalesce(sum(case when measurement = '{{ measurement }}' then covered_ms end), 0) as {{ measurement }}_ms,
        {% endfor %}
        {% for measurement, product in rates.items() %}
            sum(case when measurement = '{{ measurement }}' then volume_sm3 end) as {{ product }}_sm3,
        {% endfor %}
        sum(case when measurement = 'is_running' then not_zero_ms end) as uptime_ms,
        coalesce(sum(case when measurement = 'is_running' then covered_ms end), 0) as uptime_covered_ms,
        sum(readings) as readings,
        sum(uncertain_readings) as uncertain_readings,
        sum(bad_readings) as bad_readings
    from converted
    group by production_date, well_id, field_code, started_at, ended_at
),

averaged as (
    select
        cast('{{ var("calendar") }}' as varchar) as calendar,
        production_date,
        well_id,
        field_code,
        started_at,
        ended_at,
        {% for measurement, column in others.items() %}
            cast({{ ratio(measurement ~ "_weighted", measurement ~ "_ms") }} as decimal(18, 6)) as {{ column }},
            cast({{ ratio(measurement ~ "_ms", "1000", 3) }} as decimal(9, 3)) as {{ measurement }}_covered_s,
        {% endfor %}
        {% for measurement, product in rates.items() %}
            cast({{ ratio(measurement ~ "_weighted", measurement ~ "_ms") }} as decimal(18, 6)) as {{ measurement }}_sm3_per_d,
            cast({{ product }}_sm3 as decimal(18, 6)) as {{ product }}_sm3,
            cast({{ ratio(measurement ~ "_ms", "1000", 3) }} as decimal(9, 3)) as {{ measurement }}_covered_s,
        {% endfor %}
        cast({{ ratio("uptime_ms", "1000", 3) }} as decimal(9, 3)) as uptime_s,
        cast({{ ratio("uptime_covered_ms", "1000", 3) }} as decimal(9, 3)) as uptime_covered_s,
        cast(readings as integer) as readings,
        cast(uncertain_readings as integer) as uncertain_readings,
        cast(bad_readings as integer) as bad_readings
    from pivoted
)

select * from averaged
