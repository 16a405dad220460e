{%- set categories = ["production", "setup", "delay", "down", "no_data", "planned"] -%}
{%- set overlays = {
    "orders": [["order", "'open'"], ["order_id", "spans.order_id"], ["product_id", "spans.product_id"]],
    "interruptions": [["interruption", "'interrupted'"]],
    "parts": [["part", "spans.shift_id"]],
    "breaks": [["break", "spans.break_name"]],
    "planned_stops": [["planned_stop", "spans.reason_code"]],
    "reason_corrections": [["reason_correction", "spans.new_value"]],
    "state_corrections": [["state_correction", "spans.new_value"]],
} -%}
{%- set kinds = [
    "execution", "mode", "fault_code", "order", "order_id", "product_id", "interruption", "part", "break", "planned_stop",
    "reason_correction", "state_correction",
] -%}
{%- set by_time = "partition by station_id, shift_id order by at_ms asc, place asc, kind asc" -%}
{%- set by_measurement = "partition by station_id, measurement order by at_ms asc, place asc" -%}
{%- set look_back_ms = (var("ot_look_back_h") * 3600000) | int -%}
with stations as (
    select * from {{ ref('int_stations') }}
    where calendar = '{{ var("calendar") }}'
),

periods as (
    {{ close_periods() }}
),

shifts as (
    select
        shift_id,
        {{ epoch_ms("starts_at") }} as starts_ms,
        {{ epoch_ms("ends_at") }} as ends_ms
    from periods
),

reasons as (
    select * from {{ ref('stg_mes__reasons') }}
),

orders as (
    select
        station_id,
        from_ms,
        to_ms,
        coalesce(order_id, '') as order_id,
        coalesce(product_id, '') as product_id
    from {{ ref('int_station_orders') }}
),

interruptions as (
    select * from {{ ref('int_station_interruptions') }}
),

shift_parts as (
    {{ close_period_parts() }}
),

parts as (
    select
        stations.station_id,
        {{ epoch_ms("shift_parts.starts_at") }} as from_ms,
        {{ epoch_ms("shift_parts.ends_at") }} as to_ms,
        shift_parts.shift_id
    from shift_parts
    cross join stations
),

shift_breaks as (
    {{ close_period_breaks() }}
),

breaks as (
    select
        stations.station_id,
        {{ epoch_ms("shift_breaks.starts_at") }} as from_ms,
        {{ epoch_ms("shift_breaks.ends_at") }} as to_ms,
        shift_breaks.name as break_name
    from shift_breaks
    cross join stations
),

stops_of_stations as (
    select
        stations.station_id,
        {{ epoch_ms("stops.from_at") }} as from_ms,
        {{ epoch_ms("stops.to_at") }} as to_ms,
        stops.planned_stop_id,
        stops.reason_code
    from {{ ref('stg_mes__planned_stops') }} as stops
    inner join stations
        on stops.line_id = stations.line_id and (stops.station_id is null or stops.station_id = stations.station_id)
    where stops.from_at < {{ window_ends_at() }} and stops.to_at > {{ window_starts_at() }}
),

planned_stops as (
    {{ factorypack_topmost("stops_of_stations", ["station_id"], "from_ms asc, planned_stop_id asc", ["reason_code"]) }}
),

corrections as (
    select
        corrections.station_id,
        corrections.what,
        corrections.new_value,
        corrections.entered_at,
        corrections.correction_id,
        {{ epoch_ms("corrections.from_at") }} as from_ms,
        {{ epoch_ms("corrections.to_at") }} as to_ms
    from {{ ref('stg_mes__manual_corrections') }} as corrections
    inner join stations on corrections.station_id = stations.station_id
    where
        corrections.what in ('reason', 'state')
        and corrections.from_at < {{ window_ends_at() }}
        and corrections.to_at > {{ window_starts_at() }}
),

latest_corrections as (
    {{ factorypack_topmost(
        "corrections", ["station_id", "what"], "entered_at asc, correction_id asc", ["new_value"]
    ) }}
),

reason_corrections as (
    select * from latest_corrections
    where what = 'reason'
),

state_corrections as (
    select * from latest_corrections
    where what = 'state'
),

