with latest as (
    {{ latest('fieldops', 'taxes') }}
),

renamed as (
    select
        tax_id,
        field_code,
        tax_name,
        product,
        tax_rate,
        effective_from,
        effective_to
    from latest
)

select * from renamed
