{#- An hour counts from the start of its shift and ends with it at the latest, so that it is of one shift alone. -#}
{%- set hour_ms = 3600000 -%}
with numbers as (
    {% for n in range(25) %}
        select {{ n }} as n
        {{ "" if loop.last else "union all" }}
    {% endfor %}
),

assets as (
    select distinct
        station_id,
        line_id
    from {{ ref('int_condition_tags') }}
),

hours as (
    select
        shifts.calendar,
        shifts.shift_id,
        shifts.production_date,
        shifts.starts_ms + numbers.n * {{ hour_ms }} as from_ms,
        {{ earlier_of("shifts.starts_ms + (numbers.n + 1) * " ~ hour_ms, "shifts.ends_ms") }} as to_ms
    from {{ ref('int_shifts') }} as shifts
    inner join numbers on shifts.starts_ms + numbers.n * {{ hour_ms }} < shifts.ends_ms
),

asset_hours as (
    select
        hours.*,
        assets.station_id,
        assets.line_id
    from hours
    cross join assets
),

states as (
    select
        asset_hours.station_id,
        asset_hours.from_ms,
        states.category,
        {{ earlier_of("states.to_ms", "asset_hours.to_ms") }} - {{ later_of("states.from_ms", "asset_hours.from_ms") }} as spent_ms
    from asset_hours
    inner join {{ ref('int_station_states') }} as states
        on
            asset_hours.station_id = states.station_id
            and asset_hours.shift_id = states.shift_id
            and asset_hours.to_ms > states.from_ms
            and asset_hours.from_ms < states.to_ms
),

spent as (
    select
        station_id,
        from_ms,
        cast(sum(case when category = 'production' then spent_ms else 0 end) as bigint) as production_ms,
        cast(sum(case when category = 'setup' then spent_ms else 0 end) as bigint) as setup_ms,
        cast(sum(case when category = 'no_data' then spent_ms else 0 end) as bigint) as no_data_ms
    from states
    group by station_id, from_ms
),

steady as (
    select
        asset_hours.station_id,
        asset_hours.from_ms,
        min(stretches.product_id) as product_id,
        count(distinct coalesce(stretches.product_id, '')) as products,
        cast(sum(
            {{ earlier_of("stretches.to_ms", "asset_hours.to_ms") }} - {{ later_of("stretches.from_ms", "asset_hours.from_ms") }}
        ) as bigint) as steady_ms
    from asset_hours
    inner join {{ ref('int_steady_stretches') }} as stretches
        on
            asset_hours.station_id = stretches.station_id
            and asset_hours.shift_id = stretches.shift_id
            and asset_hours.to_ms > stretches.from_ms
            and asset_hours.from_ms < stretches.to_ms
    group by asset_hours.station_id, asset_hours.from_ms
),

renewals as (
    select distinct
        orders.station_id,
        orders.work_order_id,
        orders.work_kind,
        {{ epoch_ms("orders.closed_at") }} as renewed_ms
    from {{ ref('stg_mes__work_orders') }} as orders
    inner join {{ ref('factorypack_renewals') }} as rules
        on
            (rules.work_kind = '*' or lower(orders.work_kind) = lower(rules.work_kind))
            and lower(orders.work_description) like rules.description_like
    where orders.closed_at is not null
),

with_renewal as (
    select
        asset_hours.*,
        renewals.work_order_id,
        renewals.work_kind,
        renewals.renewed_ms,
        row_number() over (
            partition by asset_hours.station_id, asset_hours.from_ms
            order by coalesce(renewals.renewed_ms, 0) desc, renewals.work_order_id desc
        ) as nth
    from asset_hours
    left join renewals on asset_hours.station_id = renewals.station_id and asset_hours.from_ms >= renewals.renewed_ms
),

renewed_within as (
    select distinct
        asset_hours.station_id,
        asset_hours.from_ms
    from asset_hours
    inner join renewals
        on
            asset_hours.station_id = renewals.station_id
            and asset_hours.from_ms < renewals.renewed_ms
            and asset_hours.to_ms > renewals.renewed_ms
)

select
    with_renewal.calendar,
    with_renewal.shift_id,
    with_renewal.production_date,
    with_renewal.line_id,
    with_renewal.station_id,
    with_renewal.from_ms,
    with_renewal.to_ms,
    with_renewal.work_order_id as renewed_by,
    with_renewal.renewed_ms,
    lower(with_renewal.work_kind) as renewal_kind,
    renewed_within.station_id is not null as is_renewed_within,
    coalesce(spent.production_ms, 0) as production_ms,
    coalesce(spent.setup_ms, 0) as setup_ms,
    coalesce(spent.no_data_ms, 0) as no_data_ms,
    coalesce(steady.steady_ms, 0) as steady_ms,
    coalesce(steady.products, 0) as products,
    case when steady.products = 1 then steady.product_id end as product_id
from with_renewal
left join spent on with_renewal.station_id = spent.station_id and with_renewal.from_ms = spent.from_ms
left join steady on with_renewal.station_id = steady.station_id and with_renewal.from_ms = steady.from_ms
left join renewed_within
    on with_renewal.station_id = renewed_within.station_id and with_renewal.from_ms = renewed_within.from_ms
where with_renewal.nth = 1
