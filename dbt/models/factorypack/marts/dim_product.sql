with known as (
    select
        product_id,
        product_name,
        family,
        'mes' as origin
    from {{ ref('stg_mes__products') }}
),

only_in_files as (
    select distinct
        routings.product_id,
        routings.product_id as product_name,
        cast(null as varchar) as family,
        'files' as origin
    from {{ ref('int_routings') }} as routings
    left join known on routings.product_id = known.product_id
    where known.product_id is null and routings.product_id <> '*'
)

select
    cast('{{ var("calendar") }}' as varchar) as calendar,
    products.*
from (
    select * from known
    union all
    select * from only_in_files
) as products
