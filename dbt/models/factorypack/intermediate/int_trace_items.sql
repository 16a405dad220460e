with known as (
    select
        serial as item_id,
        'unit' as item_kind,
        product_id,
        {{ epoch_ms("made_at") }} as known_ms,
        1 as place
    from {{ ref('int_trace_serials') }}
    union all
    select
        lot_id as item_id,
        'lot' as item_kind,
        product_id,
        {{ epoch_ms("created_at") }} as known_ms,
        2 as place
    from {{ ref('int_trace_lots') }}
),

numbered as (
    select
        *,
        row_number() over (partition by item_id order by place asc) as nth
    from known
)

select
    item_id,
    item_kind,
    product_id,
    known_ms
from numbered
where nth = 1
