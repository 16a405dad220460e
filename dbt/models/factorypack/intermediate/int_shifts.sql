with periods as (
    {{ close_periods() }}
),

parts as (
    {{ close_period_parts() }}
),

operating as (
    select
        shift_id,
        cast(sum({{ epoch_ms("ends_at") }} - {{ epoch_ms("starts_at") }}) as bigint) as operating_ms
    from parts
    group by shift_id
)

select
    '{{ var("calendar") }}' as calendar,
    periods.shift_id,
    periods.production_date,
    periods.shift,
    periods.shift_name,
    periods.starts_at,
    periods.ends_at,
    {{ epoch_ms("periods.starts_at") }} as starts_ms,
    {{ epoch_ms("periods.ends_at") }} as ends_ms,
    operating.operating_ms
from periods
inner join operating on periods.shift_id = operating.shift_id
