{#- Where the units of a product should be scanned: at the stations of its routing; where it has none, at all of its line. -#}
with stations as (
    select
        stations.line_id,
        stations.station_id
    from {{ ref('int_stations') }} as stations
    inner join {{ ref('factorypack_trace') }} as trace on stations.line_id = trace.line_id
    where stations.calendar = '{{ var("calendar") }}'
),

products as (
    select product_id from {{ ref('int_trace_units') }}
    union distinct
    select product_id from {{ ref('int_trace_expected') }}
),

routed as (
    select distinct
        stations.line_id,
        products.product_id,
        stations.station_id
    from stations
    inner join {{ ref('int_routings') }} as routings on stations.station_id = routings.station_id
    inner join products on routings.product_id in (products.product_id, '*')
),

known as (
    select distinct
        line_id,
        product_id
    from routed
)

select * from routed
union all
select
    stations.line_id,
    products.product_id,
    stations.station_id
from stations
cross join products
left join known on stations.line_id = known.line_id and products.product_id = known.product_id
where known.line_id is null
