with links as (
    select * from {{ ref('int_trace_links') }}
),

cycles as (
    select * from {{ ref('int_trace_cycles') }}
),

shifts as (
    select * from {{ ref('int_trace_shifts') }}
)

select
    shifts.calendar,
    shifts.shift_id,
    shifts.production_date,
    links.link_id,
    links.kind,
    links.transformation_id,
    links.input_id,
    links.input_kind,
    links.input_product_id,
    links.input_quantity,
    links.output_id,
    links.output_kind,
    links.output_product_id,
    links.output_quantity,
    links.quantity,
    links.unit,
    links.declared_loss,
    links.station_id,
    links.linked_at,
    cycles.link_id is not null as is_on_cycle
from links
inner join shifts on links.told_ms >= shifts.from_ms and links.told_ms < shifts.to_ms
left join cycles on links.link_id = cycles.link_id
