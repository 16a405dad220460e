"""What a believable batch of well tests looks like: those of the window, beside the well's earlier ones."""

import great_expectations as gx

KEY = ("well_id", "well_test_id", "production_date")

ROWS = """
with tests as (
    select t.*, c.frozen_at
    from stg_fieldops__well_tests as t
    inner join stg_fieldops__wells as w on t.well_id = w.well_id
    inner join field_calendars as f on w.field_code = f.field_code
    inner join this_close as c on f.calendar = c.calendar
    where t.tested_at < c.ends_at or t.tested_at > c.frozen_at
),

with_usual as (
    select
        *,
        median_of(array_agg(oil_rate_bbl_per_day) over last_5) as usual_oil,
        median_of(array_agg(gas_rate_mcf_per_day) over last_5) as usual_gas,
        count(*) over last_5 as tests_before
    from tests
    window last_5 as (partition by well_id order by tested_at rows between 5 preceding and 1 preceding)
)

select
    t.well_id,
    t.well_test_id,
    d.production_date,
    t.oil_rate_bbl_per_day,
    t.gas_rate_mcf_per_day,
    t.water_rate_bbl_per_day,
    t.tubing_pressure_psi,
    t.casing_pressure_psi,
    round(
        case when t.tests_before >= 2 and t.usual_oil > 1 then ratio(t.oil_rate_bbl_per_day, t.usual_oil) end, 4
    ) as oil_to_usual,
    round(
        case when t.tests_before >= 2 and t.usual_gas > 1 then ratio(t.gas_rate_mcf_per_day, t.usual_gas) end, 4
    ) as gas_to_usual,
    case when t.tested_at > t.frozen_at then 0 else 1 end as is_past
from with_usual as t
left join close_days as d on t.tested_at >= d.starts_at and t.tested_at < d.ends_at
where d.production_date is not null or t.tested_at > t.frozen_at
"""

SUITE = gx.ExpectationSuite(
    name="stg_fieldops__well_tests",
    expectations=[
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=0,
                severity="critical",
                notes="A separator measures no negative rate; allocation would turn it into a negative share.",
            )
            for column in ("oil_rate_bbl_per_day", "gas_rate_mcf_per_day", "water_rate_bbl_per_day")
        ),
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=f"{product}_to_usual",
                max_value=20,
                severity="critical",
                notes="Twenty times the median of the well's last five tests is a unit, not a well; it would take "
                "the whole "
                "facility's production until the next test.",
            )
            for product in ("oil", "gas")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oil_to_usual",
            min_value=0.25,
            max_value=3,
            severity="warning",
            notes="A test a third or three times of what the well tested before: was another well lined up to the "
            "separator?",
        ),
        *(
            gx.expectations.ExpectColumnValuesToNotBeNull(
                column=column,
                mostly=0.5,
                severity="warning",
                notes="Half of the tests without it: the column was dropped or renamed at the source, and its "
                "values are lost to us.",
            )
            for column in ("tubing_pressure_psi", "casing_pressure_psi")
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="is_past",
            value_set=[1],
            severity="warning",
            notes="A test of the future: day and month are swapped. It would be the valid test of every day until "
            "then.",
        ),
    ],
)
