{%- set place = ["camera_id", "station_id", "product_id"] -%}
{%- set seen_columns = ["shift_id", "production_date"] + place + ["is_judged", "calendar"] -%}
{%- set defect_columns = ["shift_id", "production_date"] + place + ["defect_class", "calendar"] -%}
with inspections as (
    select * from {{ ref('fct_vision_inspection') }}
),

defects as (
    select * from {{ ref('fct_vision_defect') }}
),

closed as (
    select shift_id from {{ ref('int_shifts') }}
),

published_inspections as (
    {{ published('fct_vision_inspection', seen_columns) }}
),

published_defects as (
    {{ published('fct_vision_defect', defect_columns) }}
),

{# The four weeks before a shift: as published, and what this close builds anew of them. #}
{% for name, columns in [("inspections", seen_columns), ("defects", defect_columns)] %}
    known_{{ name }} as (
        select {{ columns | join(", ") }} from {{ name }}
        union all
        select published_{{ name }}.{{ columns | join(", published_" ~ name ~ ".") }}
        from published_{{ name }}
        left join closed on published_{{ name }}.shift_id = closed.shift_id
        where
            closed.shift_id is null
            and published_{{ name }}.calendar = '{{ var("calendar") }}'
            and published_{{ name }}.production_date >= date '{{ var("from_date") }}' - interval '28' day
            and published_{{ name }}.production_date <= date '{{ var("to_date") }}'
    ),
{% endfor %}

seen_by_day as (
    select
        camera_id,
        station_id,
        product_id,
        production_date,
        sum(case when is_judged then 1 else 0 end) as inspections,
        count(distinct shift_id) as shifts
    from known_inspections
    group by camera_id, station_id, product_id, production_date
),

defects_by_day as (
    select
        camera_id,
        station_id,
        product_id,
        production_date,
        defect_class,
        count(*) as defects
    from known_defects
    group by camera_id, station_id, product_id, production_date, defect_class
),

seen as (
    select
        calendar,
        shift_id,
        production_date,
        line_id,
        camera_id,
        station_id,
        product_id,
        cast(sum(case when is_judged then 1 else 0 end) as bigint) as inspections
    from inspections
    group by calendar, shift_id, production_date, line_id, camera_id, station_id, product_id
),

days as (
    select distinct
        camera_id,
        station_id,
        product_id,
        production_date
    from seen
),

seen_before as (
    select
        days.camera_id,
        days.station_id,
        days.product_id,
        days.production_date,
        cast(sum(seen_by_day.shifts) as integer) as shifts,
        sum(seen_by_day.inspections) as inspections
    from days
    inner join seen_by_day
        on
            {% for column in place %}days.{{ column }} = seen_by_day.{{ column }} and {% endfor %}
            days.production_date > seen_by_day.production_date
            and days.production_date - interval '28' day <= seen_by_day.production_date
    group by days.camera_id, days.station_id, days.product_id, days.production_date
),

defects_before as (
    select
        days.camera_id,
        days.station_id,
        days.product_id,
        days.production_date,
        defects_by_day.defect_class,
        sum(defects_by_day.defects) as defects
    from days
    inner join defects_by_day
        on
            {% for column in place %}days.{{ column }} = defects_by_day.{{ column }} and {% endfor %}
            days.production_date > defects_by_day.production_date
            and days.production_date - interval '28' day <= defects_by_day.production_date
    group by days.camera_id, days.station_id, days.product_id, days.production_date, defects_by_day.defect_class
),

summed as (
    select
        shift_id,
        camera_id,
        station_id,
        product_id,
        defect_class,
        cast(count(*) as bigint) as defects,
        cast(count(distinct inspection_id) as bigint) as images
    from defects
    group by shift_id, camera_id, station_id, product_id, defect_class
),

{# A class that the camera usually finds and did not in this shift has a row too. #}
classes as (
    select
        seen.shift_id,
        seen.camera_id,
        seen.station_id,
        seen.product_id,
        defects_before.defect_class
    from seen
    inner join defects_before
        on
            {% for column in place %}seen.{{ column }} = defects_before.{{ column }} and {% endfor %}
            seen.production_date = defects_before.production_date
    union distinct
    select
        shift_id,
        camera_id,
        station_id,
        product_id,
        defect_class
    from summed
),

totals as (
    select
        seen.*,
        classes.defect_class,
        coalesce(summed.defects, 0) as defects,
        coalesce(summed.images, 0) as images,
        sum(coalesce(summed.defects, 0)) over (
            partition by classes.shift_id, classes.camera_id, classes.station_id, classes.product_id
        ) as all_defects,
        sum(coalesce(summed.defects, 0)) over (
            partition by classes.shift_id, classes.camera_id, classes.station_id, classes.product_id
            order by coalesce(summed.defects, 0) desc, classes.defect_class asc
            rows between unbounded preceding and current row
        ) as cumulative_defects
    from classes
    inner join seen
        on
            {% for column in place %}classes.{{ column }} = seen.{{ column }} and {% endfor %}
            classes.shift_id = seen.shift_id
    left join summed
        on
            {% for column in place %}classes.{{ column }} = summed.{{ column }} and {% endfor %}
            classes.shift_id = summed.shift_id
            and classes.defect_class = summed.defect_class
)

select
    totals.calendar,
    totals.shift_id,
    totals.production_date,
    totals.line_id,
    totals.station_id,
    totals.camera_id,
    totals.product_id,
    totals.defect_class,
    totals.defects,
    totals.images,
    totals.inspections,
    cast({{ ratio("totals.defects", "totals.inspections", 6) }} as decimal(18, 6)) as defects_per_inspection,
    cast({{ ratio("totals.defects", "totals.all_defects", 6) }} as decimal(18, 6)) as share,
    cast({{ ratio("totals.cumulative_defects", "totals.all_defects", 6) }} as decimal(18, 6)) as cumulative_share,
    coalesce(seen_before.shifts, 0) as usual_shifts,
    cast(case when seen_before.shifts > 0 then {{ ratio("coalesce(defects_before.defects, 0)", "seen_before.shifts", 3) }} end as decimal(18, 3))
        as usual_defects,
    cast(case when seen_before.shifts > 0 then {{ ratio("coalesce(defects_before.defects, 0)", "seen_before.inspections", 6) }} end as decimal(18, 6))
        as usual_defects_per_inspection
from totals
left join seen_before
    on
        {% for column in place %}totals.{{ column }} = seen_before.{{ column }} and {% endfor %}
        totals.production_date = seen_before.production_date
left join defects_before
    on
        {% for column in place %}totals.{{ column }} = defects_before.{{ column }} and {% endfor %}
        totals.production_date = defects_before.production_date
        and totals.defect_class = defects_before.defect_class
