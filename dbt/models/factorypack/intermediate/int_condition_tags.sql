with tags as (
    select * from {{ ref('factorypack_tags') }}
),

quantities as (
    select * from {{ ref('factorypack_condition') }}
),

stations as (
    select * from {{ ref('int_stations') }}
    where calendar = '{{ var("calendar") }}'
),

of_stations as (
    select
        tags.tag_id,
        stations.station_id,
        stations.line_id,
        quantities.quantity,
        row_number() over (partition by stations.station_id, quantities.quantity order by tags.tag_id asc) as nth
    from tags
    inner join quantities on tags.measurement = quantities.measurement
    inner join stations on tags.asset_id = stations.station_id
)

select
    tag_id,
    station_id,
    line_id,
    quantity
from of_stations
where nth = 1
