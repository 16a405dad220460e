"""What counts as the same figure on two engines, and what is said of one that is not."""

from decimal import Decimal

import pyarrow as pa
import pytest

from include.catalog import marts
from stack.parity import compared, differences, is_same

DIM = next(mart for mart in marts("energypack") if mart.name == "dim_well")


def wells(*rows: tuple) -> pa.Table:
    names = ["calendar", "well_id", "depth_m", "share"]
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


A, B = ("permian", "A", Decimal("10.5"), 0.1), ("permian", "B", None, 0.2)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (Decimal("1.10"), Decimal("1.1"), True),
        (Decimal("1.1000000001"), Decimal("1.1"), False),
        (1.0, 1.0 + 5e-10, True),
        (1.0, 1.0 + 5e-9, False),
        (float("nan"), float("nan"), True),
        (None, None, True),
        (None, 0, False),
        ("x", "X", False),
    ],
)
def test_floats_agree_to_nine_digits_and_all_else_exactly(a, b, same):
    assert is_same(a, b) is same


def test_rows_are_met_by_key_whatever_their_order():
    assert list(differences(DIM, wells(A, B), wells(B, A))) == []


def test_a_difference_names_table_key_column_and_both_values():
    (found,) = differences(DIM, wells(A, B), wells(("permian", "A", Decimal("10.6"), 0.1), B))

    assert str(found) == "dim_well (permian, A) depth_m: 10.5 | 10.6"


def test_a_row_that_one_side_lacks_or_has_twice_is_a_difference():
    missing, twice = differences(DIM, wells(A, B, B), wells(B))

    assert (missing.key, missing.left, missing.right) == (("permian", "A"), "1 times", "0 times")
    assert (twice.key, twice.left, twice.right) == (("permian", "B"), "2 times", "1 times")


def test_a_mart_that_a_side_left_out_is_a_difference():
    """Every mart that the pack declares is compared."""
    rows = {mart.name: pa.table({"calendar": pa.array([], pa.string())}) for mart in marts("factorypack")}
    lacking = {name: table for name, table in rows.items() if name != "dim_line"}

    found = compared("factorypack", rows, lacking)

    assert set(found) == {mart.name for mart in marts("factorypack")}
    assert [name for name, differing in found.items() if differing] == ["dim_line"]
