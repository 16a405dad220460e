with tests as (
    select *, {{ contract_day("tested_at") }} as production_date
    from {{ ref('stg_fieldops__well_tests') }}
),

details as (
    select * from {{ ref('stg_fieldops__well_test_details') }}
),

wells as (
    select * from {{ ref('int_wells') }}
    where calendar = '{{ var("calendar") }}'
),

rules as (
    select * from {{ ref('well_test_rules') }}
),

with_rules as (
    select
        wells.calendar,
        tests.production_date,
        tests.well_test_id,
        tests.well_id,
        wells.field_code,
        tests.tested_at,
        tests.oil_rate_bbl_per_day,
        tests.gas_rate_mcf_per_day,
        tests.water_rate_bbl_per_day,
        tests.tubing_pressure_psi,
        tests.casing_pressure_psi,
        details.duration_h,
        details.stabilisation_h,
        details.choke_64ths,
        details.bsw_pct,
        coalesce(own_rule.min_duration_h, any_rule.min_duration_h) as min_duration_h,
        coalesce(own_rule.min_stabilisation_h, any_rule.min_stabilisation_h) as min_stabilisation_h
    from tests
    inner join wells on tests.well_id = wells.well_id
    left join details on tests.well_test_id = details.well_test_id
    left join rules as own_rule on wells.field_code = own_rule.field_code
    left join rules as any_rule on any_rule.field_code = '*'
    where {{ in_window("tests.production_date") }}
),

judged as (
    select
        calendar,
        production_date,
        well_test_id,
        well_id,
        field_code,
        tested_at,
        cast(case
            when duration_h < min_duration_h or stabilisation_h < min_stabilisation_h then 'invalid'
            when duration_h is null or stabilisation_h is null then 'unknown'
            else 'valid'
        end as varchar) as validity,
        cast(duration_h as decimal(6, 2)) as duration_h,
        cast(stabilisation_h as decimal(6, 2)) as stabilisation_h,
        cast(oil_rate_bbl_per_day as decimal(38, 18)) as oil_rate_bbl_per_day,
        cast(gas_rate_mcf_per_day as decimal(38, 18)) as gas_rate_mcf_per_day,
        cast(water_rate_bbl_per_day as decimal(38, 18)) as water_rate_bbl_per_day,
        {{ to_sm3("oil_rate_bbl_per_day", "'bbl'") }} as oil_rate_sm3_per_day,
        {{ to_sm3("gas_rate_mcf_per_day", "'mcf'") }} as gas_rate_sm3_per_day,
        {{ to_sm3("water_rate_bbl_per_day", "'bbl'") }} as water_rate_sm3_per_day,
        cast({{ psi_to_bar("tubing_pressure_psi") }} as decimal(18, 6)) as tubing_pressure_bar,
        cast({{ psi_to_bar("casing_pressure_psi") }} as decimal(18, 6)) as casing_pressure_bar,
        cast(choke_64ths as decimal(6, 2)) as choke_64ths,
        cast(bsw_pct as decimal(6, 3)) as bsw_pct
    from with_rules
)

select * from judged
