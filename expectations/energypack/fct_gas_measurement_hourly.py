"""What a believable set of measured hours looks like: each meter's hours, counted per contract day."""

import great_expectations as gx

KEY = ("meter_id", "production_date", "hours_present", "hours_of_day")

ROWS = """
select
    m.meter_id,
    m.production_date,
    cast(d.hours as integer) as hours_of_day,
    cast(count(*) as integer) as hours_present,
    cast(d.hours - count(distinct m.started_at) as integer) as hours_missing,
    cast(count(*) - count(distinct m.started_at) as integer) as hours_twice,
    min(m.gas_sm3) as least_gas_sm3,
    case when count(m.facility_id) = count(*) then 1 else 0 end as meter_is_known,
    cast(count(*) filter (where m.alarms is not null and m.alarms <> '') as integer) as hours_with_alarms
from fct_gas_measurement_hourly as m
inner join this_close as c on m.calendar = c.calendar
inner join close_days as d on m.production_date = d.production_date
group by m.meter_id, m.production_date, d.hours
"""

SUITE = gx.ExpectationSuite(
    name="fct_gas_measurement_hourly",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_twice",
            max_value=0,
            severity="critical",
            notes="An hour that counts twice overstates the meter's day.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_missing",
            min_value=0,
            max_value=0,
            severity="warning",
            notes="A contract day has 23, 24 or 25 hours and a meter a row for each; what is missing came late or "
            "not at all.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="least_gas_sm3",
            min_value=0,
            severity="critical",
            notes="Gas does not flow back through a sales meter.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="meter_is_known",
            value_set=[1],
            severity="warning",
            notes="The file names a meter that the operator's database does not have, so its gas belongs to no "
            "facility.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_with_alarms",
            max_value=4,
            severity="warning",
            notes="A few alarms a day are maintenance; more than four hours under alarm ask for a look at the meter.",
        ),
    ],
)
