"""The products that figures refer to."""

import great_expectations as gx

SUITE = gx.ExpectationSuite(
    name="dim_product",
    expectations=[
        gx.expectations.ExpectColumnValuesToBeUnique(
            column="product_id",
            severity="critical",
            notes="A product that stands twice doubles every sum that joins it.",
        ),
        gx.expectations.ExpectColumnValuesToBeInSet(
            column="origin",
            value_set=["mes"],
            severity="warning",
            notes="Known only from a file of routings: the manufacturing execution system lacks the product.",
        ),
    ],
)
