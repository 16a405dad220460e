{%- set tags -%}
    select
        tag_id,
        source
    from {{ ref('int_well_tags') }}
{%- endset -%}
{%- set bounds -%}
    select
        {{ epoch_ms("min(starts_at)") }} as starts_ms,
        {{ epoch_ms("max(ends_at)") }} as ends_ms
    from {{ ref('int_contract_days') }}
{%- endset -%}
{{ ot_interruptions("tag_id", tags, bounds, "stg_ot__readings", "energypack_tags", "stg_ot__gaps") }}
