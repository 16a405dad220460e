with latest as (
    {{ latest('mes', 'work_orders') }}
),

renamed as (
    select
        work_order_id,
        station_id,
        kind as work_kind,
        opened_at,
        closed_at,
        {{ carried('description') }} as work_description
    from latest
)

select * from renamed
