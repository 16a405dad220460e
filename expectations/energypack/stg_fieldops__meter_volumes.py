"""The balance of each facility: what its wells report against what its meters and tanks measured, per product and day.

Oil measured = sales + change of stock. Gas measured = sales + fuel + flare + vent + injection. Their ratio to
what the wells report is the allocation factor.
"""

import great_expectations as gx

KEY = ("facility_id", "product", "production_date", "reported", "measured")

ROWS = """
with reported as (
    select
        n.facility_id,
        r.production_date,
        sum(coalesce(r.oil_reported, 0)) as oil,
        sum(coalesce(r.gas_reported, 0)) as gas
    from stg_fieldops__daily_readings as r
    inner join int_well_facilities_daily as n on r.well_id = n.well_id and r.production_date = n.production_date
    inner join stg_fieldops__wells as w on r.well_id = w.well_id
    inner join field_calendars as f on w.field_code = f.field_code
    inner join this_close as c on f.calendar = c.calendar
    inner join close_days as d on r.production_date = d.production_date
    group by n.facility_id, r.production_date
),

sold as (
    select m.facility_id, m.product, v.production_date, sum(v.volume) as volume
    from stg_fieldops__meter_volumes as v
    inner join stg_fieldops__meters as m on v.meter_id = m.meter_id
    where m.meter_role = 'sales'
    group by m.facility_id, m.product, v.production_date
),

stocked as (
    select facility_id, production_date, sum(closing_stock - opening_stock) as change
    from stg_fieldops__tank_gauges
    group by facility_id, production_date
),

used as (
    select facility_id, production_date, sum(volume) as volume
    from stg_fieldops__facility_volumes
    where product = 'gas'
    group by facility_id, production_date
),

balance as (
    select
        r.facility_id, 'oil' as product, r.production_date, r.oil as reported,
        s.volume + coalesce(t.change, 0) as measured
    from reported as r
    left join sold as s on r.facility_id = s.facility_id and r.production_date = s.production_date and s.product = 'oil'
    left join stocked as t on r.facility_id = t.facility_id and r.production_date = t.production_date
    union all
    select
        r.facility_id, 'gas', r.production_date, r.gas,
        s.volume + coalesce(u.volume, 0)
    from reported as r
    left join sold as s on r.facility_id = s.facility_id and r.production_date = s.production_date and s.product = 'gas'
    left join used as u on r.facility_id = u.facility_id and r.production_date = u.production_date
)

select
    facility_id,
    product,
    production_date,
    round(reported, 3) as reported,
    round(measured, 3) as measured,
    case when measured is null then 0 else 1 end as is_measured,
    round(case when reported > 0 then ratio(measured, reported) end, 4) as factor,
    case when reported = 0 and measured > 0 then 0 else 1 end as has_a_well
from balance
"""

SUITE = gx.ExpectationSuite(
    name="stg_fieldops__meter_volumes",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="factor",
            min_value=0.7,
            max_value=1.3,
            severity="critical",
            notes="An allocation factor off by 30 % is a failure, not a fact: a meter, a tank or a well's unit is "
            "wrong, or a well "
            "flows to another facility than the network says.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="factor",
            min_value=0.88,
            max_value=1.12,
            severity="warning",
            notes="Well readings are theory and usually within 10 % of the meters; beyond 12 % the tests behind "
            "them are stale.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_measured",
            value_set=[1],
            severity="warning",
            notes="The facility's sales meter has no volume for the day, so its wells cannot be held against anything.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="has_a_well",
            value_set=[1],
            severity="warning",
            notes="Measured production with no well that reports any: it stays unallocated until the readings come.",
        ),
    ],
)
