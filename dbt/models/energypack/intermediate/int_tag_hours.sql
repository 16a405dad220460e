{%- set hour = 3600000 -%}
with tags as (
    select * from {{ ref('int_well_tags') }}
),

gaps as (
    select
        tags.tag_number,
        gaps.from_at,
        gaps.to_at,
        gaps.cause,
        gaps.state
    from {{ ref('stg_ot__gaps') }} as gaps
    inner join tags on gaps.tag_id = tags.tag_id
),

hours as (
    select
        row_number() over (order by started_at asc) as hour_number,
        production_date,
        started_at,
        ended_at,
        {{ epoch_ms("started_at") }} as started_ms,
        {{ epoch_ms("ended_at") }} as ended_ms
    from {{ ref('int_contract_hours') }}
),

bounds as (
    select
        min(started_ms) as starts_ms,
        max(ended_ms) as ends_ms
    from hours
),

{# The hours of a clock in UTC that a contract hour touches: one, or two where the contract day starts between hours. #}
clock_hours as (
    select
        {{ whole("started_ms", hour) }} as clock_hour,
        hour_number,
        started_ms,
        ended_ms
    from hours
    union all
    select
        {{ whole("ended_ms - 1", hour) }} as clock_hour,
        hour_number,
        started_ms,
        ended_ms
    from hours
    where {{ whole("ended_ms - 1", hour) }} <> {{ whole("started_ms", hour) }}
),

readings as (
    select
        tags.tag_number,
        readings.observed_at,
        readings.sequence,
        {{ epoch_ms("readings.observed_at") }} as observed_ms,
        readings.unit,
        readings.quality,
        {{ is_no_connection() }} as is_no_connection,
        case
            when readings.quality >= {{ ot_bad() }} then cast(null as decimal(18, 6))
            when readings.value_bool then cast(1 as decimal(18, 6))
            when not readings.value_bool then cast(0 as decimal(18, 6))
            else {{ exact_reading("readings.value_double") }}
        end as known_value
    from {{ ref('stg_ot__readings') }} as readings
    inner join tags on readings.tag_id = tags.tag_id
),

{# History has told what happened while there was no connection. #}
refuted as (
    select distinct
        readings.tag_number,
        readings.observed_at,
        readings.sequence
    from readings
    inner join gaps
        on
            readings.tag_number = gaps.tag_number
            and readings.observed_at >= gaps.from_at
            and readings.observed_at <= gaps.to_at
    where readings.is_no_connection and gaps.state = 'backfilled'
),

samples as (
    select
        readings.tag_number,
        readings.observed_at,
        readings.sequence,
        readings.observed_ms,
        readings.unit,
        readings.quality,
        readings.known_value
    from readings
    left join refuted
        on
            readings.tag_number = refuted.tag_number
            and readings.observed_at = refuted.observed_at
            and readings.sequence = refuted.sequence
    where refuted.tag_number is null
),

{# After a gap in which readings themselves were lost, what came before it is no longer in force. #}
events as (
    select
        tag_number,
        observed_ms,
        1 as place,
        observed_at,
        sequence,
        unit,
        known_value,
        case when quality >= {{ ot_uncertain() }} and known_value is not null then 1 else 0 end as is_uncertain,
        case when known_value is null then 1 else 0 end as is_bad
    from samples
    union all
    select distinct
        tag_number,
        {{ epoch_ms("to_at") }} as observed_ms,
        0 as place,
        to_at as observed_at,
        0 as sequence,
        cast(null as varchar) as unit,
        cast(null as decimal(18, 6)) as known_value,
        0 as is_uncertain,
        0 as is_bad
    from gaps
    where state in ('open', 'lost') and cause in ('outbox_full', 'spool_corrupt')
),

followed as (
    select
        tag_number,
        observed_ms,
        place,
        unit,
        known_value,
        is_uncertain,
        is_bad,
        lead(observed_ms) over (
            partition by tag_number order by observed_ms asc, place asc, observed_at asc, sequence asc
        ) as next_ms
    from events
),

held as (
    select
        followed.tag_number,
        followed.unit,
        followed.known_value,
        followed.is_uncertain,
        followed.is_bad,
        case when followed.observed_ms >= bounds.starts_ms then 1 else 0 end as is_of_window,
        {{ later_of("followed.observed_ms", "bounds.starts_ms") }} as from_ms,
        {{ earlier_of("coalesce(followed.next_ms, bounds.ends_ms)", "bounds.ends_ms") }} as to_ms
    from followed
    cross join bounds
    where followed.place = 1
),

in_first_hour as (
    select
        held.tag_number,
        held.unit,
        held.known_value,
        held.is_uncertain,
        held.is_bad,
        held.is_of_window,
        held.from_ms,
        held.to_ms,
        clock_hours.hour_number,
        clock_hours.ended_ms as hour_ended_ms
    from held
    inner join clock_hours
        on
            {{ whole("held.from_ms", hour) }} = clock_hours.clock_hour
            and held.from_ms >= clock_hours.started_ms
            and held.from_ms < clock_hours.ended_ms
    where held.to_ms >= held.from_ms
),

pieces as (
    select
        tag_number,
        hour_number,
        unit,
        known_value,
        is_of_window as readings,
        is_of_window * is_uncertain as uncertain_readings,
        is_of_window * is_bad as bad_readings,
        from_ms,
        {{ earlier_of("to_ms", "hour_ended_ms") }} as to_ms
    from in_first_hour
    union all
    select
        in_first_hour.tag_number,
        hours.hour_number,
        in_first_hour.unit,
        in_first_hour.known_value,
        0 as readings,
        0 as uncertain_readings,
        0 as bad_readings,
        hours.started_ms as from_ms,
        {{ earlier_of("in_first_hour.to_ms", "hours.ended_ms") }} as to_ms
    from in_first_hour
    inner join hours
        on in_first_hour.hour_ended_ms <= hours.started_ms and in_first_hour.to_ms > hours.started_ms
    where in_first_hour.known_value is not null and in_first_hour.to_ms > in_first_hour.hour_ended_ms
),

known_hours as (
    select distinct
        tag_number,
        hour_number
    from pieces
    where known_value is not null
),

interruptions as (
    select
        known_hours.tag_number,
        known_hours.hour_number,
        interruptions.from_ms,
        interruptions.to_ms
    from known_hours
    inner join hours on known_hours.hour_number = hours.hour_number
    inner join tags on known_hours.tag_number = tags.tag_number
    inner join {{ ref('int_tag_interruptions') }} as interruptions
        on
            tags.tag_id = interruptions.tag_id
            and hours.started_ms < interruptions.to_ms
            and hours.ended_ms > interruptions.from_ms
),

weighted as (
    select
        tag_number,
        hour_number,
        unit,
        known_value,
        readings,
        uncertain_readings,
        bad_readings,
        to_ms - from_ms as held_ms
    from pieces
    union all
    select
        pieces.tag_number,
        pieces.hour_number,
        pieces.unit,
        pieces.known_value,
        0 as readings,
        0 as uncertain_readings,
        0 as bad_readings,
        {{ later_of("pieces.from_ms", "interruptions.from_ms") }}
        - {{ earlier_of("pieces.to_ms", "interruptions.to_ms") }} as held_ms
    from pieces
    inner join interruptions
        on
            pieces.tag_number = interruptions.tag_number
            and pieces.hour_number = interruptions.hour_number
            and pieces.from_ms < interruptions.to_ms
            and pieces.to_ms > interruptions.from_ms
    where pieces.known_value is not null
),

summed as (
    select
        tag_number,
        hour_number,
        unit,
        cast(sum(readings) as bigint) as readings,
        cast(sum(uncertain_readings) as bigint) as uncertain_readings,
        cast(sum(bad_readings) as bigint) as bad_readings,
        cast(sum(case when known_value is null then 0 else held_ms end) as bigint) as covered_ms,
        cast(sum(case when known_value <> 0 then held_ms else 0 end) as bigint) as not_zero_ms,
        cast(sum(known_value * cast(held_ms as decimal(18, 0))) as decimal(38, 6)) as value_ms
    from weighted
    group by tag_number, hour_number, unit
)

select
    tags.tag_id,
    tags.well_id,
    tags.field_code,
    tags.measurement,
    summed.unit,
    hours.production_date,
    hours.started_at,
    hours.ended_at,
    summed.readings,
    summed.uncertain_readings,
    summed.bad_readings,
    summed.covered_ms,
    summed.not_zero_ms,
    summed.value_ms
from summed
inner join tags on summed.tag_number = tags.tag_number
inner join hours on summed.hour_number = hours.hour_number
where summed.readings > 0 or summed.covered_ms > 0
