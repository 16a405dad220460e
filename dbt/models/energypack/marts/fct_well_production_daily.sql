with well_days as (
    select * from {{ ref('int_well_days') }}
),

downtime as (
    select * from {{ ref('int_well_downtime_daily') }}
),

scada as (
    select
        well_id,
        production_date,
        sum(uptime_s) as uptime_s,
        sum(uptime_covered_s) as uptime_covered_s,
        sum(oil_sm3) as oil_sm3,
        sum(oil_rate_covered_s) as oil_covered_s,
        sum(gas_sm3) as gas_sm3,
        sum(gas_rate_covered_s) as gas_covered_s
    from {{ ref('fct_well_scada_hourly') }}
    group by well_id, production_date
),

converted as (
    select
        cast('{{ var("calendar") }}' as varchar) as calendar,
        well_days.production_date,
        well_days.well_id,
        well_days.field_code,
        well_days.facility_id,
        well_days.origin,
        well_days.flow_kind,
        well_days.well_type,
        well_days.oil_reported,
        well_days.gas_reported,
        well_days.water_reported,
        well_days.water_injected_reported,
        well_days.liquid_unit,
        well_days.gas_unit,
        {{ to_sm3("well_days.oil_reported", "well_days.liquid_unit") }} as oil_sm3,
        {{ to_sm3("well_days.gas_reported", "well_days.gas_unit") }} as gas_sm3,
        {{ to_sm3("well_days.water_reported", "well_days.liquid_unit") }} as water_sm3,
        {{ to_sm3("well_days.water_injected_reported", "well_days.liquid_unit") }} as water_injected_sm3,
        well_days.hours_on,
        well_days.hours_on > 0 as is_on_stream,
        cast(coalesce(downtime.downtime_h, 0) as decimal(18, 6)) as downtime_h,
        cast(coalesce(downtime.full_downtime_h, 0) as decimal(18, 6)) as full_downtime_h,
        cast(well_days.tubing_pressure_bar as decimal(18, 6)) as tubing_pressure_bar,
        cast(well_days.casing_pressure_bar as decimal(18, 6)) as casing_pressure_bar,
        cast(well_days.downhole_pressure_bar as decimal(18, 6)) as downhole_pressure_bar,
        cast(well_days.choke_64ths as decimal(6, 2)) as choke_64ths,
        cast(well_days.choke_opening_pct as decimal(18, 6)) as choke_opening_pct,
        cast({{ ratio("scada.uptime_s", "3600") }} as decimal(18, 6)) as scada_hours_on,
        cast({{ ratio("scada.uptime_covered_s", "3600") }} as decimal(18, 6)) as scada_hours_known,
        cast(scada.oil_sm3 as decimal(18, 6)) as scada_oil_sm3,
        cast({{ ratio("scada.oil_covered_s", "3600") }} as decimal(18, 6)) as scada_oil_hours_known,
        cast(scada.gas_sm3 as decimal(18, 6)) as scada_gas_sm3,
        cast({{ ratio("scada.gas_covered_s", "3600") }} as decimal(18, 6)) as scada_gas_hours_known
    from well_days
    left join downtime
        on well_days.well_id = downtime.well_id and well_days.production_date = downtime.production_date
    left join scada
        on well_days.well_id = scada.well_id and well_days.production_date = scada.production_date
)

select * from converted
