with latest as (
    {{ latest('fieldops', 'work_orders') }}
),

renamed as (
    select
        work_order_id,
        well_id,
        facility_id,
        opened_at,
        closed_at,
        order_kind,
        {{ carried('description') }} as order_description,
        cost_usd,
        {{ carried('attributes') }} as attributes
    from latest
)

select * from renamed
