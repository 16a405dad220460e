{%- set quantities = {"temperature": "temperature_degc", "vibration": "vibration_mm_per_s", "load": "load_pct"} -%}
{%- set least_steady_ms = var("condition_least_steady_min") * 60000 -%}
with hours as (
    select * from {{ ref('int_asset_hours') }}
),

shown as (
    select
        {%- for quantity, name in quantities.items() %}
            max(case when quantity = '{{ quantity }}' then mean_value end) as {{ name }}_mean,
            max(case when quantity = '{{ quantity }}' then min_value end) as {{ name }}_min,
            max(case when quantity = '{{ quantity }}' then max_value end) as {{ name }}_max,
            max(case when quantity = '{{ quantity }}' then known_ms else 0 end) as {{ quantity }}_known_ms,
        {%- endfor %}
        station_id,
        from_ms
    from {{ ref('int_asset_hour_values') }}
    group by station_id, from_ms
),

with_values as (
    select
        hours.*,
        {%- for quantity, name in quantities.items() %}
            shown.{{ name }}_mean,
            shown.{{ name }}_min,
            shown.{{ name }}_max,
            coalesce(shown.{{ quantity }}_known_ms, 0) as {{ quantity }}_known_ms,
        {%- endfor %}
        hours.to_ms - hours.from_ms - hours.production_ms - hours.setup_ms - hours.no_data_ms as standstill_ms,
        hours.production_ms - hours.steady_ms as unsteady_ms
    from hours
    left join shown on hours.station_id = shown.station_id and hours.from_ms = shown.from_ms
),

judged as (
    select
        *,
        case
            when is_renewed_within then 'renewal'
            when steady_ms >= {{ least_steady_ms }} and products > 1 then 'product_change'
            when
                steady_ms >= {{ least_steady_ms }}
                and {% for quantity in quantities %}{{ quantity }}_known_ms * 2 < steady_ms{{ " and " if not loop.last }}{% endfor %}
                then 'no_data'
            when
                steady_ms >= {{ least_steady_ms }}
                and load_pct_max - load_pct_min > {{ var("condition_load_spread_pct") }}
                then 'unsteady_load'
            when steady_ms >= {{ least_steady_ms }} then 'steady'
            when no_data_ms >= setup_ms and no_data_ms >= standstill_ms and no_data_ms >= unsteady_ms then 'no_data'
            when setup_ms >= standstill_ms and setup_ms >= unsteady_ms then 'setup'
            when standstill_ms >= unsteady_ms then 'standstill'
            else 'warm_up'
        end as regime
    from with_values
)

select
    cast(calendar as varchar) as calendar,
    shift_id,
    production_date,
    line_id,
    station_id,
    {{ factorypack_instant("from_ms") }} as hour_started_at,
    {{ factorypack_instant("to_ms") }} as hour_ended_at,
    regime,
    regime = 'steady' as is_evidence,
    product_id,
    cast({{ ratio("production_ms", "to_ms - from_ms", 6) }} as decimal(18, 6)) as running_share,
    cast({{ ratio("steady_ms", "to_ms - from_ms", 6) }} as decimal(18, 6)) as steady_share,
    cast({{ ratio("no_data_ms", "to_ms - from_ms", 6) }} as decimal(18, 6)) as no_data_share,
    {%- for quantity, name in quantities.items() %}
        {{ name }}_mean,
        {{ name }}_min,
        {{ name }}_max,
        cast({{ ratio(quantity ~ "_known_ms", "steady_ms", 6) }} as decimal(18, 6)) as {{ name }}_known_share,
    {%- endfor %}
    renewed_by,
    renewal_kind,
    case when renewed_ms is not null then {{ factorypack_instant("renewed_ms") }} end as renewed_at,
    cast({{ ratio("from_ms - renewed_ms", "3600000", 6) }} as decimal(18, 6)) as hours_since_renewal
from judged
