"""Turn columns of text into typed columns, exactly, and say of every cell that cannot be read why not."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Reasons = dict[int, str]  # place of the row -> why its cell cannot be read
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
BOOLEANS = {
    "true": True,
    "t": True,
    "yes": True,
    "y": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "n": False,
    "0": False,
}


@dataclass(frozen=True)
class Style:
    """How a feed writes its values."""

    decimal: str = "."
    thousands: str = ""
    nulls: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Style":
        return cls(
            decimal=str(options.get("decimal", ".")),
            thousands=str(options.get("thousands", "")),
            nulls=tuple({"", *(str(v) for v in options.get("nulls", ()))}),
        )


def arrow_type(declared: str) -> pa.DataType:
    """The type in raw of a feed's declared type."""
    if match := re.fullmatch(r"decimal(?:\((\d+), ?(\d+)\))?", declared):
        return pa.decimal128(int(match[1] or 38), int(match[2] or 18))
    return {
        "string": pa.string(),
        "long": pa.int64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "hour_range": pa.timestamp("us"),
    }[declared]


def trimmed(texts: pa.Array, style: Style) -> pa.Array:
    """`texts` without blanks around, and null where the feed writes its sign for 'no value'."""
    texts = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.is_in(texts, pa.array(style.nulls)), pa.scalar(None, pa.string()), texts)


def by_distinct(texts: pa.Array, read: Callable[[str], Any], to: pa.DataType) -> tuple[pa.Array, Reasons]:
    """Read each distinct text once by `read`, which raises `ValueError` with the reason where it cannot."""
    encoded = texts.dictionary_encode()
    values, bad = [], {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(read(text))
        except ValueError as error:
            values.append(None)
            bad[code] = str(error)
    found = pa.array(values, to).take(encoded.indices)
    reasons: Reasons = {}
    if bad:
        for place, code in enumerate(encoded.indices.to_pylist()):
            if code in bad:
                reasons[place] = bad[code]
    return found, reasons


def read_decimals(texts: pa.Array, to: pa.Decimal128Type, style: Style) -> tuple[pa.Array, Reasons]:
    """Exact decimals. One that has more digits than the column keeps is refused, never rounded."""
    whole = to.precision - to.scale

    def read(text: str) -> Decimal:
        return _decimal(text, to, style)

    sign = re.escape(style.decimal)
    plain = pc.fill_null(
        pc.match_substring_regex(texts, rf"^[+-]?[0-9]{{1,{whole}}}({sign}[0-9]{{1,{to.scale}}})?$"), True
    )
    nothing = pa.scalar(None, pa.string())
    dotted = texts if style.decimal == "." else pc.replace_substring(texts, style.decimal, ".")
    fast = pc.if_else(plain, dotted, nothing).cast(to)  # exact: arrow reads the digits, no float in between
    if pc.all(plain).as_py() in (True, None):
        return fast, {}
    slow, reasons = by_distinct(pc.if_else(plain, nothing, texts), read, to)
    return pc.coalesce(fast, slow), reasons


def _decimal(text: str, to: pa.Decimal128Type, style: Style) -> Decimal:
    plain = text
    if style.thousands:
        grouped = rf"[+-]?\d{{1,3}}({re.escape(style.thousands)}\d{{3}})+({re.escape(style.decimal)}\d*)?"
        if re.fullmatch(grouped, plain):
            plain = plain.replace(style.thousands, "")
    if style.decimal != ".":
        plain = "?" if "." in plain else plain.replace(style.decimal, ".")
    if not NUMBER.fullmatch(plain):
        raise ValueError(f"{_shown(text)} is not a number{_number_hint(text, style)}")
    with localcontext(prec=2_000) as exact:
        exact.traps[InvalidOperation] = True
        value = Decimal(plain)
        if value and value.adjusted() >= to.precision - to.scale:
            raise ValueError(f"{_shown(text)} is too large for {to}")
        if value:
            value = value.normalize()
        decimals = max(0, -value.as_tuple().exponent)
        if value and decimals > to.scale:
            raise ValueError(
                f"{_shown(text)} has {decimals} decimals, the column keeps {to.scale}; widen its declared type"
            )
        return value.quantize(Decimal(1).scaleb(-to.scale))


def _number_hint(text: str, style: Style) -> str:
    other = {".": ",", ",": "."}.get(style.decimal)
    if other and re.fullmatch(r"[+-]?[\d.,' ]*\d", text) and (other in text):
        return f" (the feed declares {style.decimal!r} as decimal sign)"
    return ""


def _long(text: str, style: Style) -> int:
    value = _decimal(text, pa.decimal128(38, 18), style)
    if value != int(value) or abs(value) >= 2**63:
        raise ValueError(f"{_shown(text)} is not a whole number")
    return int(value)


def _boolean(text: str) -> bool:
    try:
        return BOOLEANS[text.casefold()]
    except KeyError:
        raise ValueError(f"{_shown(text)} is neither true nor false") from None


def read_date(text: str, formats: tuple[str, ...]) -> date:
    return read_timestamp(text, formats).date()


def read_timestamp(text: str, formats: tuple[str, ...]) -> datetime:
    """The local time, by the first format that fits; raises `ValueError` naming the first format."""
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(f"{_shown(text)} is not {_spoken(formats[0])}")


def read_plain(texts: pa.Array, declared: str, style: Style, formats: tuple[str, ...]) -> tuple[pa.Array, Reasons]:
    """A column of any type but local times, for which `file_hours` is there."""
    to = arrow_type(declared)
    if declared == "string":
        return pc.if_else(pc.is_in(texts, pa.array(style.nulls)), pa.scalar(None, pa.string()), texts), {}
    texts = trimmed(texts, style)
    if pa.types.is_decimal(to):
        return read_decimals(texts, to, style)
    if declared == "long":
        return by_distinct(texts, lambda text: _long(text, style), to)
    if declared == "boolean":
        return by_distinct(texts, _boolean, to)
    return by_distinct(texts, lambda text: read_date(text, formats), to)


def swapped(form: str) -> str | None:
    """The same format with day and month the other way round, where the two can be mistaken for each other."""
    if not re.match(r"%[dm].%[dm]", form):
        return None
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _spoken(form: str) -> str:
    words = {
        "%d": "day",
        "%m": "month",
        "%Y": "year",
        "%y": "year",
        "%H": "hour",
        "%M": "minute",
        "%S": "second",
        "%b": "month name",
    }
    return re.sub(r"%[a-zA-Z]", lambda m: words.get(m[0], m[0]), form) + f" ({form})"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
