with from_mes as (
    select
        genealogy_id,
        serial,
        component_serial,
        component_product_id,
        station_id,
        assembled_at,
        cast(quantity as decimal(18, 3)) as quantity,
        'mes' as origin
    from {{ ref('stg_mes__component_genealogy') }}
),

only_in_files as (
    select
        files.genealogy_id,
        files.serial,
        files.component_serial,
        files.component_product_id,
        files.station_id,
        files.assembled_at,
        cast(files.quantity as decimal(18, 3)) as quantity,
        'files' as origin
    from {{ ref('stg_plant_files__unit_components') }} as files
    left join from_mes on files.genealogy_id = from_mes.genealogy_id
    where from_mes.genealogy_id is null
)

select * from from_mes
union all
select * from only_in_files
