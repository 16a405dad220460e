"""What one close closes: a contract day, or a shift where the calendar has a shift pattern.

Both are asked the same: which periods a date has, which one ended last, which comes next. Pure arithmetic over the zone
database; timetable, operators and command line all ask here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from include.contract_day import ONE_DAY, ContractDay
from include.errors import DeclarationError

LONGEST_PAUSE_DAYS = 400  # a pattern without any shift for so long has ended
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Span = tuple[datetime, datetime]  # UTC, the end is outside


@dataclass(frozen=True)
class Period:
    """A contract day or a shift. `name` is the first half of its close key and sorts in order of time."""

    name: str  # "2026-01-31", or "2026-01-31.3" for the third shift of that date
    production_date: date
    parts: tuple[Span, ...]  # one, or more where the shift is split
    label: str = ""  # what people call the shift
    breaks: tuple[tuple[datetime, datetime, str], ...] = ()

    @property
    def starts_at(self) -> datetime:
        return self.parts[0][0]

    @property
    def ends_at(self) -> datetime:
        return self.parts[-1][1]

    @property
    def shift(self) -> int | None:
        """The shift's number on its date; None for a contract day."""
        number = self.name.partition(".")[2]
        return int(number) if number else None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.label,
            "parts": [[start.isoformat(), end.isoformat()] for start, end in self.parts],
            "breaks": [[start.isoformat(), end.isoformat(), name] for start, end, name in self.breaks],
        }

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> "Period":
        at = datetime.fromisoformat
        return cls(
            name=said["name"],
            production_date=date_of(said["name"]),
            parts=tuple((at(start), at(end)) for start, end in said["parts"]),
            label=said["label"],
            breaks=tuple((at(start), at(end), name) for start, end, name in said["breaks"]),
        )


def date_of(name: str) -> date:
    """The production date of a period's name. Raises `ValueError` where it is none."""
    return date.fromisoformat(name.partition(".")[0])


class Periods(Protocol):
    """The rule of one calendar."""

    def on(self, production_date: date) -> Sequence[Period]:
        """The periods of a date, in order of time."""

    def last_ended(self, instant: datetime) -> Period | None:
        """The latest period that is over at `instant`."""

    def at(self, instant: datetime) -> Period | None:
        """The period that runs at `instant`: in a pause none does."""

    def after(self, instant: datetime) -> Period | None:
        """The first period that starts at `instant` or later."""


@dataclass(frozen=True)
class Days:
    """Contract days: one follows the other without a pause."""

    day: ContractDay

    def on(self, production_date: date) -> Sequence[Period]:
        return [self._period(production_date)]

    def last_ended(self, instant: datetime) -> Period:
        return self._period(self.day.last_ended(instant))

    def at(self, instant: datetime) -> Period:
        return self._period(self.day.at(instant))

    def after(self, instant: datetime) -> Period:
        running = self._period(self.day.at(instant))
        return running if running.starts_at == instant else self._period(running.production_date + ONE_DAY)

    def _period(self, day: date) -> Period:
        return Period(day.isoformat(), day, ((self.day.starts_at(day), self.day.ends_at(day)),))


@dataclass(frozen=True)
class LocalSpan:
    """A line of a shift pattern: a shift or a part of it, or a break in it, by the clock of the site.

    `ends` at or before `starts` is on the next day. It holds on the weekdays given (0 is Monday), from `valid_from` to
    `valid_to`, both included, by the production date.
    """

    valid_from: date
    valid_to: date | None
    weekdays: frozenset[int]
    shift: int
    name: str
    starts: time
    ends: time

    def holds_on(self, day: date) -> bool:
        return self.valid_from <= day <= (self.valid_to or date.max) and day.weekday() in self.weekdays

    def as_json(self) -> list[Any]:
        until = self.valid_to and self.valid_to.isoformat()
        clock = [self.starts.isoformat("minutes"), self.ends.isoformat("minutes")]
        return [self.valid_from.isoformat(), until, sorted(self.weekdays), self.shift, self.name, *clock]

    @classmethod
    def of_json(cls, said: list[Any]) -> "LocalSpan":
        since, until, weekdays, shift, name, starts, ends = said
        return cls(
            date.fromisoformat(since),
            date.fromisoformat(until) if until else None,
            frozenset(weekdays),
            shift,
            name,
            time.fromisoformat(starts),
            time.fromisoformat(ends),
        )


