"""The reason tree."""

import great_expectations as gx

SUITE = gx.ExpectationSuite(
    name="dim_reason",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="reason_code",
            severity="critical",
            notes="A reason that stands twice doubles its standstill in every Pareto.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeNull(
            column="level_1",
            severity="warning",
            notes="A reason without a place in the tree falls out of every Pareto by level.",
        ),
    ],
)
