with shifts as (
    select * from {{ ref('int_trace_shifts') }}
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    balances.transformation_id,
    balances.kind,
    balances.happened_at,
    balances.unit,
    balances.inputs,
    balances.outputs,
    balances.input_quantity,
    balances.output_quantity,
    balances.declared_loss,
    balances.difference,
    coalesce(balances.difference = 0, false) as is_balanced
from {{ ref('int_trace_balances') }} as balances
inner join shifts on balances.happened_ms >= shifts.from_ms and balances.happened_ms < shifts.to_ms