@dataclass(frozen=True)
class Shifts:
    """A site's shift pattern. A shift belongs to the local date on which it starts; a holiday has none."""

    zone: str
    spans: tuple[LocalSpan, ...]
    breaks: tuple[LocalSpan, ...] = ()
    holidays: frozenset[date] = frozenset()

    @cached_property
    def _bounds(self) -> tuple[date, date]:
        """The first and the last date on which any line holds."""
        first = min((span.valid_from for span in self.spans), default=date.max)
        last = max((span.valid_to or date.max for span in self.spans), default=date.min)
        return first, last

    def on(self, production_date: date) -> Sequence[Period]:
        if production_date in self.holidays:
            return []
        parts: dict[int, list[tuple[Span, str]]] = {}
        for span in self.spans:
            if span.holds_on(production_date):
                parts.setdefault(span.shift, []).append((self._instants(production_date, span), span.name))
        found = []
        for shift, several in parts.items():
            several.sort()
            instants = tuple(span for span, _ in several)
            found.append(
                Period(
                    name=f"{production_date.isoformat()}.{shift}",
                    production_date=production_date,
                    parts=instants,
                    label=several[0][1],
                    breaks=self._breaks(production_date, shift, instants),
                )
            )
        return sorted(found, key=lambda period: period.starts_at)

    def last_ended(self, instant: datetime) -> Period | None:
        return next((p for p in self._back_from(instant) if p.ends_at <= instant), None)

    def at(self, instant: datetime) -> Period | None:
        return next((p for p in self._back_from(instant) if p.starts_at <= instant < p.ends_at), None)

    def after(self, instant: datetime) -> Period | None:
        first, last = self._bounds
        day = max(self._local_date(instant) - ONE_DAY, first)
        for _ in range(LONGEST_PAUSE_DAYS):
            if day > last:
                return None
            for period in self.on(day):
                if period.starts_at >= instant:
                    return period
            day += ONE_DAY
        return None

    def check(self) -> None:
        """Raise `DeclarationError` where shifts overlap, are out of order, or a break lies outside of its shift."""
        for since in {span.valid_from for span in (*self.spans, *self.breaks)}:
            periods = [p for n in range(8) for p in self.on(since + n * ONE_DAY)]
            edges = sorted((part, p.name) for p in periods for part in p.parts)
            for (earlier, one), (later, other) in zip(edges, edges[1:], strict=False):
                if later[0] < earlier[1]:
                    raise DeclarationError(f"shifts {one} and {other} overlap at {later[0]:%Y-%m-%d %H:%MZ}")
            for earlier, later in zip(periods, periods[1:], strict=False):
                if later.name < earlier.name:
                    raise DeclarationError(f"shift {later.name} starts before {earlier.name}: number them in order")
            for day in (since + n * ONE_DAY for n in range(8)):
                kept = {(p.shift, name) for p in self.on(day) for *_, name in p.breaks}
                for line in self.breaks if day not in self.holidays else ():
                    if line.holds_on(day) and (line.shift, line.name) not in kept:
                        raise DeclarationError(f"the break {line.name!r} lies outside of shift {day}.{line.shift}")

    def _back_from(self, instant: datetime) -> Iterator[Period]:
        """Periods, latest first, from the day after the instant's local one back through a long pause."""
        first, last = self._bounds
        day = min(self._local_date(instant) + ONE_DAY, last)
        for _ in range(LONGEST_PAUSE_DAYS):
            if day < first:
                return
            yield from reversed(self.on(day))
            day -= ONE_DAY

    def _breaks(self, day: date, shift: int, parts: Sequence[Span]) -> tuple[tuple[datetime, datetime, str], ...]:
        found = []
        for line in self.breaks:
            if line.shift != shift or not line.holds_on(day):
                continue
            for later in (0, 1):  # after midnight in a night shift
                starts, ends = self._instants(day + later * ONE_DAY, line)
                if any(start <= starts and ends <= end for start, end in parts):
                    found.append((starts, ends, line.name))
                    break
        return tuple(sorted(found))

    def _instants(self, day: date, span: LocalSpan) -> Span:
        until = day if span.ends > span.starts else day + ONE_DAY
        return self._instant(day, span.starts), self._instant(until, span.ends)

    def _instant(self, day: date, at: time) -> datetime:
        """Of a time that comes twice the first; one that the clocks skip is told by the clock before the change."""
        return datetime.combine(day, at, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def _local_date(self, instant: datetime) -> date:
        return instant.astimezone(ZoneInfo(self.zone)).date()

    def as_json(self) -> dict[str, Any]:
        """What a timetable keeps of it: the breaks move no edge."""
        return {
            "zone": self.zone,
            "spans": [span.as_json() for span in self.spans],
            "holidays": sorted(day.isoformat() for day in self.holidays),
        }

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> "Shifts":
        holidays = frozenset(date.fromisoformat(day) for day in said["holidays"])
        return cls(said["zone"], tuple(LocalSpan.of_json(span) for span in said["spans"]), (), holidays)


def weekdays(text: str) -> frozenset[int]:
    """`Mon-Fri`, `Sat Sun` or `Fri-Mon` as numbers, 0 for Monday. Raises `ValueError`."""
    found: set[int] = set()
    for word in text.split():
        first, dash, last = word.partition("-")
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
        found |= {(start + n) % 7 for n in range((end - start) % 7 + 1)}
    if not found:
        raise ValueError("no weekday")
    return frozenset(found)


def between(rule: Periods, first: str, last: str) -> list[Period]:
    """The periods from `first` to `last`: names of periods, or dates that stand for all periods of theirs.

    Raises `ValueError` where a name is no date, and `DeclarationError` where the calendar has no such period.
    """
    start, end = date_of(first), date_of(last)
    days = [start + n * ONE_DAY for n in range((end - start).days + 1)]
    found = [p for day in days for p in rule.on(day)]
    for name in dict.fromkeys((first, last)):
        if "." in name and name not in {p.name for p in found}:
            there = ", ".join(p.name for p in rule.on(date_of(name))) or "none"
            raise DeclarationError(
                f"The calendar has no shift {name}; of {date_of(name)} it has {there}{_why_none(rule, date_of(name))}"
            )
    lowest = first if "." in first else ""
    highest = last if "." in last else f"{last}~"
    found = [p for p in found if lowest <= p.name <= highest]
    if not found and days:
        why = _why_none(rule, start) or _why_none(rule, end) or ": free days or holidays"
        raise DeclarationError(f"The calendar has no shift from {first} to {last}{why}")
    return found


def _why_none(rule: Periods, day: date) -> str:
    """What to say of a date on which no line of a shift pattern holds; nothing where one does."""
    if not isinstance(rule, Shifts):
        return ""
    first, last = rule._bounds
    if day < first:
        return f". Its pattern begins on {first}: for earlier shifts set an earlier valid_from in the shifts seed"
    if day > last:
        return f". Its pattern ends on {last}: for later shifts move valid_to in the shifts seed, or add a line"
    return ""


def names(periods: Iterable[Period]) -> list[str]:
    return [period.name for period in periods]
