with days as (
    select * from {{ ref('int_contract_days') }}
),

numbers as (
    {% for n in range(26) %}
        select {{ n }} as n
        {{ "" if loop.last else "union all" }}
    {% endfor %}
),

hours as (
    select
        days.calendar,
        days.production_date,
        days.ends_at as day_ends_at,
        days.starts_at + numbers.n * interval '1' hour as started_at
    from days
    inner join numbers on days.starts_at + numbers.n * interval '1' hour < days.ends_at
)

select
    calendar,
    production_date,
    started_at,
    {{ earlier_of("started_at + interval '1' hour", "day_ends_at") }} as ended_at
from hours
