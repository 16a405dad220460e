with latest as (
    {{ latest('fieldops', 'prices') }}
),

renamed as (
    select
        price_id,
        field_code,
        product,
        effective_on,
        price_usd,
        price_unit
    from latest
)

select * from renamed
