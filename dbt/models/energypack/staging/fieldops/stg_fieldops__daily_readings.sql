with latest as (
    {{ latest('fieldops', 'daily_readings') }}
),

renamed as (
    select
        reading_id,
        well_id,
        production_date,
        oil_volume as oil_reported,
        gas_volume as gas_reported,
        water_volume as water_reported,
        water_injected_volume as water_injected_reported,
        liquid_unit,
        gas_unit,
        hours_on,
        tubing_pressure_psi,
        casing_pressure_psi,
        choke_64ths,
        recorded_at
    from latest
)

select * from renamed
