with tags as (
    select * from {{ ref('factorypack_tags') }}
),

stations as (
    select * from {{ ref('int_stations') }}
    where calendar = '{{ var("calendar") }}'
),

of_stations as (
    select
        tags.tag_id,
        stations.station_id,
        tags.measurement,
        tags.source,
        cast(tags.range_high as bigint) + 1 as counter_width,
        row_number() over (partition by stations.station_id, tags.measurement order by tags.tag_id asc) as nth
    from tags
    inner join stations on tags.asset_id = stations.station_id
    where tags.measurement in ('execution', 'mode', 'fault_code', 'good_count', 'scrap_count', 'rework_count')
)

select
    tag_id,
    station_id,
    measurement,
    source,
    counter_width
from of_stations
where nth = 1
