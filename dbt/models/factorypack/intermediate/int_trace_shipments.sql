with from_mes as (
    select
        shipment_id,
        calendar,
        serial,
        customer,
        sales_order,
        shipped_at,
        'mes' as origin
    from {{ ref('stg_mes__shipments') }}
),

only_in_files as (
    select
        files.shipment_id,
        files.calendar,
        files.serial,
        files.customer,
        files.sales_order,
        files.shipped_at,
        'files' as origin
    from {{ ref('stg_plant_files__shipments') }} as files
    left join from_mes on files.shipment_id = from_mes.shipment_id
    where from_mes.shipment_id is null
)

select * from from_mes
union all
select * from only_in_files
