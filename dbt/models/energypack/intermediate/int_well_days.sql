with from_fieldops as (
    select
        readings.well_id,
        readings.production_date,
        wells.field_code,
        routes.facility_id,
        'fieldops' as origin,
        case when wells.well_type = 'water_injector' then 'injection' else 'production' end as flow_kind,
        wells.well_type,
        cast(readings.oil_reported as decimal(38, 18)) as oil_reported,
        cast(readings.gas_reported as decimal(38, 18)) as gas_reported,
        cast(readings.water_reported as decimal(38, 18)) as water_reported,
        cast(readings.water_injected_reported as decimal(38, 18)) as water_injected_reported,
        readings.liquid_unit,
        readings.gas_unit,
        cast(readings.hours_on as decimal(38, 18)) as hours_on,
        {{ psi_to_bar("readings.tubing_pressure_psi") }} as tubing_pressure_bar,
        {{ psi_to_bar("readings.casing_pressure_psi") }} as casing_pressure_bar,
        cast(null as decimal(38, 6)) as downhole_pressure_bar,
        readings.choke_64ths,
        cast(null as decimal(38, 6)) as choke_opening_pct
    from {{ ref('stg_fieldops__daily_readings') }} as readings
    inner join {{ ref('int_wells') }} as wells on readings.well_id = wells.well_id
    left join {{ ref('int_well_facilities_daily') }} as routes
        on readings.well_id = routes.well_id and readings.production_date = routes.production_date
    where
        wells.calendar = '{{ var("calendar") }}'
        and {{ in_window("readings.production_date") }}
),

from_files as (
    select
        well_id,
        production_date,
        field_code,
        facility_id,
        origin,
        flow_kind,
        well_type,
        oil_reported,
        gas_reported,
        water_reported,
        water_injected_reported,
        liquid_unit,
        gas_unit,
        hours_on,
        tubing_pressure_bar,
        casing_pressure_bar,
        downhole_pressure_bar,
        cast(null as decimal(6, 2)) as choke_64ths,
        choke_opening_pct
    from {{ ref('int_file_well_days') }}
    where
        calendar = '{{ var("calendar") }}'
        and {{ in_window("production_date") }}
)

select * from from_fieldops
union all
select * from from_files
