{%- set measurements = ["execution", "mode", "fault_code"] -%}
{%- set look_back_ms = (var("ot_look_back_near_h") * 3600000) | int -%}
with tags as (
    select * from {{ ref('int_station_tags') }}
    where measurement in ('{{ measurements | join("', '") }}')
),

gaps as (
    select
        tags.tag_id,
        gaps.from_at,
        gaps.to_at,
        gaps.cause,
        gaps.state
    from {{ ref('stg_machines__gaps') }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
),

readings as (
    select
        tags.tag_id,
        tags.station_id,
        tags.measurement,
        readings.observed_at,
        readings.sequence,
        {{ is_no_connection() }} as is_no_connection,
        case
            when readings.quality < {{ ot_bad() }}
                then
                    upper(coalesce(
                        readings.value_text,
                        cast({{ factorypack_whole_number("readings.value_double") }} as varchar),
                        cast(readings.value_bool as varchar)
                    ))
        end as known_value
    from {{ ref('stg_machines__readings') }} as readings
    inner join tags on readings.tag_id = tags.tag_id
),

{# History has told what happened while there was no connection. #}
refuted as (
    select distinct
        readings.tag_id,
        readings.observed_at,
        readings.sequence
    from readings
    inner join gaps
        on
            readings.tag_id = gaps.tag_id
            and readings.observed_at >= gaps.from_at
            and readings.observed_at <= gaps.to_at
    where readings.is_no_connection and gaps.state = 'backfilled'
),

read_by_mirror as (
    select
        readings.station_id,
        readings.measurement,
        {{ epoch_ms("readings.observed_at") }} as at_ms,
        1 as place,
        readings.observed_at,
        readings.sequence,
        readings.known_value
    from readings
    left join refuted
        on
            readings.tag_id = refuted.tag_id
            and readings.observed_at = refuted.observed_at
            and readings.sequence = refuted.sequence
    where refuted.tag_id is null
    union all
    {# After a gap in which readings themselves were lost, what came before it is no longer in force. #}
    select
        tags.station_id,
        tags.measurement,
        {{ epoch_ms("gaps.to_at") }} as at_ms,
        0 as place,
        gaps.to_at as observed_at,
        0 as sequence,
        cast(null as varchar) as known_value
    from gaps
    inner join tags on gaps.tag_id = tags.tag_id
    where gaps.state in ('open', 'lost') and gaps.cause in ('outbox_full', 'spool_corrupt')
),

{# From its first reading on the mirror is believed, and files are not. #}
mirrored as (
    select
        station_id,
        min({{ epoch_ms("observed_at") }}) as first_ms
    from readings
    where measurement = 'execution'
    group by station_id
),

filed as (
    select
        files.station_id,
        upper(files.execution) as execution,
        upper(files.mode) as mode,
        upper(files.fault_code) as fault_code,
        mirrored.first_ms,
        {{ epoch_ms("files.started_at") }} as from_ms,
        coalesce(
            {{ epoch_ms("files.ended_at") }},
            lead({{ epoch_ms("files.started_at") }}) over (partition by files.station_id order by files.started_at asc),
            {{ epoch_ms(window_ends_at()) }}
        ) as to_ms
    from {{ ref('stg_plant_files__machine_states') }} as files
    inner join {{ ref('int_stations') }} as stations on files.station_id = stations.station_id
    left join mirrored on files.station_id = mirrored.station_id
    where
        stations.calendar = '{{ var("calendar") }}'
        and files.started_at < {{ window_ends_at() }}
),

filed_in_window as (
    select
        station_id,
        execution,
        mode,
        fault_code,
        from_ms,
        case when to_ms > first_ms then first_ms else to_ms end as to_ms
    from filed
    where
        to_ms > {{ epoch_ms(window_starts_at()) }} - {{ look_back_ms }}
        and (first_ms is null or from_ms < first_ms)
),

intervals as (
    {{ factorypack_topmost("filed_in_window", ["station_id"], "from_ms asc", ["execution", "mode", "fault_code"]) }}
),

samples as (
    select
        station_id,
        measurement,
        at_ms,
        2 as origin,
        row_number() over (
            partition by station_id, measurement order by at_ms asc, place asc, observed_at asc, sequence asc
        ) as nth,
        known_value
    from read_by_mirror
    union all
    select
        intervals.station_id,
        edges.measurement,
        case when edges.is_start = 1 then intervals.from_ms else intervals.to_ms end as at_ms,
        1 as origin,
        2 * row_number() over (
            partition by intervals.station_id, edges.measurement, edges.is_start order by intervals.from_ms asc
        ) + 1 - edges.is_start as nth,
        case
            when edges.is_start = 0 then cast(null as varchar)
            {%- for measurement in measurements %}
                when edges.measurement = '{{ measurement }}' then intervals.{{ measurement }}
            {%- endfor %}
        end as known_value
    from intervals
    cross join {{ factorypack_edges("measurement", measurements) }}
),

followed as (
    select
        *,
        lead(at_ms) over (partition by station_id, measurement order by at_ms asc, origin asc, nth asc) as next_ms
    from samples
),

last_of_instant as (
    select
        station_id,
        measurement,
        at_ms,
        known_value,
        next_ms,
        lag(coalesce(known_value, '')) over (partition by station_id, measurement order by at_ms asc) as value_before
    from followed
    where next_ms is null or next_ms > at_ms
),

periods as (
    {{ close_periods() }}
),

shifts as (
    select {{ epoch_ms("starts_at") }} as starts_ms from periods
),

{# A close of the shift alone knows no other: so the last one before its start is kept, though it tells nothing new. #}
last_before_a_shift as (
    select distinct
        told.station_id,
        told.measurement,
        told.at_ms
    from last_of_instant as told
    inner join shifts on told.at_ms < shifts.starts_ms and (told.next_ms is null or told.next_ms >= shifts.starts_ms)
)

select
    told.station_id,
    told.measurement,
    told.at_ms,
    told.known_value
from last_of_instant as told
left join last_before_a_shift as kept
    on told.station_id = kept.station_id and told.measurement = kept.measurement and told.at_ms = kept.at_ms
where told.value_before is null or told.value_before <> coalesce(told.known_value, '') or kept.station_id is not null
