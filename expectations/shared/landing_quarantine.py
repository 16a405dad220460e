"""Changes of source tables that were set aside instead of landed, by the table's drift policy. One row per reason."""

import great_expectations as gx

KEY = ("table_name", "reason")

ROWS = """
select table_name, reason, cast(count(*) as integer) as changes_set_aside
from set_aside
group by table_name, reason
"""

SUITE = gx.ExpectationSuite(
    name="landing_quarantine",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="changes_set_aside",
            max_value=0,
            severity="warning",
            notes="These changes are in quarantine, so raw lacks them. Look at them (python -m "
            "include.gate.quarantine list), "
            "settle the table's drift policy and load the table again.",
        ),
    ],
)