samples as (
    select
        samples.station_id,
        samples.measurement,
        samples.at_ms,
        coalesce(samples.known_value, '') as known_value
    from {{ ref('int_station_samples') }} as samples
    inner join stations on samples.station_id = stations.station_id
),

told_ones as (
    select distinct
        station_id,
        measurement
    from samples
),

with_starts as (
    select
        station_id,
        measurement,
        at_ms,
        1 as place,
        known_value,
        cast(null as varchar) as shift_id
    from samples
    union all
    select
        told_ones.station_id,
        told_ones.measurement,
        shifts.starts_ms as at_ms,
        0 as place,
        cast(null as varchar) as known_value,
        shifts.shift_id
    from shifts
    cross join told_ones
),

with_standing as (
    select
        *,
        {{ last_known("case when place = 1 then at_ms end", by_measurement) }} as standing_ms,
        {{ last_known("known_value", by_measurement) }} as standing_value
    from with_starts
),

{# A shift knows what was told in it, and the last that was told before; so it comes out the same whatever is closed with it. #}
samples_of_shifts as (
    select
        shift_id,
        station_id,
        measurement,
        standing_ms as at_ms,
        standing_value as known_value
    from with_standing
    where place = 0 and standing_ms >= at_ms - {{ look_back_ms }}
    union all
    select
        shifts.shift_id,
        samples.station_id,
        samples.measurement,
        samples.at_ms,
        samples.known_value
    from samples
    inner join shifts on samples.at_ms >= shifts.starts_ms and samples.at_ms < shifts.ends_ms
),

{# What begins or ends, at which millisecond; of one millisecond the ends come first. An empty value is none. What was in
    force before the shift is taken to have been so for as long as anything is known. #}
events as (
    select
        shift_id,
        station_id,
        at_ms,
        1 as place,
        measurement as kind,
        known_value as new_value
    from samples_of_shifts
    {% for overlay, columns in overlays.items() %}
        union all
        select
            shifts.shift_id,
            spans.station_id,
            case
                when edges.is_start = 0 then spans.to_ms
                when spans.from_ms {{ "<=" if overlay == "interruptions" else "<" }} shifts.starts_ms then shifts.starts_ms - {{ look_back_ms }}
                else spans.from_ms
            end as at_ms,
            edges.is_start as place,
            edges.kind,
            case
                when edges.is_start = 0 then ''
                {%- for kind, column in columns %}
                    when edges.kind = '{{ kind }}' then {{ column }}
                {%- endfor %}
            end as new_value
        from {{ overlay }} as spans
        inner join shifts on
            {% if overlay == "parts" %}spans.shift_id = shifts.shift_id{% else %}spans.from_ms < shifts.ends_ms and spans.to_ms > shifts.starts_ms{% endif %}
        cross join {{ factorypack_edges("kind", columns | map("first")) }}
    {% endfor %}
),

in_force as (
    select
        shift_id,
        station_id,
        at_ms as from_ms,
        {%- for kind in kinds %}
            {{ last_known("case when kind = '" ~ kind ~ "' then new_value end", by_time) }} as last_{{ kind }},
        {%- endfor %}
        lead(at_ms) over ({{ by_time }}) as to_ms
    from events
),

pieces as (
    select
        in_force.shift_id,
        in_force.station_id,
        in_force.from_ms,
        in_force.to_ms,
        shifts.starts_ms,
        shifts.ends_ms,
        stations.line_id,
        stations.vocabulary,
        stations.micro_stop_ms,
        {%- for kind in kinds if kind != "order" %}
            nullif(in_force.last_{{ kind }}, '') as {{ "is_interrupted" if kind == "interruption" else "at_" ~ kind }},
        {%- endfor %}
        case when stations.has_orders and coalesce(in_force.last_order, '') = '' then 'none' else 'open' end as order_state
    from in_force
    inner join stations on in_force.station_id = stations.station_id
    inner join shifts on in_force.shift_id = shifts.shift_id
    where in_force.to_ms > in_force.from_ms and in_force.from_ms < shifts.ends_ms
),

{# A corrected state is a category, or a state in the station's own words. #}
corrected as (
    select
        *,
        case when lower(at_state_correction) in ('{{ categories | join("', '") }}') then lower(at_state_correction) end
            as corrected_category,
        coalesce(upper(at_state_correction), at_execution) as told_execution,
        case when at_state_correction is null then at_mode end as told_mode,
        case when at_fault_code <> 'NONE' then at_fault_code end as raised_fault
    from pieces
),

told as (
    select distinct
        vocabulary,
        told_execution,
        told_mode,
        order_state
    from corrected
),

fitting as (
    select
        told.vocabulary,
        told.told_execution,
        told.told_mode,
        told.order_state,
        meanings.category,
        meanings.reason_code,
        row_number() over (
            partition by told.vocabulary, told.told_execution, told.told_mode, told.order_state
            order by
                case when meanings.execution = '*' then 1 else 0 end asc,
                case when meanings.mode = '*' then 1 else 0 end asc,
                case when meanings.order_state = '*' then 1 else 0 end asc
        ) as nth
    from told
    inner join {{ ref('factorypack_states') }} as meanings
        on
            told.vocabulary = meanings.vocabulary
            and (meanings.execution = '*' or told.told_execution = upper(meanings.execution))
            and (meanings.mode = '*' or told.told_mode = upper(meanings.mode))
            and (meanings.order_state = '*' or told.order_state = meanings.order_state)
    where told.told_execution is not null
),

by_state as (
    select
        corrected.*,
        fitting.reason_code as usual_reason,
        case
            when corrected.corrected_category is not null then corrected.corrected_category
            when corrected.at_state_correction is not null then coalesce(fitting.category, 'unknown')
            when corrected.is_interrupted is not null or corrected.at_execution is null then 'no_data'
            else coalesce(fitting.category, 'unknown')
        end as category_by_state
    from corrected
    left join fitting
        on
            corrected.vocabulary = fitting.vocabulary
            and corrected.told_execution = fitting.told_execution
            and coalesce(corrected.told_mode, '') = coalesce(fitting.told_mode, '')
            and corrected.order_state = fitting.order_state
            and fitting.nth = 1
),

with_standstill as (
    select
        *,
        case
            when category_by_state = lag(category_by_state) over (partition by station_id, shift_id order by from_ms asc) then 0
            else 1
        end as is_other_state
    from by_state
),

numbered_standstills as (
    select
        *,
        sum(is_other_state) over (
            partition by station_id, shift_id order by from_ms asc rows between unbounded preceding and current row
        ) as standstill
    from with_standstill
),

{# A machine may raise its fault a little after it stopped, and clear it a little before it starts. #}
with_fault as (
    select
        *,
        coalesce(
            {{ last_known("raised_fault", "partition by station_id, shift_id, standstill order by from_ms asc") }},
            {{ last_known("raised_fault", "partition by station_id, shift_id, standstill order by from_ms desc") }}
        ) as fault_code
    from numbered_standstills
),

{# What a stop is for can make set-up of it, and a person's word a planned stop. #}
by_reason as (
    select
        with_fault.*,
        reasons.reason_code as known_reason,
        case
            when with_fault.category_by_state not in ('setup', 'delay', 'down') then with_fault.category_by_state
            when with_fault.at_reason_correction is not null and reasons.is_planned then 'planned'
            when reasons.is_setup then 'setup'
            else with_fault.category_by_state
        end as base_category
    from with_fault
    left join reasons
        on upper(coalesce(with_fault.at_reason_correction, with_fault.fault_code)) = upper(reasons.reason_code)
),

with_change as (
    select
        *,
        case
            when base_category = lag(base_category) over (partition by station_id, shift_id order by from_ms asc) then 0
            else 1
        end as is_change
    from by_reason
),

numbered_runs as (
    select
        *,
        sum(is_change) over (
            partition by station_id, shift_id order by from_ms asc rows between unbounded preceding and current row
        ) as run_number
    from with_change
),

with_run as (
    select
        *,
        min(from_ms) over (partition by station_id, shift_id, run_number) as run_from_ms,
        max(to_ms) over (partition by station_id, shift_id, run_number) as run_to_ms
    from numbered_runs
),

judged as (
    select
        with_run.station_id,
        with_run.line_id,
        with_run.shift_id,
        with_run.starts_ms as shift_starts_ms,
        with_run.from_ms,
        with_run.to_ms,
        with_run.told_execution as execution,
        with_run.told_mode as mode,
        with_run.at_order_id as order_id,
        with_run.at_product_id as product_id,
        with_run.run_number,
        with_run.run_from_ms,
        with_run.run_to_ms,
        with_run.order_state,
        with_run.usual_reason,
        case
            when with_run.at_break is not null or with_run.at_planned_stop is not null then 'planned'
            else with_run.base_category
        end as category,
        with_run.run_to_ms >= with_run.ends_ms as is_open,
        with_run.base_category = 'delay'
        and with_run.run_to_ms < with_run.ends_ms
        and with_run.run_to_ms - with_run.run_from_ms < with_run.micro_stop_ms as is_micro_stop,
        coalesce(with_run.at_planned_stop, with_run.at_break) as planned_reason,
        coalesce(with_run.known_reason, with_run.at_reason_correction) as corrected_reason,
        with_run.at_reason_correction is not null as is_corrected,
        coalesce(with_run.known_reason, with_run.fault_code) as machine_reason,
        with_run.fault_code is not null as is_fault
    from with_run
    where with_run.at_part is not null
),

reasoned as (
    select
        *,
        case
            when category in ('production', 'no_data') then cast(null as varchar)
            when category = 'planned' and planned_reason is not null then planned_reason
            when is_corrected then corrected_reason
            when category = 'unknown' then 'unknown'
            when is_fault then machine_reason
            when usual_reason is not null then usual_reason
            when category = 'setup' then 'setup'
            when category = 'down' and order_state = 'none' then 'no_order'
            when category = 'down' then 'waiting'
            else 'unknown'
        end as reason_code,
        case
            when category in ('production', 'no_data') then cast(null as varchar)
            when category = 'planned' and planned_reason is not null then 'calendar'
            when is_corrected then 'correction'
            when category <> 'unknown' and is_fault then 'machine'
            else 'state'
        end as reason_source
    from judged
),

with_border as (
    select
        *,
        case
            when
                from_ms = lag(to_ms) over (partition by station_id, shift_id order by from_ms asc)
                {%- for column in [
                    "category", "execution", "mode", "reason_code", "reason_source", "order_id", "product_id",
                ] %}
                    and coalesce({{ column }}, '')
                    = lag(coalesce({{ column }}, '')) over (partition by station_id, shift_id order by from_ms asc)
                {%- endfor %}
                and run_number = lag(run_number) over (partition by station_id, shift_id order by from_ms asc)
                then 0
            else 1
        end as is_border
    from reasoned
),

with_stretch as (
    select
        *,
        sum(is_border) over (
            partition by station_id, shift_id order by from_ms asc rows between unbounded preceding and current row
        ) as stretch
    from with_border
),

stretches as (
    select
        station_id,
        line_id,
        shift_id,
        shift_starts_ms,
        category,
        execution,
        mode,
        reason_code,
        reason_source,
        order_id,
        product_id,
        run_number,
        run_from_ms,
        run_to_ms,
        is_open,
        is_micro_stop,
        min(from_ms) as from_ms,
        max(to_ms) as to_ms
    from with_stretch
    group by
        station_id, line_id, shift_id, shift_starts_ms, stretch, category, execution, mode, reason_code, reason_source,
        order_id, product_id, run_number, run_from_ms, run_to_ms, is_open, is_micro_stop
),

numbered as (
    select
        *,
        row_number() over (partition by station_id, shift_id, run_number, category order by from_ms asc) as nth_of_run
    from stretches
)

select
    station_id,
    line_id,
    shift_id,
    from_ms,
    to_ms,
    category,
    execution,
    mode,
    reason_code,
    reason_source,
    run_to_ms,
    is_open,
    case when run_from_ms = shift_starts_ms - {{ look_back_ms }} then shift_starts_ms else run_from_ms end as run_from_ms,
    to_ms - from_ms as duration_ms,
    coalesce(order_id, 'none') as order_id,
    coalesce(product_id, 'none') as product_id,
    category = 'delay' and is_micro_stop as is_micro_stop,
    nth_of_run = 1 and run_from_ms >= shift_starts_ms as is_first
from numbered
