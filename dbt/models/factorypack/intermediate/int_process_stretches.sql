{#- Process values are the numeric tags of a station other than its counters. A value holds until the next reading of its
    tag, but no longer than the mirror believes one, and not into a gap in which readings were lost. -#}
with tags as (
    select
        tags.tag_id,
        tags.asset_id as station_id,
        tags.measurement,
        tags.unit
    from {{ ref('factorypack_tags') }} as tags
    inner join {{ ref('int_stations') }} as stations on tags.asset_id = stations.station_id
    where tags.data_type = 'double' and stations.calendar = '{{ var("calendar") }}'
),

numbered as (
    select
        readings.tag_id,
        {{ epoch_ms("readings.observed_at") }} as from_ms,
        readings.sequence,
        readings.quality,
        readings.value_double,
        row_number() over (
            partition by readings.tag_id, readings.observed_at, readings.sequence
            order by readings._ordinal asc, readings._segment_id asc, readings.received_at asc, readings.quality asc
        ) as nth
    from {{ source('ot', 'readings') }} as readings
    inner join tags on readings.tag_id = tags.tag_id
    where
        {{ ot_at_cut_off() }}
        and readings.observed_at >= {{ window_starts_at() }} - interval '{{ var("trace_look_back_h") }}' hour
        and readings.observed_at < {{ window_ends_at() }}
),

readings as (
    select * from numbered
    where nth = 1
),

lost as (
    select
        gaps.tag_id,
        {{ epoch_ms("gaps.from_at") }} as lost_ms
    from {{ ref('stg_machines__gaps') }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
    where gaps.state in ('open', 'lost')
),

followed as (
    select
        tag_id,
        from_ms,
        quality,
        value_double,
        coalesce(
            lead(from_ms) over (partition by tag_id order by from_ms asc, sequence asc),
            {{ epoch_ms(window_ends_at()) }}
        ) as next_ms
    from readings
),

cut as (
    select
        followed.tag_id,
        followed.from_ms,
        followed.quality,
        followed.value_double,
        followed.next_ms,
        min(lost.lost_ms) as lost_ms
    from followed
    left join lost on followed.tag_id = lost.tag_id and followed.from_ms <= lost.lost_ms and followed.next_ms > lost.lost_ms
    group by followed.tag_id, followed.from_ms, followed.quality, followed.value_double, followed.next_ms
),

held as (
    select
        tag_id,
        from_ms,
        quality,
        value_double,
        {{ earlier_of("coalesce(lost_ms, next_ms)", earlier_of("next_ms", "from_ms + " ~ max_hold_ms())) }} as to_ms
    from cut
)

select
    tags.station_id,
    held.tag_id,
    tags.measurement,
    tags.unit,
    held.from_ms,
    held.to_ms,
    {{ exact_reading("held.value_double") }} as reading
from held
inner join tags on held.tag_id = tags.tag_id
where held.quality < {{ ot_bad() }} and held.to_ms > held.from_ms and held.value_double is not null
