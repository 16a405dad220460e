"""Read the cells of a CSV or workbook as text, and find out whether the file is of its feed at all.

Every cell stays text until `file_types` reads it: a figure never passes through a float. A workbook is the one
exception, since it stores binary floats itself: a cell's shortest text that gives the same float is taken, which
is the figure that was typed and the one that the same export writes into its CSV.
"""

import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time

from include.catalog import Feed, FeedColumn
from include.errors import LandingError
from include.land.file_open import BadFile, Opened, decode

DELIMITERS = (",", ";", "\t", "|")
ISO_DATE, ISO_TIMESTAMP = "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"


@dataclass
class Cells:
    """A file as text: its heading and its data rows, each with its number (1 is the first row below the heading)."""

    header: list[str]
    numbers: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    misfits: list[tuple[int, list[str]]] = field(default_factory=list)  # rows with too few or too many fields
    is_workbook: bool = False
    notes: list[str] = field(default_factory=list)


def read_cells(opened: Opened, feed: Feed) -> Cells:
    """The cells of the file. Raises `BadFile` where it is no file of `feed`, or is cut short."""
    if opened.is_workbook:
        if "xlsx" not in feed.format:
            raise BadFile(f"{opened.name} is a workbook; {feed.full_name} takes {' or '.join(feed.format)}")
        cells = _read_workbook(opened, feed)
    elif "csv" not in feed.format:
        raise BadFile(f"{opened.name} is no workbook; {feed.full_name} takes {' or '.join(feed.format)}")
    else:
        cells = _read_csv(opened, feed)
    if not cells.rows and not cells.misfits:
        raise BadFile("The file holds a heading and no rows; ask the sender for the data")
    return cells


def _read_csv(opened: Opened, feed: Feed) -> Cells:
    text = decode(opened.payload, str(feed.options.get("encoding", "utf-8")))
    delimiter = str(feed.options.get("delimiter", ","))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t"
    )
    number = 0
    try:
        header = _header(reader, feed)
        _check_delimiter(header, text, delimiter, feed)
        cells = Cells(header)
        for _ in range(int(feed.options.get("skip_after_header", 0))):
            next(reader, None)
        for number, row in enumerate(reader, 1):
            if len(row) == len(header):
                cells.numbers.append(number)
                cells.rows.append(row)
            elif any(row):
                cells.misfits.append((number, row))
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise BadFile(
                f"The file is cut short: it ends inside a quoted field after data row {number}. Ask for it again"
            ) from error
        raise BadFile(f"The file cannot be read after data row {number} (line {reader.line_num}): {error}") from error
    _check_end(text, cells, number)
    return cells


def _header(reader: Iterator[list[str]], feed: Feed) -> list[str]:
    """The heading's names; lines that the feed declares as lying above it are left out, blank lines too."""
    for _ in range(int(feed.options.get("skip_rows", 0))):
        next(reader, None)
    for row in reader:
        if any(field.strip() for field in row):
            return [field.strip() for field in row]
    raise BadFile("The file is empty (no heading); ask the sender for it again")


def _check_delimiter(header: list[str], text: str, delimiter: str, feed: Feed) -> None:
    if len(header) > 1 or _covers(header, feed):
        return
    for other in DELIMITERS:
        if other != delimiter and len(names := next(csv.reader([header[0]], delimiter=other), [])) > 1:
            shown = {"\t": "a tab"}.get(other, repr(other))
            raise BadFile(
                f"The fields are separated by {shown}, the feed declares {delimiter!r} "
                f"({len(names)} names in the heading). Ask for {delimiter!r}, or declare `delimiter: {other!r}`"
            )


def _check_end(text: str, cells: Cells, last: int) -> None:
    """Refuse a file that was cut in mid-row: what follows the cut is unknown, so nothing of it is landed.

    A missing line end alone is no proof (many programs write none). It is one where the last row has too few
    fields, or where its last field is the mere beginning of what other rows hold there.
    """
    if text.endswith(("\n", "\r")) or last == 0:
        return
    cut = f"The file is cut short in mid-row: data row {last}, the last one, "
    if cells.misfits and cells.misfits[-1][0] == last and len(cells.misfits[-1][1]) < len(cells.header):
        raise BadFile(
            cut + f"has {len(cells.misfits[-1][1])} of {len(cells.header)} fields and no line end. Ask for it again"
        )
    if len(cells.rows) > 1 and cells.numbers[-1] == last:
        end, others = cells.rows[-1][-1], {row[-1] for row in cells.rows[:-1]}
        if end not in others and not re.fullmatch(r"[\d.,+-]+", end) and any(o.startswith(end) for o in others):
            whole = next(o for o in others if o.startswith(end))
            raise BadFile(cut + f"ends with {end!r} where others have {whole!r}, and no line end. Ask for it again")


