with dates as (
    {{ window_dates() }}
),

bounds as (
    select
        production_date,
        {{ contract_day_start("production_date") }} as starts_at,
        {{ contract_day_start("(production_date + interval '1' day)") }} as ends_at
    from dates
)

select
    '{{ var("calendar") }}' as calendar,
    production_date,
    starts_at,
    ends_at,
    {{ hours_between("starts_at", "ends_at") }} as hours
from bounds
