"""Rows of one table, as Debezium's JSON has them, to Arrow columns of the types that raw keeps.

A column is converted at once. Where that fails, value by value: what cannot be kept (a NaN in an exact decimal,
an infinite date) becomes null and the row is set aside whole, with the reason, so that nothing is lost.
"""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

UNCHANGED = "__debezium_unavailable_value"
_UNCHANGED_FORMS = (UNCHANGED, base64.b64encode(UNCHANGED.encode()).decode(), [UNCHANGED])
_FAILURES = (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError)


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def take_unchanged(values: list[Any]) -> list[int]:
    """Put null for each value that the source did not send again; give their places."""
    places = []
    for form in _UNCHANGED_FORMS:
        if form in values:
            places += [i for i, v in enumerate(values) if v == form]
    for i in places:
        values[i] = None
    return places


def convert(values: list[Any], kind: pa.DataType, source_type: str) -> tuple[pa.Array, dict[int, str]]:
    """The values as an array of `kind`, and for each place that could not be kept, why."""
    try:
        return _column(values, kind, source_type), {}
    except _FAILURES:
        pass
    kept, refused = [], {}
    for i, value in enumerate(values):
        try:
            kept.append(_column([value], kind, source_type)[0].as_py())
        except _FAILURES:
            kept.append(None)
            refused[i] = f"{json.dumps(value, default=str)[:80]} does not fit {kind}"
    return pa.array(kept, kind), refused


def _column(values: list[Any], kind: pa.DataType, source_type: str) -> pa.Array:
    if is_text(kind):
        return pa.array(_texts(values, source_type), kind)
    if pa.types.is_decimal(kind):
        return pa.array(_map(values, str), pa.string()).cast(kind)
    if pa.types.is_timestamp(kind):
        instants = pa.array(values, pa.string()).cast(pa.timestamp("us", tz="UTC"))
        return instants if kind.tz else instants.cast(pa.timestamp("us"))
    if pa.types.is_date(kind):
        return pc.utf8_rtrim(pa.array(values, pa.string()), characters="Z").cast(kind)
    if is_bytes(kind):
        return pa.array(_map(values, base64.b64decode), kind)
    if pa.types.is_floating(kind):
        return pa.array(_map(values, float), kind)
    if pa.types.is_integer(kind):
        return pa.array(_map(values, int) if any(isinstance(v, str) for v in values) else values, kind)
    return pa.array(values, kind)


def _map(values: Iterable[Any], how: Callable[[Any], Any]) -> list[Any]:
    return [None if v is None else how(v) for v in values]


def _texts(values: list[Any], source_type: str) -> list[str | None]:
    if source_type in ("time", "timetz") or source_type == "timestamp":
        return [v.removesuffix("Z") if isinstance(v, str) and source_type != "timetz" else _text(v) for v in values]
    if source_type == "bpchar":  # trailing blanks of char(n) mean nothing
        return [v.rstrip(" ") if isinstance(v, str) else _text(v) for v in values]
    return values if all(v is None or type(v) is str for v in values) else _map(values, _text)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Decimal, date, datetime)):
        return str(value)
    return json.dumps(value)


def at_microseconds(values: Sequence[int]) -> pa.Array:
    """Microseconds since 1970 as instants."""
    return pa.array(values, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def now() -> datetime:
    return datetime.now(UTC)
