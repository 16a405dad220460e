"""Units that left the plant. A row a shipped unit."""

import great_expectations as gx

KEY = ("shipment_id", "serial")

ROWS = """
select
    m.shipment_id,
    m.serial,
    m.customer,
    case when s.serial is null then 1 else 0 end as is_unknown,
    round(seconds_between(m.shipped_at, s.made_at) / 3600, 3) as hours_before_made
from fct_unit_shipment as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
left join int_trace_serials as s on m.serial = s.serial
"""

SUITE = gx.ExpectationSuite(
    name="fct_unit_shipment",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="is_unknown",
            max_value=0,
            severity="warning",
            notes="A serial number left the plant that was never made here: a recall would not reach its customer.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="customer",
            severity="warning",
            notes="Nobody knows who got the unit; in a recall it would have to be searched.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="hours_before_made",
            max_value=0,
            severity="warning",
            notes="Shipped before it was made: one of the two clocks is wrong, or the serial number was read wrongly.",
        ),
    ],
)
