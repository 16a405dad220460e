{%- set measurements = ["execution", "mode", "fault_code"] -%}
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

mirrored as (
    select distinct station_id from readings
    where measurement = 'execution'
),

filed as (
    select
        files.station_id,
        upper(files.execution) as execution,
        upper(files.mode) as mode,
        upper(files.fault_code) as fault_code,
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
        and mirrored.station_id is null
        and files.started_at < {{ window_ends_at() }}
),

filed_in_window as (
    select * from filed
    where to_ms > {{ epoch_ms(window_starts_at()) }}
),

intervals as (
    {{ factorypack_topmost("filed_in_window", ["station_id"], "from_ms asc", ["execution", "mode", "fault_code"]) }}
),

samples as (
    select
        station_id,
        measurement,
        at_ms,
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
        lead(at_ms) over (partition by station_id, measurement order by at_ms asc, nth asc) as next_ms
    from samples
),

last_of_instant as (
    select
        station_id,
        measurement,
        at_ms,
        known_value,
        lag(coalesce(known_value, '')) over (partition by station_id, measurement order by at_ms asc) as value_before
    from followed
    where next_ms is null or next_ms > at_ms
)

select
    station_id,
    measurement,
    at_ms,
    known_value
from last_of_instant
where value_before is null or value_before <> coalesce(known_value, '')
