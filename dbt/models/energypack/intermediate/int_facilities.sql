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

npd_latest as (
    select
        facility_id,
        facility_name,
        field_code,
        row_number() over (partition by facility_id order by production_date desc, well_id) as nth
    from {{ ref('stg_npd__daily_production') }}
    where facility_id is not null
),

only_in_npd as (
    select
        npd_latest.facility_id,
        npd_latest.facility_name,
        cast(null as varchar) as facility_type,
        npd_latest.field_code,
        '{{ declared("npd", "daily_production").calendar }}' as calendar,
        cast(null as decimal(9, 6)) as latitude,
        cast(null as decimal(9, 6)) as longitude,
        cast(null as varchar) as crs,
        'npd' as origin
    from npd_latest
    left join from_fieldops on npd_latest.facility_id = from_fieldops.facility_id
    where npd_latest.nth = 1 and from_fieldops.facility_id is null
)

select * from from_fieldops
union all
select * from only_in_npd
