with wells as (
    select * from {{ ref('fct_well_production_daily') }}
),

summed as (
    select
        calendar,
        production_date,
        field_code,
        cast(count(*) as integer) as wells_reported,
        cast(sum(case when is_on_stream then 1 else 0 end) as integer) as wells_on_stream,
        cast(coalesce(sum(oil_sm3), 0) as decimal(38, 18)) as oil_sm3,
        cast(coalesce(sum(gas_sm3), 0) as decimal(38, 18)) as gas_sm3,
        cast(coalesce(sum(water_sm3), 0) as decimal(38, 18)) as water_sm3,
        cast(coalesce(sum(water_injected_sm3), 0) as decimal(38, 18)) as water_injected_sm3,
        cast(coalesce(sum(hours_on), 0) as decimal(38, 18)) as hours_on,
        cast(coalesce(sum(downtime_h), 0) as decimal(18, 6)) as downtime_h,
        cast(coalesce(sum(full_downtime_h), 0) as decimal(18, 6)) as full_downtime_h,
        cast(sum(scada_hours_on) as decimal(18, 6)) as scada_hours_on,
        cast(sum(scada_oil_sm3) as decimal(18, 6)) as scada_oil_sm3,
        cast(sum(scada_gas_sm3) as decimal(18, 6)) as scada_gas_sm3
    from wells
    group by calendar, production_date, field_code
)

select * from summed
