{#- A shift is judged by itself, so its first stretch counts as a start: what ran before it is another close's. -#}
{%- set by_time = "partition by station_id, shift_id order by from_ms asc" -%}
with running as (
    select
        station_id,
        shift_id,
        product_id,
        from_ms,
        to_ms
    from {{ ref('int_station_states') }}
    where category = 'production'
),

with_gap as (
    select
        *,
        from_ms - lag(to_ms) over ({{ by_time }}) as gap_ms
    from running
),

numbered as (
    select
        *,
        sum(case when gap_ms <= {{ var("condition_gap_s") * 1000 }} then 0 else 1 end) over (
            {{ by_time }} rows between unbounded preceding and current row
        ) as warm_run,
        sum(case when gap_ms = 0 then 0 else 1 end) over (
            {{ by_time }} rows between unbounded preceding and current row
        ) as calm_run
    from with_gap
),

with_starts as (
    select
        station_id,
        shift_id,
        product_id,
        from_ms,
        to_ms,
        min(from_ms) over (partition by station_id, shift_id, warm_run) + {{ var("condition_warm_up_min") * 60000 }} as warm_ms,
        min(from_ms) over (partition by station_id, shift_id, calm_run) + {{ var("condition_settle_s") * 1000 }} as calm_ms
    from numbered
),

steady as (
    select
        station_id,
        shift_id,
        product_id,
        {{ later_of("from_ms", later_of("warm_ms", "calm_ms")) }} as from_ms,
        to_ms
    from with_starts
)

select * from steady
where from_ms < to_ms
