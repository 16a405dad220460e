"""What a believable set of well days looks like before it is published, beside what is published now."""

import great_expectations as gx

KEY = ("well_id", "production_date")

ROWS = """
with built as (
    select m.*
    from fct_well_production_daily as m
    inner join this_close as c on m.calendar = c.calendar and m.production_date between c.from_date and c.to_date
),

producing as (
    select b.well_id, b.production_date, b.oil_sm3
    from built as b
    where b.oil_sm3 > 0
    union all
    select h.well_id, h.production_date, h.oil_sm3
    from history_fct_well_production_daily as h
    cross join this_close as c
    where
        h.oil_sm3 > 0
        and h.production_date < c.from_date
        and h.production_date >= c.from_date - interval '60' day
),

with_usual as (
    select
        *,
        median_of(array_agg(oil_sm3) over last_30) as usual_oil_sm3,
        count(*) over last_30 as days_before
    from producing
    window last_30 as (partition by well_id order by production_date rows between 30 preceding and 1 preceding)
)

select
    b.*,
    round(case when u.days_before >= 5 then ratio(b.oil_sm3, u.usual_oil_sm3) end, 4) as oil_to_usual,
    case when b.facility_id is null then 0 else 1 end as flows_somewhere,
    case
        when h.well_id is null then 0
        when
            b.oil_sm3 is distinct from h.oil_sm3
            or b.gas_sm3 is distinct from h.gas_sm3
            or b.water_sm3 is distinct from h.water_sm3
            or b.water_injected_sm3 is distinct from h.water_injected_sm3
            then 1
        else 0
    end as is_restated,
    cast(case when b.scada_hours_known >= 0.95 * d.hours then abs(b.hours_on - b.scada_hours_on) end as double)
        as hours_off_scada,
    round(
        case when b.scada_oil_hours_known >= 0.95 * d.hours and greatest(b.oil_sm3, b.scada_oil_sm3) >= 1
            then 100 * ratio(abs(b.oil_sm3 - b.scada_oil_sm3), greatest(b.oil_sm3, b.scada_oil_sm3)) end,
        2
    ) as percent_oil_off_scada,
    round(
        case when b.scada_gas_hours_known >= 0.95 * d.hours and greatest(b.gas_sm3, b.scada_gas_sm3) >= 1000
            then 100 * ratio(abs(b.gas_sm3 - b.scada_gas_sm3), greatest(b.gas_sm3, b.scada_gas_sm3)) end,
        2
    ) as percent_gas_off_scada
from built as b
inner join close_days as d on b.production_date = d.production_date
left join with_usual as u on b.well_id = u.well_id and b.production_date = u.production_date
left join history_fct_well_production_daily as h on b.well_id = h.well_id and b.production_date = h.production_date
"""

SUITE = gx.ExpectationSuite(
    name="fct_well_production_daily",
    expectations=[
        gx.expectations.ExpectTableRowCountToBeBetween(
            min_value=1,
            severity="critical",
            notes="Publishing no rows would take away what readers have for these days.",
        ),
        gx.expectations.ExpectCompoundColumnsToBeUnique(
            column_list=["well_id", "production_date"],
            severity="critical",
            notes="A well has one row a day; a second one doubles its volume in every sum.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column, min_value=0, severity="critical", notes="A well cannot make or take less than nothing."
            )
            for column in ("oil_sm3", "gas_sm3", "water_injected_sm3")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="water_sm3",
            min_value=0,
            severity="warning",
            notes="Negative water is the operator's own offset for earlier days: published as reported, and named "
            "here.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column, max_value=limit, severity="critical", notes=why
            )
            for column, limit, why in (
                ("oil_sm3", 16_000, "100,000 bbl a day: more than any well of the North Sea or the Permian ever made."),
                ("gas_sm3", 12_000_000, "About 420 MMcf a day: beyond the best gas wells offshore."),
                ("water_sm3", 30_000, "No tubing passes 190,000 bbl of water a day."),
                ("water_injected_sm3", 30_000, "No injector takes 190,000 bbl a day."),
            )
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oil_to_usual",
            max_value=20,
            severity="critical",
            notes="Twenty times the median of the well's last 30 producing days, whichever source it came by: a "
            "unit, not "
            "a well. Nine years of an offshore field hold no well-day above 3.8.",
        ),
        gx.expectations.ExpectColumnMeanToBeBetween(
            column="is_restated",
            max_value=0.2,
            severity="warning",
            notes="Late corrections touch a few well-days. When a fifth of the published ones change, somebody "
            "re-loaded history.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="flows_somewhere",
            value_set=[1],
            severity="warning",
            notes="The well flows to no facility on that day: the network has a gap, and allocation will leave the "
            "well out.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_off_scada",
            max_value=1,
            severity="warning",
            notes="SCADA knows at least 95 % of the day and saw the well run for another time than was reported, by "
            "more than an hour. Hours on are written down by hand; theoretical volumes and downtime rest on them.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=f"percent_{product}_off_scada",
                max_value=10,
                severity="warning",
                notes="Reported volume and rate meter differ by more than the 10 % that a multiphase meter may be off, "
                "though the rate is known for at least 95 % of the day.",
            )
            for product in ("oil", "gas")
        ),
    ],
)
