with moved as (
    select * from {{ ref('int_trace_transformations') }}
    where calendar = '{{ var("calendar") }}'
),

summed as (
    select
        transformation_id,
        cast(sum(case when movement = 'input' then 1 else 0 end) as integer) as inputs,
        cast(sum(case when movement = 'output' then 1 else 0 end) as integer) as outputs,
        cast(sum(case when movement = 'input' then quantity else 0 end) as decimal(18, 3)) as input_quantity,
        cast(sum(case when movement = 'output' then quantity else 0 end) as decimal(18, 3)) as output_quantity,
        cast(sum(case when movement = 'loss' then quantity else 0 end) as decimal(18, 3)) as declared_loss,
        min(kind) as kind,
        max(happened_at) as happened_at,
        case when min(unit) = max(unit) then min(unit) end as unit
    from moved
    group by transformation_id
)

select
    *,
    {{ epoch_ms("happened_at") }} as happened_ms,
    cast(case when unit is not null then input_quantity - output_quantity - declared_loss end as decimal(18, 3)) as difference
from summed
