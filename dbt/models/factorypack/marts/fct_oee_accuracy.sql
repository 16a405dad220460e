with lines as (
    select * from {{ ref('fct_oee_line_shift') }}
),

pacing as (
    select distinct
        line_id,
        pacing_station_id as station_id
    from lines
),

{# Of what people wrote, the time that the machines too were watched: neither planned nor without data. #}
log_entries as (
    select
        pacing.station_id,
        log.log_id,
        {{ epoch_ms("log.started_at") }} as from_ms,
        {{ epoch_ms("log.ended_at") }} as to_ms
    from {{ ref('stg_mes__manual_log') }} as log
    inner join pacing on log.line_id = pacing.line_id and (log.station_id is null or log.station_id = pacing.station_id)
    where log.started_at < {{ window_ends_at() }} and log.ended_at > {{ window_starts_at() }}
),

stops as (
    {{ factorypack_topmost("log_entries", ["station_id"], "from_ms asc, log_id asc", ["log_id"]) }}
),

shifts as (
    select * from {{ ref('int_shifts') }}
),

stops_in_shifts as (
    select
        stops.station_id,
        shifts.shift_id,
        {{ later_of("stops.from_ms", "shifts.starts_ms") }} as from_ms,
        {{ earlier_of("stops.to_ms", "shifts.ends_ms") }} as to_ms
    from stops
    inner join shifts on stops.from_ms < shifts.ends_ms and stops.to_ms > shifts.starts_ms
),

states as (
    select * from {{ ref('int_station_states') }}
    where category not in ('planned', 'no_data')
),

logged as (
    select
        states.station_id,
        states.shift_id,
        cast(sum(
            {{ earlier_of("stops.to_ms", "states.to_ms") }} - {{ later_of("stops.from_ms", "states.from_ms") }}
        ) as bigint) as logged_ms
    from stops_in_shifts as stops
    inner join states
        on
            stops.station_id = states.station_id
            and stops.shift_id = states.shift_id
            and stops.from_ms < states.to_ms
            and stops.to_ms > states.from_ms
    group by states.station_id, states.shift_id
),

counts as (
    select
        *,
        good_units + scrap_units + rework_units as produced_units,
        row_number() over (
            partition by station_id, production_date, shift order by entered_at desc, count_id desc
        ) as nth
    from {{ ref('stg_mes__manual_counts') }}
),

{# The planned run time of the units that people counted: that of the counted mix, else of the product that ran longest. #}
longest as (
    select
        *,
        row_number() over (
            partition by station_id, shift_id
            order by production_ms + setup_ms + delay_ms + down_ms desc, product_id asc, order_id asc
        ) as nth
    from {{ ref('int_station_order_shifts') }}
    where ideal_cycle_s is not null
),

joined as (
    select
        lines.calendar,
        lines.shift_id,
        lines.production_date,
        lines.line_id,
        lines.pacing_station_id as station_id,
        lines.is_doubtful,
        lines.known_s,
        lines.availability,
        lines.effectiveness,
        lines.quality,
        lines.oee,
        counts.good_units as manual_good_units,
        counts.produced_units as manual_produced_units,
        lines.produced_units,
        {{ factorypack_seconds("coalesce(logged.logged_ms, 0)") }} as manual_stop_s,
        case
            when lines.ideal_s > 0 then {{ ratio("lines.ideal_s", "lines.produced_units - lines.units_without_ideal", 6) }}
            else longest.ideal_cycle_s
        end as ideal_cycle_s
    from lines
    left join counts
        on
            lines.pacing_station_id = counts.station_id
            and lines.production_date = counts.production_date
            and lines.shift = counts.shift
            and counts.nth = 1
    left join logged on lines.pacing_station_id = logged.station_id and lines.shift_id = logged.shift_id
    left join longest on lines.pacing_station_id = longest.station_id and lines.shift_id = longest.shift_id and longest.nth = 1
),

figured as (
    select
        *,
        cast(known_s - manual_stop_s as decimal(18, 3)) as manual_running_s,
        cast({{ ratio("known_s - manual_stop_s", "known_s", 6) }} as decimal(18, 6)) as manual_availability,
        cast({{ ratio("cast(manual_produced_units as decimal(12, 0)) * ideal_cycle_s", "known_s - manual_stop_s", 6) }} as decimal(18, 6))
            as manual_effectiveness,
        cast({{ ratio("manual_good_units", "manual_produced_units", 6) }} as decimal(18, 6)) as manual_quality,
        cast(case
            when manual_produced_units is null or ideal_cycle_s is null then null
            else {{ ratio("cast(manual_good_units as decimal(12, 0)) * ideal_cycle_s", "known_s", 6) }}
        end as decimal(18, 6)) as manual_oee
    from joined
)

select
    calendar,
    shift_id,
    production_date,
    line_id,
    station_id,
    is_doubtful,
    known_s,
    manual_stop_s,
    manual_running_s,
    cast(manual_good_units as bigint) as manual_good_units,
    cast(manual_produced_units as bigint) as manual_produced_units,
    produced_units,
    availability,
    manual_availability,
    cast(100 * (availability - manual_availability) as decimal(18, 4)) as availability_difference_points,
    effectiveness,
    manual_effectiveness,
    quality,
    manual_quality,
    cast(100 * (quality - manual_quality) as decimal(18, 4)) as quality_difference_points,
    oee,
    manual_oee,
    cast(100 * (oee - manual_oee) as decimal(18, 4)) as oee_difference_points,
    cast(100 * {{ ratio("oee - manual_oee", "manual_oee", 6) }} as decimal(18, 4)) as oee_difference_pct
from figured
