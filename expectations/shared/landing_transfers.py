"""Partner files that came since the window began and did not land whole. One row per file, with its latest state."""

import great_expectations as gx

KEY = ("feed", "file_name", "reason")

ROWS = """
with transfers as (
    select
        t.*,
        row_number() over (partition by t.feed, t.file_name, t.sha256 order by t.recorded_at desc) as place
    from ops_file_transfers as t
    cross join this_close as c
    where t.received_at between c.starts_at and c.frozen_at and t.recorded_at <= c.frozen_at
)

select
    feed,
    file_name,
    reason,
    state,
    cast(coalesce(rows_quarantined, 0) as integer) as rows_quarantined
from transfers
where place = 1 and state <> 'duplicate'
"""

SUITE = gx.ExpectationSuite(
    name="landing_transfers",
    expectations=[
        gx.expectations.ExpectColumnValuesToNotBeInSet(
            column="state",
            value_set=["quarantined"],
            severity="warning",
            notes="The file could not be read and lies in quarantine; what it held is missing until it is released "
            "or sent again.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="rows_quarantined",
            max_value=0,
            severity="warning",
            notes="Some rows of the file could not be parsed or keyed. See them: python -m include.gate.quarantine "
            "list",
        ),
    ],
)
