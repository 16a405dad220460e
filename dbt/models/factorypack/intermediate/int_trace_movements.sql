with lots as (
    select * from {{ ref('int_trace_lots') }}
    where calendar = '{{ var("calendar") }}'
),

moves as (
    select
        lot_id,
        'received' as what,
        quantity_received as quantity,
        created_at as moved_at
    from lots
    union all
    select
        component_serial as lot_id,
        'assembled' as what,
        quantity,
        assembled_at as moved_at
    from {{ ref('int_trace_components') }}
    union all
    select
        item_id as lot_id,
        case
            when movement = 'output' then 'made'
            when kind = 'write_off' then 'written_off'
            else 'transformed'
        end as what,
        quantity,
        happened_at as moved_at
    from {{ ref('int_trace_transformations') }}
    where calendar = '{{ var("calendar") }}' and movement in ('input', 'output')
)

select
    moves.lot_id,
    lots.product_id,
    lots.unit,
    moves.what,
    cast(moves.quantity as decimal(18, 3)) as quantity,
    {{ epoch_ms("moves.moved_at") }} as moved_ms
from moves
inner join lots on moves.lot_id = lots.lot_id
where moves.moved_at < {{ window_ends_at() }}
