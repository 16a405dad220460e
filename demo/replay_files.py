"""Real files as a replay plays them: their columns are discovered, their times and texts are kept as they are.

threew      parquet, a row a time: a time column and columns of values (Petrobras 3W and whatever looks like it)
historian   CSV, a row a time: the first column is the time, the others are tags; texts such as "Bad" say why a
            number is missing
mtconnect   lines of an MTConnect adapter: time|key|value
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.errors import HnaiError

Value = float | bool | str | None
Cell = tuple[Value, int]  # value and OPC UA status code

GOOD, BAD = 0, 0x80000000
BAD_NO_DATA = 0x809B0000
BAD_TEXTS = {  # what historians write in the place of a number
    "bad": BAD,
    "bad input": BAD,
    "bad quality": BAD,
    "error": BAD,
    "inp outrange": 0x803C0000,  # BadOutOfRange
    "out of range": 0x803C0000,
    "over range": 0x803C0000,
    "under range": 0x803C0000,
    "scan timeout": 0x800A0000,  # BadTimeout
    "i/o timeout": 0x800A0000,
    "timeout": 0x800A0000,
    "comm fail": 0x80310000,  # BadNoCommunication
    "no comm": 0x80310000,
    "not connect": 0x808A0000,  # BadNotConnected
    "not connected": 0x808A0000,
    "intf shut": 0x808A0000,
    "configure": 0x80890000,  # BadConfigurationError
    "equip fail": 0x808B0000,  # BadDeviceFailure
    "no data": BAD_NO_DATA,
    "no sample": BAD_NO_DATA,
    "pt created": BAD_NO_DATA,
    "shutdown": BAD_NO_DATA,
    "": BAD_NO_DATA,
}
TIME_FORMATS = (
    "iso",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d-%b-%y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
)
LEVELS = ("normal", "warning", "fault", "unavailable")  # of an MTConnect condition


class ReplayError(HnaiError):
    """A file that cannot be played; the message says what is wrong with it."""


@dataclass(frozen=True)
class Column:
    name: str  # as the file has it
    kind: str  # double, boolean, text
    unit: str = "1"


@dataclass
class Table:
    """A file of rows: what its columns are, and its rows in the order of the file."""

    columns: tuple[Column, ...]
    rows: Iterator[tuple[datetime, Sequence[Cell]]]
    skipped: Counter[str] = field(default_factory=Counter)  # rows without a time, by reason


def read_threew(path: Path, zone: str = "UTC", time_format: str | None = None) -> Table:
    """A parquet file. Times without a zone are in `zone`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ReplayError(f"{path} cannot be read as parquet: {error}") from error
    times = [f.name for f in table.schema if pa.types.is_timestamp(f.type)]
    if not times:
        types = ", ".join(f"{f.name} {f.type}" for f in table.schema)
        raise ReplayError(f"{path} has no column of times; it has: {types}")
    is_value = {
        f.name: pa.types.is_floating(f.type)
        or pa.types.is_integer(f.type)
        or pa.types.is_decimal(f.type)
        or pa.types.is_boolean(f.type)
        or pa.types.is_string(f.type)
        or pa.types.is_large_string(f.type)
        or pa.types.is_null(f.type)
        for f in table.schema
    }
    names = [name for name, usable in is_value.items() if usable]
    if not names or not table.num_rows:
        raise ReplayError(f"{path} has {table.num_rows} rows and {len(names)} columns of values: nothing to play")
    columns = tuple(Column(name, _kind(table[name]), _unit(name)) for name in names)
    skipped: Counter[str] = Counter()

    def rows() -> Iterator[tuple[datetime, Sequence[Cell]]]:
        instant = _localised(zone, path)
        for batch in table.select([times[0], *names]).to_batches(max_chunksize=10_000):
            at, *values = (column.to_pylist() for column in batch.columns)
            for n, moment in enumerate(at):
                if moment is None:
                    skipped["no time"] += 1
                    continue
                cells = [_cell(column.kind, of[n]) for column, of in zip(columns, values, strict=True)]
                yield instant(moment), cells

    return Table(columns, rows(), skipped)


def _kind(column) -> str:
    import pyarrow as pa

    if column.null_count == len(column):
        return "double"
    if pa.types.is_boolean(column.type):
        return "boolean"
    return "text" if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else "double"


def _cell(kind: str, value) -> Cell:
    if value is None:
        return None, BAD_NO_DATA
    return (float(value) if kind == "double" else value), GOOD


def _unit(name: str) -> str:
    """The 3W set names its sensors by what they measure: P-PDG, T-TPT, QGL."""
    if re.match(r"P[_-]", name):
        return "pa"
    if re.match(r"T[_-]", name):
        return "degc"
    return "m3_per_s" if re.match(r"Q[A-Z]", name) else "1"


def read_historian(path: Path, zone: str = "UTC", time_format: str | None = None) -> Table:
    """A CSV export: delimiter, decimal mark, time format and the type of each column are found by reading it once."""
    encoding = _encoding(path)
    with path.open(newline="", encoding=encoding) as lines:
        head = lines.readline()
        delimiter = max(";\t,|", key=head.count)
        if not head.count(delimiter):
            raise ReplayError(f"{path}: its first line has no ';', tab, ',' or '|', so it is no table: {head[:80]!r}")
        lines.seek(0)
        reader = csv.reader(lines, delimiter=delimiter)
        heading = next(reader)
        formats = list(TIME_FORMATS) if time_format is None else [time_format]
        numbers, texts = [Counter() for _ in heading], [Counter() for _ in heading]
        orders: dict[str, datetime | None] = dict.fromkeys(formats)
        rows = 0
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            rows += 1
            formats = _fitting(formats, orders, row[0], path, reader.line_num)
            for n, cell in enumerate(row[1 : len(heading)], 1):
                _judge(cell, delimiter, numbers[n], texts[n])
    if not rows or len(heading) < 2:
        raise ReplayError(f"{path} has {rows} rows and {len(heading) - 1} columns of values: nothing to play")
    columns = tuple(
        Column(name.strip() or f"column_{n}", "double" if numbers[n]["number"] >= texts[n].total() else "text")
        for n, name in enumerate(heading[1:], 1)
    )
    skipped: Counter[str] = Counter()
    return Table(columns, _historian_rows(path, encoding, delimiter, columns, formats[0], zone, skipped), skipped)


