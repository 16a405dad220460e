{%- set tags -%}
    select
        station_id,
        tag_id,
        source
    from {{ ref('int_station_tags') }}
    where measurement in ('execution', 'mode')
{%- endset -%}
{%- set bounds -%}
    select
        {{ epoch_ms(window_starts_at()) }} as starts_ms,
        {{ epoch_ms(window_ends_at()) }} as ends_ms
{%- endset -%}
{{ ot_interruptions("station_id", tags, bounds, "stg_machines__readings", "factorypack_tags", "stg_machines__gaps") }}
