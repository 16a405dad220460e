with inspections as (
    select * from {{ ref('int_vision_inspections') }}
    where is_judged and serial is not null
),

people as (
    select
        inspection_id,
        serial,
        defect_code,
        inspected_at,
        case when lower(result) = 'pass' then 'pass' else 'fail' end as result,
        {{ epoch_ms("inspected_at") }} as at_ms,
        lag({{ epoch_ms("inspected_at") }}) over (partition by serial order by inspected_at asc, inspection_id asc) as before_ms
    from {{ ref('stg_mes__inspections') }}
    where
        inspected_at < {{ window_ends_at() }}
        and lower(result) in ('pass', 'fail', 'rework')
),

units as (
    select
        serial,
        product_id,
        made_ms
    from {{ ref('int_trace_units') }}
),

shifts as (
    select * from {{ ref('int_trace_shifts') }}
),

{# Of a camera's verdicts on a unit since people last looked at it, the last one is what they review. #}
met as (
    select
        people.inspection_id as review_id,
        people.at_ms,
        people.inspected_at as reviewed_at,
        people.result,
        people.defect_code,
        inspections.inspection_id,
        inspections.camera_id,
        inspections.station_id,
        inspections.line_id,
        inspections.product_id,
        inspections.serial,
        inspections.verdict,
        row_number() over (
            partition by people.inspection_id, inspections.camera_id
            order by inspections.inspected_at desc, inspections.inspection_id desc
        ) as nth
    from people
    inner join inspections
        on
            people.serial = inspections.serial
            and people.at_ms > inspections.at_ms
            and (people.before_ms is null or people.before_ms <= inspections.at_ms)
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    met.review_id,
    met.inspection_id,
    met.camera_id,
    met.station_id,
    met.line_id,
    met.serial,
    met.reviewed_at,
    met.verdict,
    met.result,
    met.defect_code,
    coalesce(met.product_id, units.product_id, 'none') as product_id,
    {{ factorypack_hour_ms("met.at_ms", "shifts.starts_ms") }} as hour_ms,
    met.verdict = 'pass' and met.result = 'fail' as is_escape,
    met.verdict = 'fail' and met.result = 'pass' as is_false_reject
from met
inner join shifts on met.at_ms >= shifts.from_ms and met.at_ms < shifts.to_ms
left join units on met.serial = units.serial and shifts.to_ms > units.made_ms
where met.nth = 1
