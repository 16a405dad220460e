"""What a believable set of well tests looks like before it is published."""

import great_expectations as gx

KEY = ("well_id", "well_test_id", "production_date")

SUITE = gx.ExpectationSuite(
    name="fct_well_test",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="well_test_id", severity="critical", notes="A test that stands twice would be allocated by twice."
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="validity",
            value_set=["valid", "invalid"],
            severity="warning",
            notes="Without duration and stabilisation nobody knows whether the test counts; it does not until "
            "somebody accepts it.",
        ),
        gx.expectations.ExpectColumnValuesToNotBeInSet(
            column="validity",
            value_set=["invalid"],
            severity="warning",
            notes="The test was too short or not stabilised, so the one before stays in force. Test the well again.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="oil_rate_sm3_per_day",
            min_value=0,
            max_value=16_000,
            severity="critical",
            notes="100,000 bbl a day: more than any well of the North Sea or the Permian ever made.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="gas_rate_sm3_per_day",
            min_value=0,
            max_value=12_000_000,
            severity="critical",
            notes="About 420 MMcf a day: beyond the best gas wells offshore.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="bsw_pct",
            min_value=0,
            max_value=100,
            severity="warning",
            notes="A share of the liquid lies between 0 and 100 %.",
        ),
    ],
)
