with from_mes as (
    select
        movement_id,
        transformation_id,
        calendar,
        kind,
        movement,
        item_id,
        product_id,
        unit,
        reason,
        happened_at,
        cast(quantity as decimal(18, 3)) as quantity,
        'mes' as origin
    from {{ ref('stg_mes__lot_transformations') }}
),

only_in_files as (
    select
        files.movement_id,
        files.transformation_id,
        files.calendar,
        files.kind,
        files.movement,
        files.item_id,
        files.product_id,
        files.unit,
        files.reason,
        files.happened_at,
        cast(files.quantity as decimal(18, 3)) as quantity,
        'files' as origin
    from {{ ref('stg_plant_files__lot_transformations') }} as files
    left join from_mes on files.movement_id = from_mes.movement_id
    where from_mes.movement_id is null
)

select * from from_mes
union all
select * from only_in_files
