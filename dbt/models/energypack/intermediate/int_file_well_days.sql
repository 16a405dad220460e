{#- A further file of well-days is one more CTE here and one more line at the end: docs/how-to/add-a-file-feed.md -#}
with npd as (
    select
        'npd' as origin,
        '{{ declared("npd", "daily_production").calendar }}' as calendar,
        well_id,
        well_name,
        field_code,
        facility_id,
        facility_name,
        production_date,
        flow_kind,
        {{ npd_well_type("well_type") }} as well_type,
        oil_sm3 as oil_reported,
        gas_sm3 as gas_reported,
        water_sm3 as water_reported,
        water_injected_sm3 as water_injected_reported,
        'sm3' as liquid_unit,
        'sm3' as gas_unit,
        hours_on,
        cast(wellhead_pressure_bar as decimal(38, 6)) as tubing_pressure_bar,
        cast(annulus_pressure_bar as decimal(38, 6)) as casing_pressure_bar,
        cast(downhole_pressure_bar as decimal(38, 6)) as downhole_pressure_bar,
        cast(case when choke_unit = '%' then choke_size end as decimal(38, 6)) as choke_opening_pct
    from {{ ref('stg_npd__daily_production') }}
)

select * from npd
