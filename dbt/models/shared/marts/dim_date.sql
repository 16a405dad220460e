with days as (
    select * from {{ ref('int_contract_days') }}
),

described as (
    select
        cast(calendar as varchar) as calendar,
        production_date,
        starts_at,
        ends_at,
        cast(hours as decimal(9, 6)) as hours,
        {{ month_of("production_date") }} as month,
        cast(extract(year from production_date) as integer) as year,
        cast(extract(month from production_date) as integer) as month_number,
        cast(extract(day from production_date) as integer) as day_of_month,
        cast(extract(quarter from production_date) as integer) as quarter
    from days
)

select * from described
