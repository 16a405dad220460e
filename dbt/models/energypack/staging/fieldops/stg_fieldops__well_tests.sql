with latest as (
    {{ latest('fieldops', 'well_tests') }}
),

renamed as (
    select
        id as well_test_id,
        well_id,
        dt_utc as tested_at,
        oil_rate as oil_rate_bbl_per_day,
        gas_rate as gas_rate_mcf_per_day,
        water_rate as water_rate_bbl_per_day,
        tubing_pressure as tubing_pressure_psi,
        casing_pressure as casing_pressure_psi
    from latest
)

select * from renamed
