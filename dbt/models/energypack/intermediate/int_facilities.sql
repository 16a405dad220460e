with from_fieldops as (
    select
        facilities.facility_id,
        facilities.facility_name,
        facilities.facility_type,
        facilities.field_code,
        field_calendars.calendar,
        facilities.latitude,
        facilities.longitude,
        facilities.crs,
        'fieldops' as origin
    from {{ ref('stg_fieldops__facilities') }} as facilities
    left join {{ ref('field_calendars') }} as field_calendars on facilities.field_code = field_calendars.field_code
),

from_files as (
    select
        facility_id,
        facility_name,
        field_code,
        calendar,
        origin,
        row_number() over (partition by facility_id order by production_date desc, origin asc, well_id asc) as nth
    from {{ ref('int_file_well_days') }}
    where facility_id is not null
),

only_in_files as (
    select
        from_files.facility_id,
        from_files.facility_name,
        cast(null as varchar) as facility_type,
        from_files.field_code,
        from_files.calendar,
        cast(null as decimal(9, 6)) as latitude,
        cast(null as decimal(9, 6)) as longitude,
        cast(null as varchar) as crs,
        from_files.origin
    from from_files
    left join from_fieldops on from_files.facility_id = from_fieldops.facility_id
    where from_files.nth = 1 and from_fieldops.facility_id is null
)

select * from from_fieldops
union all
select * from only_in_files
