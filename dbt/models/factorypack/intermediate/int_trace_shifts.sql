with shifts as (
    select * from {{ ref('int_shifts') }}
)

select
    calendar,
    shift_id,
    production_date,
    starts_ms,
    coalesce(lag(ends_ms) over (order by starts_ms asc), {{ epoch_ms(trace_since()) }}) as from_ms,
    ends_ms as to_ms
from shifts
