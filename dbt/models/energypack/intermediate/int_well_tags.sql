with tags as (
    select * from {{ ref('energypack_tags') }}
),

wells as (
    select * from {{ ref('int_wells') }}
    where calendar = '{{ var("calendar") }}'
),

of_wells as (
    select
        tags.tag_id,
        wells.well_id,
        wells.field_code,
        tags.measurement,
        tags.source,
        row_number() over (partition by wells.well_id, tags.measurement order by tags.tag_id asc) as nth
    from tags
    inner join wells on tags.asset_id = wells.well_id
)

select
    tag_id,
    well_id,
    field_code,
    measurement,
    source,
    row_number() over (order by tag_id asc) as tag_number
from of_wells
where nth = 1