def _historian_rows(path, encoding, delimiter, columns, time_format, zone, skipped):
    instant = _localised(zone, path)
    with path.open(newline="", encoding=encoding) as lines:
        reader = csv.reader(lines, delimiter=delimiter)
        next(reader)
        for row in reader:
            if not any(cell.strip() for cell in row):
                skipped["empty row"] += 1
                continue
            cells = row[1:] + [""] * (len(columns) + 1 - len(row))
            of = zip(columns, cells, strict=False)
            yield instant(_time(row[0], time_format)), [_historian_cell(c.kind, cell, delimiter) for c, cell in of]


def _historian_cell(kind: str, cell: str, delimiter: str) -> Cell:
    text = cell.strip()
    if kind == "text":
        return (text, GOOD) if text else (None, BAD_NO_DATA)
    number = _number(text, delimiter)
    return (number, GOOD) if number is not None else (None, BAD_TEXTS.get(text.lower(), BAD))


def _judge(cell: str, delimiter: str, numbers: Counter[str], texts: Counter[str]) -> None:
    text = cell.strip()
    if text.lower() in BAD_TEXTS:
        return
    if _number(text, delimiter) is not None:
        numbers["number"] += 1
    else:
        texts[text] += 1


def _number(text: str, delimiter: str) -> float | None:
    if delimiter == ";" and "," in text:
        text = text.replace(".", "").replace(",", ".")
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _fitting(formats: list[str], last: dict[str, datetime | None], text: str, path: Path, line: int) -> list[str]:
    """The formats that can read this time too; of two, the one in which time does not run backwards."""
    read = {}
    for name in formats:
        try:
            read[name] = _time(text, name)
        except ValueError:
            continue
    if not read:
        raise ReplayError(f"{path}, line {line}: {text!r} is no time in a known format. Give one with --time-format")
    forward = [name for name, at in read.items() if last[name] is None or _is_not_before(at, last[name])]
    last.update(read)
    return forward or list(read)


def _is_not_before(new: datetime, old: datetime) -> bool:
    return new.tzinfo != old.tzinfo or new >= old


def _time(text: str, time_format: str) -> datetime:
    text = text.strip()
    return datetime.fromisoformat(text) if time_format == "iso" else datetime.strptime(text, time_format)


def _encoding(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for _ in lines:
                pass
    except UnicodeDecodeError:
        return "cp1252"
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror}") from error
    return "utf-8-sig"


def _localised(zone: str, path: Path):
    """What turns a time of the file into an instant: its own zone where it has one, else `zone`."""
    try:
        local = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ReplayError(f"{zone!r} is no time zone; write it as Europe/Oslo") from error
    return lambda at: (at if at.tzinfo else at.replace(tzinfo=local)).astimezone(UTC)


@dataclass(frozen=True)
class Line:
    """One line of an adapter, as it stands, and what it says.

    `said` is empty where the line is no plain observation: it is sent, and not asked for afterwards.
    """

    text: str
    at: datetime | None = None
    said: tuple[tuple[str, str], ...] = ()  # address and value; of a condition `key#level` and its level


def read_shdr(path: Path) -> list[Line]:
    """The lines of an adapter's log. Those that are no observation are kept too: a reader must stand them."""
    encoding = _encoding(path)
    lines = [shdr_line(line) for line in path.read_text(encoding=encoding).splitlines() if line.strip()]
    if not any(line.said for line in lines):
        first = lines[0].text[:80] if lines else ""
        raise ReplayError(f"{path} has no line of the form time|key|value; it begins with {first!r}")
    return lines


def shdr_line(text: str) -> Line:
    """`time|key|value|key|value…`, `time|key|code|text` of a message, or a condition's level and four more."""
    stamp, *rest = (part.strip() for part in text.split("|"))
    try:
        at = datetime.fromisoformat(stamp.split("@", 1)[0])
    except ValueError:
        return Line(text)
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    if '"' in text or "--multiline--" in text or not rest or rest[0].startswith("@"):
        return Line(text, at)
    if len(rest) == 6 and rest[1].lower() in LEVELS:
        return Line(text, at, ((f"{rest[0]}#level", rest[1].upper()),))
    if len(rest) == 3:
        return Line(text, at, ((rest[0], rest[2]),))
    return Line(text, at, tuple(zip(rest[::2], rest[1::2], strict=False)) if len(rest) % 2 == 0 else ())


def is_unavailable(value: str) -> bool:
    return value.upper() == "UNAVAILABLE"


def shdr_columns(lines: Sequence[Line]) -> tuple[Column, ...]:
    """The addresses of the lines; one is a number when it has values and each of them is."""
    is_number: dict[str, bool | None] = {}
    for line in lines:
        for address, value in line.said:
            if is_unavailable(value) or not value:
                is_number.setdefault(address, None)
            else:
                is_number[address] = is_number.get(address) is not False and _number(value, ",") is not None
    return tuple(Column(address, "double" if number else "text") for address, number in is_number.items())
