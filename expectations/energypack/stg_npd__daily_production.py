"""What a believable day of a Norwegian production file looks like. Only the calendar whose file it is has rows.

Each wellbore's volume stands beside the median of its last 30 producing days. Bounds were tried on the Volve
file: no well-day there exceeds 3.8 times that median, none of a full day falls below a tenth of it.
"""

import great_expectations as gx

KEY = ("well_id", "production_date")

ROWS = """
with readings as (
    select p.*
    from stg_npd__daily_production as p
    cross join this_close as c
    where c.calendar = 'north_sea' and p.production_date <= c.to_date
),

with_usual as (
    select
        *,
        median_of(array_agg(case when oil_sm3 > 0 then oil_sm3 end) over last_30) as usual_oil,
        count(case when oil_sm3 > 0 then oil_sm3 end) over last_30 as oil_days
    from readings
    window last_30 as (
        partition by well_id, coalesce(oil_sm3 > 0, false)
        order by production_date rows between 30 preceding and 1 preceding
    )
)

select
    r.well_id,
    r.production_date,
    r.oil_sm3,
    r.gas_sm3,
    r.water_sm3,
    r.water_injected_sm3,
    r.hours_on,
    round(case when r.oil_days >= 5 then ratio(r.oil_sm3, r.usual_oil) end, 4) as oil_to_usual,
    round(
        case when r.oil_days >= 5 and r.hours_on >= 18 and r.oil_sm3 > 0 then ratio(r.oil_sm3, r.usual_oil) end, 4
    ) as full_day_oil_to_usual,
    cast(round(r.hours_on - d.hours, 3) as double) as hours_over_day,
    case
        when r.hours_on > 0 or coalesce(r.oil_sm3, 0) + coalesce(r.gas_sm3, 0) = 0 then 1
        else 0
    end as volume_has_hours,
    case when r.well_type = 'WI' and r.flow_kind = 'production' then 0 else 1 end as type_fits_flow
from with_usual as r
inner join close_days as d on r.production_date = d.production_date
"""

SUITE = gx.ExpectationSuite(
    name="stg_npd__daily_production",
    expectations=[
        gx.expectations.ExpectCompoundColumnsToBeUnique(
            column_list=["well_id", "production_date"],
            severity="critical",
            notes="Two rows of one wellbore and day would count its volume twice.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oil_to_usual",
            max_value=20,
            severity="critical",
            notes="Twenty times the wellbore's usual day is no well but a unit: litres typed as Sm3, or a lost "
            "decimal comma.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="full_day_oil_to_usual",
            min_value=0.02,
            severity="critical",
            notes="A fiftieth of the usual volume in a full day on: the unit is a thousand times too large.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=0,
                severity="critical",
                notes="A wellbore cannot make or take less than nothing.",
            )
            for column in ("oil_sm3", "gas_sm3", "water_injected_sm3", "hours_on")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="water_sm3",
            min_value=0,
            severity="warning",
            notes="Operators book negative water to correct earlier days: it is kept as reported, and somebody "
            "should know.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_over_day",
            max_value=0,
            severity="warning",
            notes="More hours on than the day has (23, 24 or 25): the hours are wrong, the volume may still be right.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="volume_has_hours",
            value_set=[1],
            severity="warning",
            notes="Oil or gas without an hour on stream: the hours were forgotten.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="hours_on",
            severity="warning",
            notes="Without hours on stream the day counts as down in full.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="type_fits_flow",
            value_set=[1],
            severity="warning",
            notes="An injector that produces: it was converted, and its type was changed late.",
        ),
    ],
)
