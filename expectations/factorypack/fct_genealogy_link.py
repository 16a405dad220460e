"""What went into what: links that name what is known, and no unit that is a part of itself. A row a shift and kind."""

import great_expectations as gx

KEY = ("shift_id", "kind")

ROWS = """
select
    m.shift_id,
    m.kind,
    cast(count(*) as integer) as links,
    cast(sum(case when m.is_on_cycle then 1 else 0 end) as integer) as links_on_cycles,
    cast(sum(case when m.input_kind = 'unknown' then 1 else 0 end) as integer) as unknown_inputs,
    cast(sum(case when m.output_kind = 'unknown' then 1 else 0 end) as integer) as unknown_outputs,
    cast(sum(case when m.quantity <= 0 then 1 else 0 end) as integer) as without_quantity
from fct_genealogy_link as m
inner join this_close as c on m.calendar = c.calendar
inner join close_shifts as h on m.shift_id = h.shift_id
group by m.shift_id, m.kind
"""

SUITE = gx.ExpectationSuite(
    name="fct_genealogy_link",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="links_on_cycles",
            max_value=0,
            severity="warning",
            notes="A unit or lot is a part of itself: one of the records on the way is wrong. The links are "
            "published and flagged, and a recall goes around once. It stops no close, for a recall needs "
            "all links, and OEE none.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="unknown_inputs",
            max_value=0,
            severity="warning",
            notes="Components of a lot or serial number that nobody knows: a recall of the right lot would not "
            "find these units.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="unknown_outputs",
            max_value=0,
            severity="warning",
            notes="Something went into a unit or lot that nobody knows.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="without_quantity",
            max_value=0,
            severity="warning",
            notes="A link of nothing, or of less: a quantity was not booked or booked the wrong way round.",
        ),
    ],
)
