select
    station_id,
    station_name,
    line_id,
    cast(calendar as varchar) as calendar,
    cast(place_in_line as integer) as place_in_line,
    is_pacing,
    vocabulary,
    origin
from {{ ref('int_stations') }}
where calendar = '{{ var("calendar") }}'
