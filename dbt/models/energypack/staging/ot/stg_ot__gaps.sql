with tags as (
    select tag_id from {{ ref('energypack_tags') }}
),

at_cut_off as (
    select
        gaps.gap_id,
        gaps.tag_id,
        gaps.source,
        gaps.from_at,
        gaps.to_at,
        gaps.cause,
        gaps.state,
        gaps.recovered_rows,
        gaps.reason,
        gaps.recorded_at,
        gaps._ordinal
    from {{ source('ot', 'gaps') }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
    where
        {{ ot_at_cut_off() }}
        and gaps.to_at >= {{ window_starts_at() }} - interval '{{ var("ot_look_back_h") }}' hour
        and gaps.from_at < {{ window_ends_at() }}
),

numbered as (
    select
        gap_id,
        tag_id,
        source,
        from_at,
        to_at,
        cause,
        state,
        recovered_rows,
        reason,
        row_number() over (
            partition by gap_id, tag_id
            order by _ordinal desc, case when state = 'open' then 1 else 0 end asc, recorded_at desc, state asc
        ) as nth
    from at_cut_off
)

select
    gap_id,
    tag_id,
    source,
    from_at,
    to_at,
    cause,
    state,
    recovered_rows,
    reason
from numbered
where nth = 1
