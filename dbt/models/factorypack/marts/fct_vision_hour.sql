{%- set columns = ["shift_id", "production_date", "camera_id", "station_id", "product_id", "verdict", "is_first", "confidence", "calendar"] -%}
{%- set place = ["camera_id", "station_id", "product_id"] -%}
with inspections as (
    select * from {{ ref('fct_vision_inspection') }}
),

reviews as (
    select * from {{ ref('int_vision_reviews') }}
),

published_inspections as (
    {{ published('fct_vision_inspection', columns) }}
),

closed as (
    select shift_id from {{ ref('int_shifts') }}
),

{# The four weeks before a shift: as published, and what this close builds anew of them. #}
known_inspections as (
    select {{ columns | join(", ") }} from inspections
    union all
    select published_inspections.{{ columns | join(", published_inspections.") }}
    from published_inspections
    left join closed on published_inspections.shift_id = closed.shift_id
    where
        closed.shift_id is null
        and published_inspections.calendar = '{{ var("calendar") }}'
        and published_inspections.production_date >= date '{{ var("from_date") }}' - interval '28' day
        and published_inspections.production_date <= date '{{ var("to_date") }}'
),

by_day as (
    select
        camera_id,
        station_id,
        product_id,
        production_date,
        sum(case when is_first then 1 else 0 end) as inspected_units,
        sum(case when is_first and verdict = 'pass' then 1 else 0 end) as passed_units,
        count(confidence) as confident,
        sum(confidence) as confidence
    from known_inspections
    group by camera_id, station_id, product_id, production_date
),

days as (
    select distinct
        camera_id,
        station_id,
        product_id,
        production_date
    from inspections
),

before as (
    select
        days.camera_id,
        days.station_id,
        days.product_id,
        days.production_date,
        cast(sum(by_day.inspected_units) as bigint) as inspected_units,
        cast({{ ratio("sum(by_day.passed_units)", "sum(by_day.inspected_units)", 6) }} as decimal(18, 6)) as first_pass_yield,
        cast({{ ratio("sum(by_day.confidence)", "sum(by_day.confident)", 6) }} as decimal(18, 6)) as mean_confidence
    from days
    inner join by_day
        on
            {% for column in place %}days.{{ column }} = by_day.{{ column }} and {% endfor %}
            days.production_date > by_day.production_date
            and days.production_date - interval '28' day <= by_day.production_date
    group by days.camera_id, days.station_id, days.product_id, days.production_date
),

{# What cameras saw in the hour, and what people found in it of what cameras had seen before. #}
told as (
    select
        calendar,
        shift_id,
        production_date,
        line_id,
        station_id,
        camera_id,
        product_id,
        hour_started_at,
        1 as inspections,
        case when is_judged then 0 else 1 end as unjudged,
        case when is_first then 1 else 0 end as inspected_units,
        case when is_first and verdict = 'pass' then 1 else 0 end as passed_units,
        case when is_first and verdict = 'fail' then 1 else 0 end as failed_units,
        defects,
        confidence,
        model_version,
        0 as reviewed_passes,
        0 as escapes_found,
        0 as reviewed_fails,
        0 as false_rejects_found
    from inspections
    union all
    select
        calendar,
        shift_id,
        production_date,
        line_id,
        station_id,
        camera_id,
        product_id,
        {{ factorypack_instant("hour_ms") }} as hour_started_at,
        0 as inspections,
        0 as unjudged,
        0 as inspected_units,
        0 as passed_units,
        0 as failed_units,
        0 as defects,
        cast(null as decimal(18, 6)) as confidence,
        cast(null as varchar) as model_version,
        case when verdict = 'pass' then 1 else 0 end as reviewed_passes,
        case when is_escape then 1 else 0 end as escapes_found,
        case when verdict = 'fail' then 1 else 0 end as reviewed_fails,
        case when is_false_reject then 1 else 0 end as false_rejects_found
    from reviews
),

summed as (
    select
        calendar,
        shift_id,
        production_date,
        line_id,
        station_id,
        camera_id,
        product_id,
        hour_started_at,
        {% for count in [
            "inspections", "unjudged", "inspected_units", "passed_units", "failed_units", "defects",
            "reviewed_passes", "escapes_found", "reviewed_fails", "false_rejects_found",
        ] %}
            cast(sum({{ count }}) as bigint) as {{ count }},
        {% endfor %}
        cast({{ average("confidence") }} as decimal(18, 6)) as mean_confidence,
        max(model_version) as model_version,
        cast(count(distinct model_version) as integer) as model_versions
    from told
    group by calendar, shift_id, production_date, line_id, station_id, camera_id, product_id, hour_started_at
)

select
    summed.calendar,
    summed.shift_id,
    summed.production_date,
    summed.line_id,
    summed.station_id,
    summed.camera_id,
    summed.product_id,
    summed.hour_started_at,
    summed.inspections,
    summed.unjudged,
    summed.inspected_units,
    summed.passed_units,
    summed.failed_units,
    cast({{ ratio("summed.passed_units", "summed.inspected_units", 6) }} as decimal(18, 6)) as first_pass_yield,
    before.first_pass_yield as usual_first_pass_yield,
    summed.defects,
    summed.mean_confidence,
    before.mean_confidence as usual_confidence,
    cast(summed.mean_confidence - before.mean_confidence as decimal(18, 6)) as confidence_drift,
    coalesce(before.inspected_units, 0) as usual_units,
    summed.reviewed_passes,
    summed.escapes_found,
    cast({{ ratio("summed.escapes_found", "summed.reviewed_passes", 6) }} as decimal(18, 6)) as escape_ratio,
    summed.reviewed_fails,
    summed.false_rejects_found,
    cast({{ ratio("summed.false_rejects_found", "summed.reviewed_fails", 6) }} as decimal(18, 6)) as false_reject_ratio,
    summed.model_version,
    summed.model_versions
from summed
left join before
    on
        {% for column in place %}summed.{{ column }} = before.{{ column }} and {% endfor %}
        summed.production_date = before.production_date
