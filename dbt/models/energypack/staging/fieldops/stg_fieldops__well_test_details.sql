with latest as (
    {{ latest('fieldops', 'well_test_details') }}
),

renamed as (
    select
        well_test_id,
        duration_h,
        stabilisation_h,
        choke_64ths,
        bsw_pct,
        {{ carried('remarks') }} as remarks
    from latest
)

select * from renamed
