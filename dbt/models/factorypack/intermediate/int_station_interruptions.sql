{%- set max_hold = max_hold_ms() -%}
with tags as (
    select * from {{ ref('int_station_tags') }}
    where measurement in ('execution', 'mode')
),

bounds as (
    select
        {{ epoch_ms(window_starts_at()) }} as starts_ms,
        {{ epoch_ms(window_ends_at()) }} as ends_ms
),

{# Any tag of a source shows that it is alive. #}
heard as (
    select
        dictionary.source,
        {{ epoch_ms("readings.observed_at") }} as heard_ms
    from {{ ref('stg_machines__readings') }} as readings
    inner join {{ ref('factorypack_tags') }} as dictionary on readings.tag_id = dictionary.tag_id
    where not {{ is_no_connection() }}
),

{# Within a stretch as long as the longest hold no silence can be longer than that, so its ends say enough. #}
stretches as (
    select
        source,
        min(heard_ms) as first_ms,
        max(heard_ms) as last_ms
    from heard
    group by source, {{ whole("heard_ms", max_hold) }}
),

sources as (
    select distinct source from tags
),

with_edges as (
    select
        source,
        first_ms,
        last_ms
    from stretches
    union all
    select
        sources.source,
        bounds.starts_ms - {{ max_hold }} as first_ms,
        bounds.starts_ms - {{ max_hold }} as last_ms
    from sources
    cross join bounds
    union all
    select
        sources.source,
        bounds.ends_ms as first_ms,
        bounds.ends_ms as last_ms
    from sources
    cross join bounds
),

silences as (
    select
        source,
        max(last_ms) over (
            partition by source order by first_ms asc, last_ms asc rows between unbounded preceding and current row
        ) + {{ max_hold }} as from_ms,
        lead(first_ms) over (partition by source order by first_ms asc, last_ms asc) as to_ms
    from with_edges
),

interruptions as (
    select
        tags.station_id,
        silences.from_ms,
        silences.to_ms
    from silences
    inner join tags on silences.source = tags.source
    union all
    select
        tags.station_id,
        {{ epoch_ms("gaps.from_at") }} as from_ms,
        {{ epoch_ms("gaps.to_at") }} as to_ms
    from {{ ref('stg_machines__gaps') }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
    where gaps.state in ('open', 'lost')
),

clipped as (
    select
        interruptions.station_id,
        {{ later_of("interruptions.from_ms", "bounds.starts_ms") }} as from_ms,
        {{ earlier_of("interruptions.to_ms", "bounds.ends_ms") }} as to_ms
    from interruptions
    cross join bounds
),

with_earlier as (
    select
        *,
        max(to_ms) over (
            partition by station_id order by from_ms asc, to_ms asc rows between unbounded preceding and 1 preceding
        ) as earlier_to_ms
    from clipped
    where from_ms < to_ms
),

with_island as (
    select
        *,
        sum(case when from_ms <= earlier_to_ms then 0 else 1 end) over (
            partition by station_id order by from_ms asc, to_ms asc rows between unbounded preceding and current row
        ) as island
    from with_earlier
)

select
    station_id,
    min(from_ms) as from_ms,
    max(to_ms) as to_ms
from with_island
group by station_id, island
