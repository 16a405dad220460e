"""Links as the published mart holds them, a few words each."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

NUMBER = pa.decimal128(18, 3)
SCHEMA = pa.schema(
    {
        "link_id": pa.string(),
        "kind": pa.string(),
        "transformation_id": pa.string(),
        "input_id": pa.string(),
        "input_kind": pa.string(),
        "input_product_id": pa.string(),
        "input_quantity": NUMBER,
        "output_id": pa.string(),
        "output_kind": pa.string(),
        "output_product_id": pa.string(),
        "output_quantity": NUMBER,
        "quantity": NUMBER,
        "is_on_cycle": pa.bool_(),
    }
)


def assembled(source: str, target: str, quantity: int, **more: Any) -> dict[str, Any]:
    """`quantity` of the lot `source` in the unit `target`."""
    return {
        "link_id": f"{source}>{target}",
        "kind": "assembled",
        "input_id": source,
        "input_kind": "lot",
        "input_quantity": Decimal(quantity),
        "output_id": target,
        "output_kind": "unit",
        "output_quantity": Decimal(1),
        "quantity": Decimal(quantity),
        "is_on_cycle": False,
    } | more


def moved(
    transformation: str, source: str, target: str, taken: int, made: int, quantity: int | None, **more: Any
) -> dict[str, Any]:
    """A transformation that took `taken` of the lot `source` and made `made` of the lot `target`."""
    return {
        "link_id": f"{transformation}:{source}>{target}",
        "kind": "split",
        "transformation_id": transformation,
        "input_id": source,
        "input_kind": "lot",
        "input_quantity": Decimal(taken),
        "output_id": target,
        "output_kind": "lot",
        "output_quantity": Decimal(made),
        "quantity": None if quantity is None else Decimal(quantity),
        "is_on_cycle": False,
    } | more


def linked(links: Iterable[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(links), SCHEMA)
