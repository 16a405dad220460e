with scans as (
    select
        scans.*,
        stations.line_id,
        {{ epoch_ms("scans.entered_at") }} as entered_ms,
        {{ epoch_ms("scans.left_at") }} as left_ms
    from {{ ref('int_trace_scans') }} as scans
    left join {{ ref('int_stations') }} as stations on scans.station_id = stations.station_id
    where
        scans.left_at < {{ window_ends_at() }}
        and (stations.calendar = '{{ var("calendar") }}' or stations.calendar is null)
),

units as (
    select * from {{ ref('int_trace_units') }}
)

select
    scans.scan_id,
    scans.serial,
    scans.station_id,
    units.order_id,
    units.product_id,
    scans.entered_at,
    scans.left_at,
    scans.entered_ms,
    scans.left_ms,
    units.serial is not null as is_known_unit,
    {# A unit on its way is registered when it is made, so its visits are told then. #}
    case when units.made_ms > scans.left_ms then units.made_ms else scans.left_ms end as told_ms,
    case
        when scans.serial is not null and (units.made_ms is null or units.made_ms > scans.left_ms + {{ trace_wait_ms() }})
            then scans.left_ms + {{ trace_wait_ms() }}
    end as unknown_ms,
    coalesce(scans.line_id, units.line_id) as line_id,
    case
        when scans.serial is not null
            then
                row_number() over (
                    partition by scans.serial, scans.station_id
                    order by scans.left_ms asc, scans.entered_ms asc, scans.scan_id asc
                )
    end as visit
from scans
left join units on scans.serial = units.serial
