{%- set columns = {
    "received": "received_quantity", "made": "made_quantity", "assembled": "assembled_quantity",
    "transformed": "transformed_quantity", "written_off": "written_off_quantity",
} -%}
with moves as (
    select * from {{ ref('int_trace_movements') }}
),

shifts as (
    select * from {{ ref('int_trace_shifts') }}
),

touched as (
    select distinct
        shifts.calendar,
        shifts.shift_id,
        shifts.production_date,
        shifts.to_ms,
        moves.lot_id
    from moves
    inner join shifts on moves.moved_ms >= shifts.from_ms and moves.moved_ms < shifts.to_ms
),

summed as (
    select
        touched.calendar,
        touched.shift_id,
        touched.production_date,
        touched.lot_id,
        moves.product_id,
        moves.unit,
        {%- for what, column in columns.items() %}
            cast(sum(case when moves.what = '{{ what }}' then moves.quantity else 0 end) as decimal(18, 3)) as {{ column }},
        {%- endfor %}
        sum(case when moves.what = 'written_off' then 1 else 0 end) > 0 as is_closed
    from touched
    inner join moves on touched.lot_id = moves.lot_id and touched.to_ms > moves.moved_ms
    group by touched.calendar, touched.shift_id, touched.production_date, touched.lot_id, moves.product_id, moves.unit
),

balanced as (
    select
        *,
        cast(
            received_quantity + made_quantity - assembled_quantity - transformed_quantity - written_off_quantity
            as decimal(18, 3)
        ) as remaining_quantity
    from summed
)

select
    calendar,
    shift_id,
    production_date,
    lot_id,
    product_id,
    unit,
    {%- for column in columns.values() %}
        {{ column }},
    {%- endfor %}
    remaining_quantity,
    is_closed,
    case when is_closed or remaining_quantity < 0 then remaining_quantity else cast(0 as decimal(18, 3)) end as difference
from balanced
