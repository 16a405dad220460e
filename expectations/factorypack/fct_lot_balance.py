"""What came into a lot is what left it or is left. A row a shift and lot."""

import great_expectations as gx

KEY = ("shift_id", "lot_id")

ROWS = """
select
    m.shift_id,
    m.lot_id,
    cast(m.difference as double) as difference,
    cast(
        m.received_quantity + m.made_quantity - m.assembled_quantity - m.transformed_quantity - m.written_off_quantity
        - m.remaining_quantity as double
    ) as not_conserved
from fct_lot_balance as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
"""

SUITE = gx.ExpectationSuite(
    name="fct_lot_balance",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="not_conserved",
            min_value=0,
            max_value=0,
            severity="critical",
            notes="The rest is reckoned from the movements, to the last digit; anything else is a fault of the model.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="difference",
            min_value=0,
            max_value=0,
            severity="warning",
            notes="A lot that was written off has something left, or more was taken than there was: units were "
            "booked under another lot, which a recall of this one would miss.",
        ),
    ],
)
