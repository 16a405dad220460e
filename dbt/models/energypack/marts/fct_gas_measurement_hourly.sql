with hours as (
    select *, {{ contract_day("started_at") }} as production_date
    from {{ ref('stg_flow_computer__gas_hourly') }}
    where '{{ declared("flow_computer", "gas_hourly").calendar }}' = '{{ var("calendar") }}'
),

meters as (
    select * from {{ ref('stg_fieldops__meters') }}
),

measured as (
    select
        cast('{{ var("calendar") }}' as varchar) as calendar,
        hours.production_date,
        hours.meter_id,
        hours.started_at,
        hours.started_at + interval '1' hour as ended_at,
        meters.facility_id,
        cast(hours.volume_mcf as decimal(38, 18)) as gas_mcf,
        {{ to_sm3("hours.volume_mcf", "'mcf'") }} as gas_sm3,
        cast(hours.energy_mmbtu as decimal(38, 18)) as energy_mmbtu,
        cast(hours.flow_rate_mcf_per_day as decimal(38, 18)) as flow_rate_mcf_per_day,
        cast(hours.diff_pressure_inh20 as decimal(38, 18)) as diff_pressure_inh2o,
        cast(hours.static_pressure_psia as decimal(38, 18)) as static_pressure_psia,
        cast({{ psi_to_bar("hours.static_pressure_psia") }} as decimal(18, 6)) as static_pressure_bara,
        cast(hours.temperature_degf as decimal(38, 18)) as temperature_degf,
        cast({{ degf_to_degc("hours.temperature_degf") }} as decimal(18, 6)) as temperature_degc,
        cast(hours.flow_time_pct as decimal(38, 18)) as flow_time_pct,
        hours.alarms
    from hours
    left join meters on hours.meter_id = meters.meter_id
    where {{ in_window("hours.production_date") }}
)

select * from measured
