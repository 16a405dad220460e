with from_fieldops as (
    select
        wells.well_id,
        wells.well_name,
        wells.field_code,
        field_calendars.calendar,
        wells.well_type,
        wells.status,
        wells.first_production_date,
        wells.latitude,
        wells.longitude,
        wells.crs,
        'fieldops' as origin
    from {{ ref('stg_fieldops__wells') }} as wells
    left join {{ ref('field_calendars') }} as field_calendars on wells.field_code = field_calendars.field_code
),

from_files as (
    select
        *,
        row_number() over (partition by well_id order by production_date desc, origin asc) as nth,
        min(case when oil_reported > 0 or gas_reported > 0 then production_date end)
            over (partition by well_id) as first_production_date
    from {{ ref('int_file_well_days') }}
),

only_in_files as (
    select
        from_files.well_id,
        from_files.well_name,
        from_files.field_code,
        from_files.calendar,
        from_files.well_type,
        cast(null as varchar) as status,
        from_files.first_production_date,
        cast(null as decimal(9, 6)) as latitude,
        cast(null as decimal(9, 6)) as longitude,
        cast(null as varchar) as crs,
        from_files.origin
    from from_files
    left join from_fieldops on from_files.well_id = from_fieldops.well_id
    where from_files.nth = 1 and from_fieldops.well_id is null
)

select * from from_fieldops
union all
select * from only_in_files
