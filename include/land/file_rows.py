"""From the text of a file to the rows that raw takes, and the rows that go to quarantine with their reasons.

A row goes to quarantine where a cell cannot be read, where it has no key, or where its key comes twice with
different values. The file as a whole goes where its rows cannot be trusted: of another feed, of another day than
its name says, with day and month the other way round. A strange value is no reason at all: gates judge it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from include.catalog import LOCAL_TYPES, Feed, FeedColumn
from include.land.file_hours import read_hour_range, read_local, said_instants, to_instants
from include.land.file_open import BadFile
from include.land.file_read import ISO_DATE, ISO_TIMESTAMP, Cells, match_header, same_name
from include.land.file_types import Reasons, Style, arrow_type, read_date, read_plain, read_timestamp, swapped, trimmed

DATED = ("date", *LOCAL_TYPES)
FUTURE_SLACK = timedelta(days=1)  # the sender's zone may be ahead of ours
DEFAULT_FORMATS = {
    "date": (ISO_DATE,),
    "hour_range": (ISO_DATE,),
    "timestamp": (ISO_TIMESTAMP, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S.%f"),
}


@dataclass(frozen=True)
class Rejected:
    """One row that does not land."""

    number: int  # the data row in the file
    reason: str
    fields: Mapping[str, str] | list[str]  # by heading, or the bare fields where their number does not fit


@dataclass
class Parsed:
    """What a file holds: `rows` typed as declared, `_seq` being the data row's number."""

    rows: pa.Table
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Rows:
    """The work on one file; `parse` is its door."""

    def __init__(
        self, cells: Cells, feed: Feed, from_name: Mapping[str, str], arrived: datetime, others: tuple[Feed, ...]
    ) -> None:
        self.cells, self.feed, self.from_name = cells, feed, from_name
        self.latest = (arrived + FUTURE_SLACK).date()
        self.zone = ZoneInfo(feed.zone)
        self.style = Style.of(feed.options)
        self.notes = list(cells.notes)
        self.places, self.extra = match_header(cells.header, feed, others)
        self.reasons: dict[int, list[str]] = defaultdict(list)
        self.columns: dict[str, pa.Array] = {}
        by_column = zip(*cells.rows, strict=True) if cells.rows else ((),) * len(cells.header)
        self.texts = [pa.array(column, pa.string()) for column in by_column]
        self.count = len(cells.rows)

    def parse(self) -> Parsed:
        for column in self.feed.columns:
            if not column.from_name:
                self.read(column)
        for column in self.feed.columns:
            if column.from_name:
                self.read_name(column)
        for column in self.feed.columns:
            if column.type in LOCAL_TYPES:
                self.add_instants(column)
        self.add_extra()
        self.check_required()
        rejected = [
            Rejected(n, f"has {len(row)} fields, the heading {len(self.cells.header)}", row)
            for n, row in self.cells.misfits
        ] + [self.rejected(place, "; ".join(why)) for place, why in sorted(self.reasons.items())]
        if len(self.reasons) == self.count:
            common = Counter(r.reason for r in rejected).most_common(1)[0][0] if rejected else "no rows"
            raise BadFile(
                f"None of the {len(rejected)} rows can be read."
                f" First: row {rejected[0].number}: {rejected[0].reason}. Most often: {common}"
            )
        rows = pa.table({**self.columns, "_seq": pa.array(self.cells.numbers, pa.int64())})
        if self.reasons:
            good = pa.array([place not in self.reasons for place in range(self.count)])
            rows = rows.filter(good)
        rows, doubled = self.without_doubles(rows)
        return Parsed(rows, sorted(rejected + doubled, key=lambda r: r.number), self.notes)

    def rejected(self, place: int, reason: str) -> Rejected:
        return Rejected(
            self.cells.numbers[place], reason, dict(zip(self.cells.header, self.cells.rows[place], strict=True))
        )

    def formats(self, column: FeedColumn) -> tuple[str, ...]:
        declared = column.options.get("date_format", self.feed.options.get("date_format"))
        if declared is None:
            formats = DEFAULT_FORMATS[column.type]
        else:
            formats = (declared,) if isinstance(declared, str) else tuple(declared)
        return (*formats, ISO_DATE, ISO_TIMESTAMP) if self.cells.is_workbook else formats

    def read(self, column: FeedColumn) -> None:
        if column.name not in self.places:
            self.columns[column.name] = pa.nulls(self.count, arrow_type(column.type))
            self.notes.append(f"column {column.header} is not in the file")
            return
        texts = self.texts[self.places[column.name]]
        if column.type in LOCAL_TYPES:
            values, reasons = read_local(trimmed(texts, self.style), column.type, self.formats(column), self.zone)
        else:
            formats = self.formats(column) if column.type == "date" else ()
            values, reasons = read_plain(texts, column.type, self.style, formats)
        if column.type in DATED:
            self.check_order(column, texts, reasons)
            self.check_future(column, texts, values, reasons)
        for place, why in reasons.items():
            self.reasons[place].append(f"{column.header}: {why}")
        self.columns[column.name] = values

    def other_way_round(self, column: FeedColumn, text: str) -> date | None:
        """The date that the text means with day and month exchanged, where that is a date of the past."""
        form = swapped(self.formats(column)[0])
        if form is None:
            return None
        reader: Callable[[], date] = {
            "date": lambda: read_date(text, (form,)),
            "timestamp": lambda: read_timestamp(text, (form,)).date(),
            "hour_range": lambda: read_hour_range(text, (form,), self.zone).date(),
        }[column.type]
        try:
            found = reader()
        except ValueError:
            return None
        return found if found <= self.latest else None

    def check_order(self, column: FeedColumn, texts: pa.Array, reasons: Reasons) -> None:
        for place in reasons:
            if self.other_way_round(column, texts[place].as_py().strip()):
                self.refuse_order(column, place, texts[place].as_py())

    def refuse_order(self, column: FeedColumn, place: int, text: str) -> None:
        form = self.formats(column)[0]
        raise BadFile(
            f"Day and month stand the other way round: {column.header} {text!r} "
            f"in row {self.cells.numbers[place]} fits {swapped(form)}, the feed declares {form}. Other rows could be "
            "taken for a wrong day, so none landed. Ask for it again, or correct `date_format:`"
        )

    def check_future(self, column: FeedColumn, texts: pa.Array, values: pa.Array, reasons: Reasons) -> None:
        late = pc.fill_null(pc.greater(values.cast(pa.date32()), pa.scalar(self.latest)), False)
        if not pc.any(late).as_py():
            return
        for place in pc.indices_nonzero(late).to_pylist():
            text = texts[place].as_py().strip()
            if self.other_way_round(column, text):
                self.refuse_order(column, place, text)
            reasons[place] = f"{text!r} lies in the future of the file's arrival ({self.latest - FUTURE_SLACK})"

    def read_name(self, column: FeedColumn) -> None:
        """A column that the file's name carries: the same value in every row."""
        text = self.from_name[column.name]
        formats = self.formats(column) if column.type == "date" else ()
        values, reasons = read_plain(pa.array([text]), column.type, self.style, formats)
        if reasons:
            raise BadFile(f"The file's name carries a {column.name} that cannot be read: {reasons[0]}")
        self.columns[column.name] = (
            pa.concat_arrays([values] * self.count)
            if self.count < 100
            else pa.array([values[0].as_py()] * self.count, values.type)
        )
        if of := column.options.get("day_of"):
            self.check_day(column, values[0].as_py(), next(c for c in self.feed.columns if c.name == of))

    def check_day(self, column: FeedColumn, day: date, of: FeedColumn) -> None:
        """The rows must be of the day that the file's name says, or run into the next one (contract days do)."""
        allowed = (day, day + timedelta(days=1))
        days = self.columns[of.name].cast(pa.date32())
        wrong = pc.indices_nonzero(
            pc.fill_null(pc.invert(pc.is_in(days, pa.array(allowed, pa.date32()))), False)
        ).to_pylist()
        texts = self.texts[self.places[of.name]]
        wrong = [place for place in wrong if days[place].is_valid]
        for place in wrong:
            if self.other_way_round(of, texts[place].as_py().strip()) in allowed:
                self.refuse_order(of, place, texts[place].as_py())
        if len(wrong) + days.null_count == self.count and wrong:
            raise BadFile(
                f"The rows are of {days[wrong[0]]}, the file's name says {day} ({column.name}). "
                "Which is right is unknown: ask the sender"
            )
        for place in wrong:
            self.reasons[place].append(f"{of.header}: {days[place]} is not the day of the file's name ({day})")

    def add_instants(self, column: FeedColumn) -> None:
        """The UTC instant of a local time. Rows that share the rest of the key are a series in which time goes on.

        The start of an interval is no such rest for its end: each passes a repeated hour by itself.
        """
        local_too = {f"{c.name}_utc" for c in self.feed.columns if c.type in LOCAL_TYPES}
        rest = [k for k in self.feed.key if k in self.columns and k != column.name and k not in local_too]
        others = [self.columns[k].to_pylist() for k in rest]
        series = (
            [" ".join(str(part) for part in parts) for parts in zip(*others, strict=True)]
            if others
            else [""] * self.count
        )
        local = self.columns[column.name]
        instants, reasons, notes = to_instants(local, series, self.zone)
        for place, why in reasons.items():
            self.reasons[place].append(f"{column.header}: {why}")
        if column.type == "timestamp" and column.name in self.places:  # what says its offset is not guessed
            said = said_instants(trimmed(self.texts[self.places[column.name]], self.style))
            instants = pc.coalesce(said, instants)
        self.columns[f"{column.name}_utc"] = instants
        self.notes += notes

    def add_extra(self) -> None:
        """Columns that nobody declared, by the feed's drift policy: evolve, freeze or quarantine."""
        for place in self.extra:
            header = self.cells.header[place]
            name = "".join(c if c.isascii() and c.isalnum() else "_" for c in same_name(header)).strip("_")
            policy = self.feed.drift_of(name)
            if policy == "quarantine":
                raise BadFile(
                    f"The file has a column {header!r} that is not declared, and drift is `quarantine`. "
                    "Declare it, then release the file"
                )
            if policy == "freeze" or not name or name in self.columns:
                self.notes.append(f"column {header!r} is not declared and was left out")
                continue
            name = f"c_{name}" if name[0].isdigit() else name
            self.columns[name] = trimmed(self.texts[place], self.style)
            self.notes.append(f"column {header!r} is not declared and was kept as text in {name}")

    def check_required(self) -> None:
        needed = {c.name: c.header for c in self.feed.columns if c.required}
        for name in self.feed.key:
            base = name.removesuffix("_utc")
            column = next(c for c in self.feed.columns if c.name in (name, base))
            if not column.optional:  # an empty one is a value of its own
                needed[name] = column.header
        for name, header in needed.items():
            if self.columns[name].null_count:
                for place in pc.indices_nonzero(pc.is_null(self.columns[name])).to_pylist():
                    if place not in self.reasons:
                        kind = "key column" if name in self.feed.key else "required column"
                        self.reasons[place].append(f"{kind} {header} is empty")

    def without_doubles(self, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        """One row where a key comes again with equal values; none, but quarantine, where the values differ."""
        keys = list(self.feed.key)
        by_key: dict[tuple, list[int]] = defaultdict(list)
        for i, key in enumerate(zip(*(rows[k].to_pylist() for k in keys), strict=True)):
            by_key[key].append(i)
        if len(by_key) == rows.num_rows:
            return rows, []
        place_of = {number: place for place, number in enumerate(self.cells.numbers)}
        values, numbers = rows.drop_columns(["_seq"]), rows["_seq"].to_pylist()
        drop: set[int] = set()
        rejected: list[Rejected] = []
        repeats = 0
        for key, places in by_key.items():
            if len(places) == 1:
                continue
            distinct = {tuple(values.slice(i, 1).to_pylist()[0].values()) for i in places}
            if len(distinct) == 1:
                drop.update(places[1:])
                repeats += len(places) - 1
                continue
            drop.update(places)
            found = ", ".join(str(numbers[i]) for i in places)
            shown = ", ".join(f"{k} {v}" for k, v in zip(keys, key, strict=True))
            reason = (
                f"{shown} comes {len(places)} times with different values (rows {found}); which is right is unknown"
            )
            rejected += [self.rejected(place_of[numbers[i]], reason) for i in places]
        if repeats:
            self.notes.append(f"{repeats} repeated rows with equal values were dropped")
        return rows.filter(pa.array([i not in drop for i in range(rows.num_rows)])), rejected


def parse(
    cells: Cells, feed: Feed, from_name: Mapping[str, str], arrived: datetime, others: tuple[Feed, ...] = ()
) -> Parsed:
    """The rows of a file, typed as `feed` declares. Raises `BadFile` where it cannot be trusted as a whole."""
    return Rows(cells, feed, from_name, arrived, others).parse()
