with from_mes as (
    select
        product_id,
        station_id,
        cast(ideal_cycle_s as decimal(18, 6)) as ideal_cycle_s,
        'mes' as origin
    from {{ ref('stg_mes__routings') }}
),

only_in_files as (
    select
        files.product_id,
        files.station_id,
        cast(files.ideal_cycle_s as decimal(18, 6)) as ideal_cycle_s,
        'files' as origin
    from {{ ref('stg_plant_files__routings_file') }} as files
    left join from_mes on files.product_id = from_mes.product_id and files.station_id = from_mes.station_id
    where from_mes.product_id is null
)

select * from from_mes
union all
select * from only_in_files
