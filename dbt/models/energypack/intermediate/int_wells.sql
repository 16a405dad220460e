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

npd_latest as (
    select
        *,
        row_number() over (partition by well_id order by production_date desc) as nth,
        min(case when oil_sm3 > 0 or gas_sm3 > 0 then production_date end) over (partition by well_id) as first_production_date
    from {{ ref('stg_npd__daily_production') }}
),

only_in_npd as (
    select
        npd_latest.well_id,
        npd_latest.well_name,
        npd_latest.field_code,
        '{{ declared("npd", "daily_production").calendar }}' as calendar,
        {{ npd_well_type("npd_latest.well_type") }} as well_type,
        cast(null as varchar) as status,
        npd_latest.first_production_date,
        cast(null as decimal(9, 6)) as latitude,
        cast(null as decimal(9, 6)) as longitude,
        cast(null as varchar) as crs,
        'npd' as origin
    from npd_latest
    left join from_fieldops on npd_latest.well_id = from_fieldops.well_id
    where npd_latest.nth = 1 and from_fieldops.well_id is null
)

select * from from_fieldops
union all
select * from only_in_npd
