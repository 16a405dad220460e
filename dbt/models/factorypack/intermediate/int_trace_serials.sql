with from_mes as (
    select
        serial,
        order_id,
        product_id,
        made_at,
        serial_status,
        cast(null as varchar) as line_id,
        'mes' as origin
    from {{ ref('stg_mes__serials') }}
),

only_in_files as (
    select
        files.serial,
        files.order_id,
        files.product_id,
        files.made_at,
        files.serial_status,
        files.line_id,
        'files' as origin
    from {{ ref('stg_plant_files__units') }} as files
    left join from_mes on files.serial = from_mes.serial
    where from_mes.serial is null
)

select * from from_mes
union all
select * from only_in_files
