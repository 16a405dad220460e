"""The facilities that figures refer to."""

import great_expectations as gx

SUITE = gx.ExpectationSuite(
    name="dim_facility",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="facility_id",
            severity="critical",
            notes="A facility that stands twice doubles every sum that joins it.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="origin",
            value_set=["fieldops"],
            severity="warning",
            notes="Known only from a partner's file: the operator's database lacks the facility.",
        ),
    ],
)
