"""Write and read the append-only logs of namespace `ops`: `record` and `read`.

A table is created with its first row, from the columns declared in `include/ops/tables.py`.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, In, IsNull

from include import lakehouse
from include.errors import DeclarationError, LakehouseError
from include.ops.tables import schema

# Every record is a commit: merged manifests keep a log of a thousand of them as quick to read as one of ten.
_PROPERTIES = {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "10"}
_ready: set[tuple[int, str]] = set()  # (process, table) pairs known to exist with all their columns


def record(table: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Append `rows` to `ops.<table>` in one commit and return their number.

    A dict or list becomes JSON text; a column that a row lacks is null. Raises `DeclarationError` for a
    column that is not declared.
    """
    declared = schema(table)
    now = datetime.now(UTC)
    filled = [
        {"recorded_at": now, **{name: _storable(value, declared, name, table) for name, value in row.items()}}
        for row in rows
    ]
    if not filled:
        return 0
    arrow = pa.Table.from_pylist(filled, schema=declared)
    if (os.getpid(), table) not in _ready:
        lakehouse.ensure_table(f"ops.{table}", declared, properties=_PROPERTIES)
        _ready.add((os.getpid(), table))
    lakehouse.append(f"ops.{table}", arrow)
    return len(filled)


def read(
    table: str, where: BooleanExpression | None = None, columns: Sequence[str] | None = None, /, **equals: Any
) -> list[dict[str, Any]]:
    """The rows of `ops.<table>`, oldest first, whose columns equal `equals` and that satisfy `where`.

    A value that is a list, tuple or set means "one of"; None means null. `columns` narrows what is read. A
    table that was never written to has no rows.
    """
    declared = schema(table)
    condition: BooleanExpression = where or AlwaysTrue()
    for name, value in equals.items():
        if name not in declared.names:
            raise DeclarationError(f"ops.{table} has no column {name!r}; it has {declared.names}")
        condition = And(condition, _condition(name, value))
    if not lakehouse.exists(f"ops.{table}"):
        return []
    found = lakehouse.table(f"ops.{table}")
    stored = {f.name for f in found.schema().fields}
    if missing := [name for name in equals if name not in stored]:
        raise LakehouseError(f"ops.{table} was written before its columns {missing} were declared; record a row first")
    names = [name for name in declared.names if columns is None or name in columns or name == "recorded_at"]
    selected = tuple(name for name in names if name in stored)
    rows = found.scan(row_filter=condition, selected_fields=selected).to_arrow().sort_by("recorded_at").to_pylist()
    return [{name: row.get(name) for name in names} for row in rows]


def _condition(name: str, value: Any) -> BooleanExpression:
    if value is None:
        return IsNull(name)
    if isinstance(value, (list, tuple, set, frozenset)):
        return In(name, {_literal(v) for v in value})
    return EqualTo(name, _literal(value))


def _literal(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _storable(value: Any, declared: pa.Schema, name: str, table: str) -> Any:
    if name not in declared.names:
        raise DeclarationError(
            f"ops.{table} has no column {name!r}; it has {declared.names}. Add it in include/ops/tables.py"
        )
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, separators=(",", ":"))
    if isinstance(value, Decimal) and pa.types.is_string(declared.field(name).type):
        return format(value, "f")
    return value
