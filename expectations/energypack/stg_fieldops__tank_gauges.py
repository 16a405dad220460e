"""Tank stocks of the window: none below zero, and each day opens with what the day before closed with."""

import great_expectations as gx

KEY = ("facility_id", "tank_id", "production_date")

ROWS = """
with gauges as (
    select
        g.*,
        lag(g.closing_stock) over (partition by g.tank_id order by g.production_date) as closed_before,
        lag(g.production_date) over (partition by g.tank_id order by g.production_date) as day_before
    from stg_fieldops__tank_gauges as g
    inner join stg_fieldops__facilities as p on g.facility_id = p.facility_id
    inner join field_calendars as f on p.field_code = f.field_code
    inner join this_close as c on f.calendar = c.calendar
)

select
    g.facility_id,
    g.tank_id,
    g.production_date,
    g.opening_stock,
    g.closing_stock,
    case when g.day_before = g.production_date - interval '1' day then g.opening_stock - g.closed_before end
        as gap_to_day_before
from gauges as g
inner join close_days as d on g.production_date = d.production_date
"""

SUITE = gx.ExpectationSuite(
    name="stg_fieldops__tank_gauges",
    expectations=[
        *(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=0,
                severity="critical",
                notes="A tank holds no less than nothing: the strapping table or the unit is wrong.",
            )
            for column in ("opening_stock", "closing_stock")
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="gap_to_day_before",
            min_value=-0.5,
            max_value=0.5,
            severity="warning",
            notes="Opening is the same gauge as the day before's closing; half a unit is reading tolerance. A gap "
            "is oil that no day accounts for.",
        ),
    ],
)
