{%- set summed = [
    "planned_ms", "no_data_ms", "production_ms", "setup_ms", "delay_ms", "down_ms", "unknown_ms", "micro_stop_ms", "micro_stops",
    "failure_ms", "failures", "changeovers", "good_units", "scrap_units", "rework_units", "produced_units", "units_without_ideal",
    "counter_roll_overs", "counter_resets", "corrected_units",
] -%}
with shifts as (
    select * from {{ ref('int_shifts') }}
),

stations as (
    select * from {{ ref('int_stations') }}
),

rules as (
    select * from {{ ref('int_line_rules') }}
),

inspections as (
    select * from {{ ref('int_first_inspections') }}
),

summed as (
    select
        station_id,
        shift_id,
        {%- for column in summed %}
            cast(sum({{ column }}) as bigint) as {{ column }},
        {%- endfor %}
        cast(sum(ideal_s) as decimal(18, 6)) as ideal_s,
        cast(sum(ideal_good_s) as decimal(18, 6)) as ideal_good_s
    from {{ ref('int_station_order_shifts') }}
    group by station_id, shift_id
),

with_times as (
    select
        summed.*,
        shifts.calendar,
        shifts.production_date,
        shifts.shift,
        shifts.shift_name,
        shifts.operating_ms,
        stations.line_id,
        stations.is_pacing,
        rules.micro_stop_treatment,
        rules.max_no_data_share,
        cast(summed.ideal_s * 1000 as decimal(22, 3)) as ideal_ms,
        shifts.ends_ms - shifts.starts_ms as clock_ms,
        shifts.operating_ms - summed.planned_ms as busy_ms,
        summed.production_ms + summed.setup_ms + summed.delay_ms + summed.down_ms + summed.unknown_ms as known_ms,
        summed.production_ms
        + case when rules.micro_stop_treatment = 'performance' then summed.micro_stop_ms else 0 end as running_ms,
        coalesce(inspections.inspected_units, 0) as inspected_units,
        coalesce(inspections.passed_units, 0) as passed_units
    from summed
    inner join shifts on summed.shift_id = shifts.shift_id
    inner join stations on summed.station_id = stations.station_id
    inner join rules on stations.line_id = rules.line_id
    left join inspections on summed.station_id = inspections.station_id and summed.shift_id = inspections.shift_id
),

figured as (
    select
        *,
        {{ factorypack_figures() }},
        cast({{ ratio("no_data_ms", "busy_ms", 6) }} as decimal(18, 6)) as no_data_share
    from with_times
)

select
    cast(calendar as varchar) as calendar,
    shift_id,
    production_date,
    shift,
    shift_name,
    line_id,
    station_id,
    is_pacing,
    {{ factorypack_seconds("clock_ms") }} as clock_s,
    {{ factorypack_seconds("operating_ms") }} as pot_s,
    {{ factorypack_seconds("planned_ms") }} as planned_s,
    {{ factorypack_seconds("busy_ms") }} as pbt_s,
    {{ factorypack_seconds("no_data_ms") }} as no_data_s,
    {{ factorypack_seconds("known_ms") }} as known_s,
    {{ factorypack_seconds("production_ms") }} as apt_s,
    {{ factorypack_seconds("setup_ms") }} as aust_s,
    {{ factorypack_seconds("delay_ms") }} as adet_s,
    {{ factorypack_seconds("down_ms") }} as adot_s,
    {{ factorypack_seconds("unknown_ms") }} as unknown_s,
    cast(micro_stops as integer) as micro_stops,
    {{ factorypack_seconds("micro_stop_ms") }} as micro_stop_s,
    micro_stop_treatment,
    {{ factorypack_seconds("running_ms") }} as running_s,
    cast(failures as integer) as failures,
    {{ factorypack_seconds("failure_ms") }} as failure_s,
    cast(changeovers as integer) as changeovers,
    good_units,
    scrap_units,
    rework_units,
    produced_units,
    corrected_units,
    units_without_ideal,
    ideal_s,
    ideal_good_s,
    cast({{ factorypack_seconds("production_ms") }} - ideal_s as decimal(18, 6)) as speed_loss_s,
    availability,
    effectiveness,
    quality,
    oee,
    nee,
    cast(case when oee = 0 then 0 when oee is not null then {{ ratio(
        "ideal_ms * cast(good_units as decimal(12, 0))", "cast(clock_ms as decimal(20, 0)) * cast(produced_units as decimal(12, 0))", 6
    ) }} end as decimal(18, 6)) as teep,
    cast(case
        when inspected_units > 0 then {{ ratio("passed_units", "inspected_units", 6) }}
        else {{ ratio("produced_units - scrap_units - rework_units", "produced_units", 6) }}
    end as decimal(18, 6)) as first_pass_yield,
    case when inspected_units > 0 then 'inspections' when produced_units > 0 then 'counts' end as fpy_source,
    cast({{ ratio("scrap_units", "produced_units", 6) }} as decimal(18, 6)) as scrap_ratio,
    cast({{ ratio("rework_units", "produced_units", 6) }} as decimal(18, 6)) as rework_ratio,
    cast({{ ratio("production_ms", "failures * 1000", 3) }} as decimal(18, 3)) as mtbf_s,
    cast({{ ratio("failure_ms", "failures * 1000", 3) }} as decimal(18, 3)) as mttr_s,
    cast({{ ratio("planned_ms", "operating_ms", 6) }} as decimal(18, 6)) as planned_share,
    no_data_share,
    coalesce(no_data_share > max_no_data_share, false) as is_doubtful,
    coalesce(availability > 1, false)
    or coalesce(effectiveness > 1, false)
    or coalesce(quality > 1, false)
    or coalesce(oee > 1, false) as is_over_100,
    cast(counter_roll_overs as integer) as counter_roll_overs,
    cast(counter_resets as integer) as counter_resets
from figured
