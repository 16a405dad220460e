with latest as (
    {{ latest('mes', 'products') }}
),

renamed as (
    select
        product_id,
        family,
        name as product_name
    from latest
)

select * from renamed
