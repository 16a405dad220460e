{%- set columns = [
    "calendar", "production_date", "field_code", "oil_sm3", "gas_sm3", "water_sm3", "water_injected_sm3", "hours_on",
    "downtime_h", "full_downtime_h",
] -%}
{%- set first_month = month_of("date '" ~ var("from_date") ~ "'") -%}
{%- set last_month = month_of("date '" ~ var("to_date") ~ "'") -%}
{%- set month_end = month_of("max(production_date)") ~ " + interval '1' month - interval '1' day" -%}
with days_of_this_close as (
    select {{ columns | join(", ") }} from {{ ref('fct_field_production_daily') }}
),

published_days as (
    {{ published('fct_field_production_daily', columns) }}
),

other_days as (
    select *
    from published_days
    where
        calendar = '{{ var("calendar") }}'
        and not {{ in_window("production_date") }}
        and {{ month_of("production_date") }} between {{ first_month }} and {{ last_month }}
),

days as (
    select * from days_of_this_close
    union all
    select * from other_days
),

summed as (
    select
        calendar,
        {{ month_of("production_date") }} as month,
        field_code,
        cast(count(*) as integer) as days_closed,
        cast(extract(day from {{ month_end }}) as integer) as days_in_month,
        cast(sum(oil_sm3) as decimal(38, 18)) as oil_sm3,
        cast(sum(gas_sm3) as decimal(38, 18)) as gas_sm3,
        cast(sum(water_sm3) as decimal(38, 18)) as water_sm3,
        cast(sum(water_injected_sm3) as decimal(38, 18)) as water_injected_sm3,
        cast(sum(hours_on) as decimal(38, 18)) as hours_on,
        cast(sum(downtime_h) as decimal(18, 6)) as downtime_h,
        cast(sum(full_downtime_h) as decimal(18, 6)) as full_downtime_h
    from days
    group by calendar, {{ month_of("production_date") }}, field_code
)

select * from summed