def _read_workbook(opened: Opened, feed: Feed) -> Cells:
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(opened.payload), read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever its parts raise on a damaged file
        raise BadFile(f"The workbook {opened.name} cannot be opened ({error}); ask the sender for it again") from error
    try:
        sheet, notes = _sheet(book, feed)
        decimal = str(feed.options.get("decimal", "."))
        lines = sheet.iter_rows(values_only=True)
        above = int(feed.options.get("skip_rows", 0))
        header: list[str] = []
        for line in lines:
            if above > 0:
                above -= 1
            elif any(value not in (None, "") for value in line):
                header = [_cell(value, decimal).strip() for value in line]
                break
        while header and not header[-1]:
            header.pop()
        if not header:
            raise BadFile(f"Sheet {sheet.title!r} is empty; ask the sender for it again")
        cells = Cells(header, is_workbook=True, notes=notes)
        width = len(header)
        for number, line in enumerate(lines, 1 - int(feed.options.get("skip_after_header", 0))):
            if number < 1:
                continue
            row = [_cell(value, decimal) for value in line]
            if not any(row):
                continue
            row += [""] * (width - len(row))
            if any(row[width:]):
                cells.misfits.append((number, row))
            else:
                cells.numbers.append(number)
                cells.rows.append(row[:width])
    except BadFile:
        raise
    except Exception as error:
        raise BadFile(f"The workbook {opened.name} is damaged ({error}); ask the sender for it again") from error
    finally:
        book.close()
    return cells


def _sheet(book: object, feed: Feed) -> tuple[object, list[str]]:
    """The sheet that the feed declares, else the only one whose heading fits, else the first."""
    names, wanted = book.sheetnames, feed.options.get("sheet")
    if wanted in names:
        chosen = wanted
    else:
        fitting = [name for name in names if _covers(_first_line(book[name]), feed)]
        if wanted and not fitting:
            raise BadFile(f"The workbook has no sheet {wanted!r}; it has {names}. Ask for it, or declare `sheet:`")
        chosen = fitting[0] if fitting else names[0]
    others = [name for name in names if name != chosen]
    notes = [f"sheet {chosen!r} taken, left out: {others}"] if others else []
    return book[chosen], notes


def _first_line(sheet: object) -> list[str]:
    for line in sheet.iter_rows(values_only=True):
        return [str(value).strip() for value in line if value is not None]
    return []


def _cell(value: object, decimal: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        text = repr(value)  # the shortest text that gives the same float
        return text if decimal == "." else text.replace(".", decimal)
    if isinstance(value, datetime):
        return value.strftime(ISO_DATE if value.time() == time() else ISO_TIMESTAMP)
    if isinstance(value, date):
        return value.strftime(ISO_DATE)
    return str(value)


def same_name(name: str) -> str:
    """A heading as it is compared: case, blanks and underscores do not matter."""
    return re.sub(r"[\s_]+", "_", name.strip()).casefold()


def _names(column: FeedColumn) -> set[str]:
    return {same_name(name) for name in (column.header, *column.aliases)}


def _covers(header: list[str], feed: Feed) -> bool:
    """Whether the heading has every column that `feed` needs."""
    present = {same_name(name) for name in header}
    return all(_names(c) & present for c in feed.columns if not (c.from_name or c.optional))


def kin(opened: Opened, feeds: Iterable[Feed]) -> Feed | None:
    """The feed whose heading the file has, whatever its name."""
    for feed in feeds:
        try:
            if _covers(read_cells(opened, feed).header, feed):
                return feed
        except LandingError:
            continue
    return None


def match_header(header: list[str], feed: Feed, others: tuple[Feed, ...] = ()) -> tuple[dict[str, int], list[int]]:
    """Where each declared column stands in the file, and the places of columns that are not declared.

    Raises `BadFile` for a missing or doubled column; the reason names the feed that the file rather belongs to.
    """
    normal = [same_name(name) for name in header]
    doubled = sorted({h for h, n in zip(header, normal, strict=True) if h and normal.count(n) > 1})
    if doubled:
        raise BadFile(f"The heading names {doubled} more than once; which one counts is unknown. Ask for it again")
    places = {c.name: normal.index(n) for c in feed.columns if not c.from_name for n in _names(c) if n in normal}
    missing = [c.header for c in feed.columns if not (c.from_name or c.optional or c.name in places)]
    extra = [i for i in range(len(header)) if i not in places.values()]
    if missing:
        raise BadFile(_why_not(feed, header, missing, [header[i] for i in extra], others))
    return places, extra


def _why_not(feed: Feed, header: list[str], missing: list[str], extra: list[str], others: tuple[Feed, ...]) -> str:
    kin = [other for other in others if other.full_name != feed.full_name and _covers(header, other)]
    if kin:
        return f"This is a file of {kin[0].full_name}, not of {feed.full_name}; move it to inbox/{kin[0].identifier}/"
    declared = sum(not c.from_name for c in feed.columns)
    if len(missing) * 2 > declared:
        return (
            f"This is no file of {feed.full_name}: its heading has {declared - len(missing)} of the "
            f"{declared} declared columns. Missing: {_short(missing)}. It has instead: {_short(extra)}"
        )
    renamed = []
    for name in missing:
        if close := difflib.get_close_matches(same_name(name), [same_name(e) for e in extra], n=1, cutoff=0.6):
            renamed.append(f"{name} -> {next(e for e in extra if same_name(e) == close[0])}")
    hint = (
        f" Perhaps renamed: {'; '.join(renamed)}. If so, declare both: `header: [old, new]`, and release it."
        if renamed
        else ""
    )
    more = f" Not declared: {_short(extra)}." if extra else ""
    return f"The heading lacks {_short(missing)}.{more}{hint}"


def _short(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
