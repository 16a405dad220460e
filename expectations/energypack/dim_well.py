"""The wells that figures refer to: located, of a known type, and the operator's own."""

import great_expectations as gx

SUITE = gx.ExpectationSuite(
    name="dim_well",
    expectations=[
        gx.expectations.ExpectTableRowCountToBeBetween(
            min_value=1, severity="critical", notes="Without wells every figure would refer to nothing."
        ),
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="well_id", severity="critical", notes="A well that stands twice doubles every sum that joins it."
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="origin",
            value_set=["fieldops"],
            severity="warning",
            notes="Known only from a partner's file: the operator's database lacks the well, so it has no "
            "location, deck or route.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="well_type",
            value_set=["oil_producer", "gas_producer", "water_injector"],
            severity="warning",
            notes="Reports split wells by these three types; another one falls out of all of them.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="latitude",
            min_value=-90,
            max_value=90,
            severity="warning",
            notes="No such place: latitude and longitude are swapped.",
        ),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column="longitude",
            min_value=-180,
            max_value=180,
            severity="warning",
            notes="No such place: latitude and longitude are swapped.",
        ),
    ],
)
