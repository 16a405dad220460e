with from_mes as (
    select
        lot_id,
        calendar,
        product_id,
        supplier,
        unit,
        created_at,
        cast(quantity_received as decimal(18, 3)) as quantity_received,
        'mes' as origin
    from {{ ref('stg_mes__lots') }}
),

only_in_files as (
    select
        files.lot_id,
        files.calendar,
        files.product_id,
        files.supplier,
        files.unit,
        files.created_at,
        cast(files.quantity_received as decimal(18, 3)) as quantity_received,
        'files' as origin
    from {{ ref('stg_plant_files__lots') }} as files
    left join from_mes on files.lot_id = from_mes.lot_id
    where from_mes.lot_id is null
)

select * from from_mes
union all
select * from only_in_files
