"""The stations that figures refer to: of a known vocabulary, and the plant's own."""

import great_expectations as gx

SUITE = gx.ExpectationSuite(
    name="dim_station",
    expectations=[
        gx.expectations.ExpectTableRowCountToBeBetween(
            min_value=1, severity="critical", notes="Without stations every figure would refer to nothing."
        ),
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="station_id",
            severity="critical",
            notes="A station that stands twice doubles every sum that joins it.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="vocabulary",
            value_set=["mtconnect", "packml", "opc40001", "line"],
            severity="warning",
            notes="factorypack_states.csv ships meanings for these; a vocabulary of your own needs rows there.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="origin",
            value_set=["mes"],
            severity="warning",
            notes="Known only from a file: the manufacturing execution system lacks the station, so its orders and "
            "planned stops are unknown.",
        ),
    ],
)
