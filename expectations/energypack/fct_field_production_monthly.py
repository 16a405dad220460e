"""What a believable month to date looks like: the sum of its closed days, none twice, no hole in between."""

import great_expectations as gx

KEY = ("field_code", "month")

ROWS = """
with days as (
    select d.field_code, d.production_date, d.oil_sm3, d.gas_sm3
    from fct_field_production_daily as d
    inner join this_close as c on d.calendar = c.calendar and d.production_date between c.from_date and c.to_date
    union all
    select h.field_code, h.production_date, h.oil_sm3, h.gas_sm3
    from history_fct_field_production_daily as h
    cross join this_close as c
    where h.production_date not between c.from_date and c.to_date
),

of_days as (
    select
        field_code,
        cast(date_trunc('month', production_date) as date) as month,
        sum(oil_sm3) as oil_sm3,
        sum(gas_sm3) as gas_sm3,
        date_diff('day', min(production_date), max(production_date)) + 1 - count(distinct production_date)
            as days_left_out
    from days
    group by field_code, date_trunc('month', production_date)
)

select
    m.field_code,
    m.month,
    m.days_closed,
    m.days_closed - m.days_in_month as days_too_many,
    d.days_left_out,
    m.oil_sm3 - coalesce(d.oil_sm3, 0) as oil_beyond_days_sm3,
    m.gas_sm3 - coalesce(d.gas_sm3, 0) as gas_beyond_days_sm3
from fct_field_production_monthly as m
cross join this_close as c
left join of_days as d on m.field_code = d.field_code and m.month = d.month
where m.calendar = c.calendar and m.month between date_trunc('month', c.from_date) and c.to_date
"""

SUITE = gx.ExpectationSuite(
    name="fct_field_production_monthly",
    expectations=[
        gx.expectations.ExpectCompoundColumnsToBeUnique(
            column_list=["field_code", "month"],
            severity="critical",
            notes="A field has one row a month; a second one doubles it in every report.",
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=f"{product}_beyond_days_sm3",
                min_value=0,
                max_value=0,
                severity="critical",
                notes="The month is the sum of its closed days to the last digit, those published before included.",
            )
            for product in ("oil", "gas")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="days_too_many",
            max_value=0,
            severity="critical",
            notes="More closed days than the month has: a day counts twice.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="days_left_out",
            max_value=0,
            severity="warning",
            notes="A day between closed days is not closed, so the month to date lacks it. Close it by itself.",
        ),
    ],
)
