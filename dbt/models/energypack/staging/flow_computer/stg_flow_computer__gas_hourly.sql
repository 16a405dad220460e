with latest as (
    {{ latest('flow_computer', 'gas_hourly') }}
),

renamed as (
    select
        meter_id,
        hour_started_at_utc as started_at,
        hour_started_at as started_at_local,
        diff_pressure_inh20,
        static_pressure_psia,
        temperature_degf,
        volume_mcf,
        flow_rate_mcf_day as flow_rate_mcf_per_day,
        energy_mmbtu,
        flow_time_pct,
        alarms
    from latest
)

select * from renamed
