"""What a believable day of well readings looks like: no volume far from the well's usual one, no impossible hours.

Each reading stands beside the median of the well's last 30 producing days, in one unit, so that a slip of the
unit or of a decimal shows whatever the well's size. Bounds were tried on nine years of an offshore field: no
well-day there exceeds 3.8 times that median, and none of a full day falls below a tenth of it.
"""

import great_expectations as gx

KEY = ("well_id", "production_date")

ROWS = """
with readings as (
    select
        r.*,
        w.well_type,
        c.from_date,
        c.to_date,
        r.oil_reported * case r.liquid_unit when 'bbl' then 0.158987 else 1 end as oil,
        r.gas_reported * case r.gas_unit when 'mcf' then 28.328 else 1 end as gas
    from stg_fieldops__daily_readings as r
    inner join stg_fieldops__wells as w on r.well_id = w.well_id
    inner join field_calendars as f on w.field_code = f.field_code
    inner join this_close as c on f.calendar = c.calendar
    where r.production_date <= c.to_date
),

with_usual as (
    select
        *,
        median_of(array_agg(case when oil > 0 then oil end) over last_30) as usual_oil,
        count(case when oil > 0 then oil end) over last_30 as oil_days,
        median_of(array_agg(case when gas > 0 then gas end) over last_30) as usual_gas,
        count(case when gas > 0 then gas end) over last_30 as gas_days
    from readings
    window last_30 as (
        partition by well_id, (oil > 0 or gas > 0) order by production_date rows between 30 preceding and 1 preceding
    )
)

select
    r.well_id,
    r.production_date,
    r.oil_reported,
    r.gas_reported,
    r.water_reported,
    r.water_injected_reported,
    r.hours_on,
    round(case when r.oil_days >= 5 then ratio(r.oil, r.usual_oil) end, 4) as oil_to_usual,
    round(case when r.gas_days >= 5 then ratio(r.gas, r.usual_gas) end, 4) as gas_to_usual,
    round(
        case when r.oil_days >= 5 and r.hours_on >= 18 and r.oil > 0 then ratio(r.oil, r.usual_oil) end, 4
    ) as full_day_oil_to_usual,
    round(
        case when r.gas_days >= 5 and r.hours_on >= 18 and r.gas > 0 then ratio(r.gas, r.usual_gas) end, 4
    ) as full_day_gas_to_usual,
    cast(round(r.hours_on - d.hours, 3) as double) as hours_over_day,
    case when r.hours_on > 0 or coalesce(r.oil, 0) + coalesce(r.gas, 0) = 0 then 1 else 0 end as volume_has_hours
from with_usual as r
inner join close_days as d on r.production_date = d.production_date
"""

SUITE = gx.ExpectationSuite(
    name="stg_fieldops__daily_readings",
    expectations=[
        gx.expectations.ExpectCompoundColumnsToBeUnique(
            column_list=["well_id", "production_date"],
            severity="critical",
            notes="Two readings of one well and day would count its volume twice.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=f"{product}_to_usual",
                max_value=20,
                severity="critical",
                notes="Twenty times the well's usual day is no well but a unit: barrels typed as thousands, "
                "gallons as barrels.",
            )
            for product in ("oil", "gas")
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=f"full_day_{product}_to_usual",
                min_value=0.02,
                severity="critical",
                notes="A fiftieth of the well's usual volume in a full day on: the unit is a thousand times too large.",
            )
            for product in ("oil", "gas")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oil_to_usual",
            max_value=5,
            severity="warning",
            notes="Five times the usual day happens after a stimulation or a long shut-in; otherwise it is a "
            "typing error.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column, min_value=0, severity="critical", notes="A well cannot make or take less than nothing."
            )
            for column in ("oil_reported", "gas_reported", "water_injected_reported", "hours_on")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="water_reported",
            min_value=0,
            severity="warning",
            notes="Operators book negative water to correct earlier days: it is kept as reported, and somebody "
            "should know.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_over_day",
            max_value=0,
            severity="warning",
            notes="More hours on than the contract day has (23, 24 or 25): the hours are wrong, the volume may "
            "still be right.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="volume_has_hours",
            value_set=[1],
            severity="warning",
            notes="Oil or gas without an hour on: the hours were forgotten, and deferment is overstated by them.",
        ),
    ],
)
