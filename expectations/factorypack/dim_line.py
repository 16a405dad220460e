"""The lines that figures refer to."""

import great_expectations as gx

SUITE = gx.ExpectationSuite(
    name="dim_line",
    expectations=[
        gx.expectations.ExpectTableRowCountToBeBetween(
            min_value=1, severity="critical", notes="Without lines every figure would refer to nothing."
        ),
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="line_id", severity="critical", notes="A line that stands twice doubles every sum that joins it."
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="micro_stop_treatment",
            value_set=["delay", "performance"],
            severity="critical",
            notes="factorypack_rules.csv has another word for the treatment of micro-stops; figures would follow the "
            "standard without saying so.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="micro_stop_s",
            min_value=0,
            max_value=1800,
            severity="warning",
            notes="Half an hour is no micro-stop: minutes taken for seconds, or milliseconds?",
        ),
    ],
)
