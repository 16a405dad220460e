with lines as (
    select * from {{ ref('stg_mes__lines') }}
),

from_mes as (
    select
        stations.station_id,
        stations.station_name,
        stations.line_id,
        lines.line_name,
        lines.site as calendar,
        stations.place_in_line,
        stations.is_pacing,
        lower(stations.vocabulary) as vocabulary,
        cast(lines.micro_stop_s * 1000 as bigint) as micro_stop_ms,
        true as has_orders,
        'mes' as origin
    from {{ ref('stg_mes__stations') }} as stations
    inner join lines on stations.line_id = lines.line_id
),

only_in_files as (
    select
        files.station_id,
        coalesce(files.station_name, files.station_id) as station_name,
        files.line_id,
        coalesce(lines.line_name, files.line_id) as line_name,
        coalesce(lines.site, '{{ declared("plant_files", "stations_file").calendar }}') as calendar,
        cast(null as integer) as place_in_line,
        coalesce(files.is_pacing, false) as is_pacing,
        lower(files.vocabulary) as vocabulary,
        cast(coalesce(files.micro_stop_s, lines.micro_stop_s, 0) * 1000 as bigint) as micro_stop_ms,
        lines.line_id is not null as has_orders,
        'files' as origin
    from {{ ref('stg_plant_files__stations_file') }} as files
    left join lines on files.line_id = lines.line_id
    left join from_mes on files.station_id = from_mes.station_id
    where from_mes.station_id is null
),

stations as (
    select * from from_mes
    union all
    select * from only_in_files
),

numbered as (
    select
        *,
        row_number() over (
            partition by line_id
            order by case when is_pacing then 0 else 1 end asc, coalesce(place_in_line, 0) desc, station_id desc
        ) as nth
    from stations
)

select
    station_id,
    station_name,
    line_id,
    line_name,
    calendar,
    place_in_line,
    vocabulary,
    micro_stop_ms,
    has_orders,
    origin,
    nth = 1 as is_pacing
from numbered
