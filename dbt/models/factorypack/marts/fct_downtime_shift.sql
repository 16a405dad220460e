{%- set columns = ["shift_id", "production_date", "station_id", "category", "reason_code", "duration_s", "is_first", "calendar"] -%}
{%- set stopped = "category in ('setup', 'delay', 'down', 'unknown')" -%}
with states as (
    select * from {{ ref('fct_station_state') }}
),

lines as (
    select
        station_id,
        is_pacing
    from {{ ref('int_stations') }}
),

reasons as (
    select * from {{ ref('stg_mes__reasons') }}
),

summed as (
    select
        calendar,
        shift_id,
        production_date,
        line_id,
        station_id,
        category,
        reason_code,
        cast(sum(duration_s) as decimal(18, 3)) as downtime_s,
        cast(sum(case when is_micro_stop then duration_s else 0 end) as decimal(18, 3)) as micro_stop_s,
        cast(sum(case when is_first then 1 else 0 end) as integer) as stops,
        cast(sum(case when is_first and is_micro_stop then 1 else 0 end) as integer) as micro_stops
    from states
    where {{ stopped }}
    group by calendar, shift_id, production_date, line_id, station_id, category, reason_code
),

published_states as (
    {{ published('fct_station_state', columns) }}
),

closed as (
    select shift_id from {{ ref('int_shifts') }}
),

{# The four weeks before a shift: as published, and what this close builds anew of them. #}
known_states as (
    select {{ columns | join(", ") }} from states
    union all
    select published_states.{{ columns | join(", published_states.") }}
    from published_states
    left join closed on published_states.shift_id = closed.shift_id
    where
        closed.shift_id is null
        and published_states.calendar = '{{ var("calendar") }}'
        and published_states.production_date >= date '{{ var("from_date") }}' - interval '28' day
        and published_states.production_date <= date '{{ var("to_date") }}'
),

by_day as (
    select
        station_id,
        production_date,
        category,
        reason_code,
        sum(duration_s) as downtime_s,
        sum(case when is_first then 1 else 0 end) as stops
    from known_states
    where {{ stopped }}
    group by station_id, production_date, category, reason_code
),

shifts_by_day as (
    select
        station_id,
        production_date,
        count(distinct shift_id) as shifts
    from known_states
    group by station_id, production_date
),

closed_stations as (
    select distinct
        calendar,
        shift_id,
        production_date,
        line_id,
        station_id
    from states
),

days as (
    select distinct
        station_id,
        production_date
    from closed_stations
),

shifts_before as (
    select
        days.station_id,
        days.production_date,
        cast(sum(shifts_by_day.shifts) as integer) as shifts
    from days
    inner join shifts_by_day
        on
            days.station_id = shifts_by_day.station_id
            and days.production_date > shifts_by_day.production_date
            and days.production_date - interval '28' day <= shifts_by_day.production_date
    group by days.station_id, days.production_date
),

before as (
    select
        days.station_id,
        days.production_date,
        by_day.category,
        by_day.reason_code,
        sum(by_day.downtime_s) as downtime_s,
        sum(by_day.stops) as stops
    from days
    inner join by_day
        on
            days.station_id = by_day.station_id
            and days.production_date > by_day.production_date
            and days.production_date - interval '28' day <= by_day.production_date
    group by days.station_id, days.production_date, by_day.category, by_day.reason_code
),

{# What a station usually stands for and did not in this shift has a row too: a line's usual is that of all its stations. #}
with_usual as (
    select * from summed
    union all
    select
        closed_stations.calendar,
        closed_stations.shift_id,
        closed_stations.production_date,
        closed_stations.line_id,
        closed_stations.station_id,
        before.category,
        before.reason_code,
        cast(0 as decimal(18, 3)) as downtime_s,
        cast(0 as decimal(18, 3)) as micro_stop_s,
        cast(0 as integer) as stops,
        cast(0 as integer) as micro_stops
    from closed_stations
    inner join before
        on closed_stations.station_id = before.station_id and closed_stations.production_date = before.production_date
    left join summed
        on
            closed_stations.shift_id = summed.shift_id
            and closed_stations.station_id = summed.station_id
            and before.category = summed.category
            and before.reason_code = summed.reason_code
    where summed.shift_id is null
),

totals as (
    select
        *,
        sum(downtime_s) over (partition by shift_id, line_id) as line_downtime_s,
        sum(downtime_s) over (
            partition by shift_id, line_id
            order by downtime_s desc, station_id asc, category asc, reason_code asc
            rows between unbounded preceding and current row
        ) as line_cumulative_s,
        sum(downtime_s) over (partition by shift_id, station_id) as station_downtime_s,
        sum(downtime_s) over (
            partition by shift_id, station_id
            order by downtime_s desc, category asc, reason_code asc
            rows between unbounded preceding and current row
        ) as station_cumulative_s
    from with_usual
)

select
    totals.calendar,
    totals.shift_id,
    totals.production_date,
    totals.line_id,
    totals.station_id,
    lines.is_pacing,
    totals.category,
    totals.reason_code,
    coalesce(reasons.level_1, totals.category) as level_1,
    coalesce(reasons.level_2, totals.reason_code) as level_2,
    coalesce(reasons.level_3, totals.reason_code) as level_3,
    totals.stops,
    totals.downtime_s,
    cast({{ ratio("totals.downtime_s", "totals.stops", 3) }} as decimal(18, 3)) as mttr_s,
    totals.micro_stops,
    totals.micro_stop_s,
    cast({{ ratio("totals.micro_stop_s", "totals.downtime_s", 6) }} as decimal(18, 6)) as micro_stop_share,
    cast({{ ratio("totals.downtime_s", "totals.line_downtime_s", 6) }} as decimal(18, 6)) as line_share,
    cast({{ ratio("totals.line_cumulative_s", "totals.line_downtime_s", 6) }} as decimal(18, 6)) as line_cumulative_share,
    cast({{ ratio("totals.downtime_s", "totals.station_downtime_s", 6) }} as decimal(18, 6)) as station_share,
    cast({{ ratio("totals.station_cumulative_s", "totals.station_downtime_s", 6) }} as decimal(18, 6)) as station_cumulative_share,
    coalesce(shifts_before.shifts, 0) as usual_shifts,
    cast(case when shifts_before.shifts > 0 then {{ ratio("coalesce(before.downtime_s, 0)", "shifts_before.shifts", 3) }} end as decimal(18, 3))
        as usual_downtime_s,
    cast(case when shifts_before.shifts > 0 then {{ ratio("coalesce(before.stops, 0)", "shifts_before.shifts", 3) }} end as decimal(18, 3))
        as usual_stops
from totals
left join lines on totals.station_id = lines.station_id
left join reasons on totals.reason_code = reasons.reason_code
left join shifts_before on totals.station_id = shifts_before.station_id and totals.production_date = shifts_before.production_date
left join before
    on
        totals.station_id = before.station_id
        and totals.production_date = before.production_date
        and totals.category = before.category
        and totals.reason_code = before.reason_code
