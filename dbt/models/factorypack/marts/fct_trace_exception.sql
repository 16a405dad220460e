with units as (
    select * from {{ ref('int_trace_units') }}
),

visits as (
    select * from {{ ref('int_trace_visits') }}
),

scanned as (
    select
        serial,
        station_id,
        min(left_ms) as first_ms
    from visits
    where serial is not null
    group by serial, station_id
),

shifts as (
    select * from {{ ref('int_trace_shifts') }}
),

links as (
    select * from {{ ref('int_trace_links') }}
),

serials as (
    select serial from {{ ref('int_trace_serials') }}
),

shipments as (
    select * from {{ ref('int_trace_shipments') }}
    where calendar = '{{ var("calendar") }}'
),

found as (
    select
        'missing_scan' as issue,
        units.serial || ':' || routes.station_id as about,
        units.serial as item_id,
        units.line_id,
        routes.station_id,
        units.made_ms as at_ms,
        cast(null as decimal(18, 3)) as quantity
    from units
    inner join {{ ref('int_trace_routes') }} as routes on units.line_id = routes.line_id and units.product_id = routes.product_id
    inner join shifts on units.made_ms >= shifts.from_ms and units.made_ms < shifts.to_ms
    left join scanned
        on units.serial = scanned.serial and routes.station_id = scanned.station_id and shifts.to_ms > scanned.first_ms
    where scanned.serial is null
    union all
    select
        case when serial is null then 'scan_without_serial' else 'scan_of_unknown_unit' end as issue,
        scan_id as about,
        serial as item_id,
        line_id,
        station_id,
        coalesce(unknown_ms, left_ms) as at_ms,
        cast(null as decimal(18, 3)) as quantity
    from visits
    where serial is null or unknown_ms is not null
    union all
    select
        'unknown_input' as issue,
        link_id as about,
        input_id as item_id,
        cast(null as varchar) as line_id,
        station_id,
        told_ms as at_ms,
        input_quantity as quantity
    from links
    where input_kind = 'unknown'
    union all
    select
        'unknown_output' as issue,
        link_id as about,
        output_id as item_id,
        cast(null as varchar) as line_id,
        station_id,
        told_ms as at_ms,
        output_quantity as quantity
    from links
    where output_kind = 'unknown'
    union all
    select
        'part_of_cycle' as issue,
        links.link_id as about,
        links.output_id as item_id,
        cast(null as varchar) as line_id,
        links.station_id,
        links.told_ms as at_ms,
        links.input_quantity as quantity
    from links
    inner join {{ ref('int_trace_cycles') }} as cycles on links.link_id = cycles.link_id
    union all
    select
        case when difference is null then 'units_mixed' else 'unbalanced_transformation' end as issue,
        transformation_id as about,
        transformation_id as item_id,
        cast(null as varchar) as line_id,
        cast(null as varchar) as station_id,
        happened_ms as at_ms,
        difference as quantity
    from {{ ref('int_trace_balances') }}
    where difference is null or difference <> 0
    union all
    select
        'shipment_of_unknown_unit' as issue,
        shipments.shipment_id as about,
        shipments.serial as item_id,
        cast(null as varchar) as line_id,
        cast(null as varchar) as station_id,
        {{ epoch_ms("shipments.shipped_at") }} as at_ms,
        cast(null as decimal(18, 3)) as quantity
    from shipments
    left join serials on shipments.serial = serials.serial
    where serials.serial is null
),

placed as (
    select
        shifts.calendar,
        shifts.shift_id,
        shifts.production_date,
        found.*
    from found
    inner join shifts on found.at_ms >= shifts.from_ms and found.at_ms < shifts.to_ms
    union all
    select
        balances.calendar,
        balances.shift_id,
        balances.production_date,
        'unbalanced_lot' as issue,
        balances.lot_id as about,
        balances.lot_id as item_id,
        cast(null as varchar) as line_id,
        cast(null as varchar) as station_id,
        shifts.to_ms as at_ms,
        balances.difference as quantity
    from {{ ref('fct_lot_balance') }} as balances
    inner join shifts on balances.shift_id = shifts.shift_id
    where balances.difference <> 0
)

select
    calendar,
    shift_id,
    production_date,
    issue,
    about,
    item_id,
    line_id,
    station_id,
    {{ factorypack_instant("at_ms") }} as found_at,
    quantity
from placed
