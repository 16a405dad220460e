with shipments as (
    select
        *,
        {{ epoch_ms("shipped_at") }} as shipped_ms
    from {{ ref('int_trace_shipments') }}
    where calendar = '{{ var("calendar") }}'
),

shifts as (
    select * from {{ ref('int_trace_shifts') }}
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    shipments.shipment_id,
    shipments.serial,
    shipments.customer,
    shipments.sales_order,
    shipments.shipped_at
from shipments
inner join shifts on shipments.shipped_ms >= shifts.from_ms and shipments.shipped_ms < shifts.to_ms
