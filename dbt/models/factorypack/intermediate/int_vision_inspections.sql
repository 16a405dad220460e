with stations as (
    select
        station_id,
        line_id,
        calendar
    from {{ ref('int_stations') }}
),

defects as (
    select
        inspection_id,
        cast(count(*) as integer) as defects,
        {{ average(factorypack_confidence("confidence")) }} as mean_confidence
    from {{ ref('stg_plant_files__vision_defects') }}
    group by inspection_id
),

results as (
    select
        results.*,
        stations.line_id,
        coalesce(defects.defects, 0) as defects,
        {{ epoch_ms("results.inspected_at") }} as at_ms,
        results.verdict in ('pass', 'fail') as is_judged,
        cast(coalesce({{ factorypack_confidence("results.confidence") }}, defects.mean_confidence) as decimal(18, 6)) as own_confidence
    from {{ ref('stg_plant_files__vision_results') }} as results
    left join stations on results.station_id = stations.station_id
    left join defects on results.inspection_id = defects.inspection_id
    where
        results.inspected_at < {{ window_ends_at() }}
        and (stations.calendar = '{{ var("calendar") }}' or stations.calendar is null)
),

numbered as (
    select
        *,
        row_number() over (
            partition by serial, camera_id, is_judged
            order by inspected_at asc, inspection_id asc
        ) as nth
    from results
)

select
    inspection_id,
    camera_id,
    station_id,
    line_id,
    product_id,
    serial,
    inspected_at,
    at_ms,
    verdict,
    is_judged,
    own_confidence as confidence,
    defects,
    image_uri,
    model_version,
    is_judged and (serial is null or nth = 1) as is_first
from numbered
