with from_mes as (
    select
        scan_id,
        serial,
        station_id,
        entered_at,
        left_at,
        'mes' as origin
    from {{ ref('stg_mes__station_scans') }}
),

only_in_files as (
    select
        files.scan_id,
        files.serial,
        files.station_id,
        files.entered_at,
        files.left_at,
        'files' as origin
    from {{ ref('stg_plant_files__unit_scans') }} as files
    left join from_mes on files.scan_id = from_mes.scan_id
    where from_mes.scan_id is null
)

select * from from_mes
union all
select * from only_in_files
