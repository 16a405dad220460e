with items as (
    select * from {{ ref('int_trace_items') }}
),

stations as (
    select
        station_id,
        calendar
    from {{ ref('int_stations') }}
),

assembled as (
    select
        'assembly:' || components.genealogy_id as link_id,
        'assembled' as kind,
        cast(null as varchar) as transformation_id,
        components.component_serial as input_id,
        components.component_product_id as input_product_id,
        cast(components.quantity as decimal(18, 3)) as input_quantity,
        components.serial as output_id,
        cast(null as varchar) as output_product_id,
        cast(1 as decimal(18, 3)) as output_quantity,
        cast(components.quantity as decimal(18, 3)) as quantity,
        cast(null as varchar) as unit,
        cast(0 as decimal(18, 3)) as declared_loss,
        components.station_id,
        components.assembled_at as linked_at
    from {{ ref('int_trace_components') }} as components
    left join stations on components.station_id = stations.station_id
    where stations.calendar = '{{ var("calendar") }}' or stations.calendar is null
),

{# Of a transformation, one row an item and direction. #}
moved as (
    select
        transformation_id,
        movement,
        kind,
        item_id,
        cast(sum(quantity) as decimal(18, 3)) as quantity,
        max(product_id) as product_id,
        max(unit) as unit,
        max(happened_at) as happened_at
    from {{ ref('int_trace_transformations') }}
    where calendar = '{{ var("calendar") }}'
    group by transformation_id, movement, kind, item_id
),

sides as (
    select
        transformation_id,
        cast(sum(case when movement = 'loss' then quantity else 0 end) as decimal(18, 3)) as declared_loss,
        sum(case when movement = 'input' then 1 else 0 end) as inputs,
        sum(case when movement = 'output' then 1 else 0 end) as outputs,
        max(happened_at) as happened_at
    from moved
    group by transformation_id
),

transformed as (
    select
        'transformation:' || incoming.transformation_id || ':' || incoming.item_id || ':' || outgoing.item_id as link_id,
        case incoming.kind
            when 'merge' then 'merged'
            when 'blend' then 'blended'
            when 'rework' then 'reworked'
            else incoming.kind
        end as kind,
        incoming.transformation_id,
        incoming.item_id as input_id,
        incoming.product_id as input_product_id,
        incoming.quantity as input_quantity,
        outgoing.item_id as output_id,
        outgoing.product_id as output_product_id,
        outgoing.quantity as output_quantity,
        case
            when sides.inputs = 1 then outgoing.quantity
            when sides.outputs = 1 then incoming.quantity
        end as quantity,
        incoming.unit,
        sides.declared_loss,
        cast(null as varchar) as station_id,
        sides.happened_at as linked_at
    from moved as incoming
    inner join moved as outgoing
        on
            incoming.transformation_id = outgoing.transformation_id
            and incoming.movement = 'input'
            and outgoing.movement = 'output'
            and incoming.kind = outgoing.kind
    inner join sides on incoming.transformation_id = sides.transformation_id
),

links as (
    select * from assembled
    union all
    select * from transformed
)

select
    links.link_id,
    links.kind,
    links.transformation_id,
    links.input_id,
    links.input_quantity,
    links.output_id,
    links.output_quantity,
    links.quantity,
    links.unit,
    links.declared_loss,
    links.station_id,
    links.linked_at,
    {{ epoch_ms("links.linked_at") }} as linked_ms,
    coalesce(inputs.item_kind, 'unknown') as input_kind,
    coalesce(links.input_product_id, inputs.product_id) as input_product_id,
    coalesce(outputs.item_kind, 'unknown') as output_kind,
    coalesce(links.output_product_id, outputs.product_id) as output_product_id,
    case
        when outputs.known_ms <= {{ epoch_ms("links.linked_at") }} then {{ epoch_ms("links.linked_at") }}
        when outputs.known_ms <= {{ epoch_ms("links.linked_at") }} + {{ trace_wait_ms() }} then outputs.known_ms
        else {{ epoch_ms("links.linked_at") }} + {{ trace_wait_ms() }}
    end as told_ms
from links
left join items as inputs on links.input_id = inputs.item_id
left join items as outputs on links.output_id = outputs.item_id
