"""What a believable set of well days looks like before it is published, beside what is published now."""

import great_expectations as gx

KEY = ("well_id", "production_date")

ROWS = """
select
    m.*,
    case when m.facility_id is null then 0 else 1 end as flows_somewhere,
    case
        when h.well_id is null then 0
        when
            m.oil_sm3 is distinct from h.oil_sm3
            or m.gas_sm3 is distinct from h.gas_sm3
            or m.water_sm3 is distinct from h.water_sm3
            or m.water_injected_sm3 is distinct from h.water_injected_sm3
            then 1
        else 0
    end as is_restated
from fct_well_production_daily as m
inner join this_close as c on m.calendar = c.calendar and m.production_date between c.from_date and c.to_date
left join history_fct_well_production_daily as h on m.well_id = h.well_id and m.production_date = h.production_date
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
    ],
)
