"""The clock of the simulated plant: its zone, shifts, breaks and holidays, as the pack's seeds declare them.

The plant follows the seeds as they are. What is to hold from a date on is a row of its own with its `valid_from`: a row
that is changed in place tells another past too.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from include import catalog
from include.contract_day import ContractDay
from include.periods import Period

SITE = "riverside"
PACK = "factorypack"
SEEDS = ("calendars", "shifts", "breaks", "holidays")
ONE_DAY = timedelta(days=1)

Span = tuple[int, int]  # seconds since the plant day began, the end is outside


def calendar() -> catalog.Calendar:
    """The site's calendar as its seeds are now, or were in the second that runs."""
    return _in_second(catalog.DBT, int(time.monotonic()))  # asked for every value: files are looked at once a second


@lru_cache(maxsize=4)
def _in_second(project: Path, _second: int) -> catalog.Calendar:
    found = [(project / "seeds" / PACK / f"{PACK}_{seed}.csv").stat() for seed in SEEDS]
    return _calendar(tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found))


@lru_cache(maxsize=4)
def _calendar(_fingerprint: tuple) -> catalog.Calendar:
    return next(one for one in catalog.calendars(PACK) if one.name == SITE)


def _day() -> ContractDay:
    site = calendar()
    return ContractDay(site.zone, site.contract_hour)


def plant_day(instant: datetime) -> date:
    """The plant day that runs at an instant: it begins at the calendar's contract hour, whatever the shifts."""
    return _day().at(instant)


def starts_at(day: date) -> datetime:
    """The UTC instant at which a plant day begins; it ends where the next one begins."""
    return _day().starts_at(day)


def at_clock(day: date, hour: float) -> datetime:
    """The instant, in UTC, of an hour by the site's clock; 26 is 02:00 on the next date."""
    on = day + timedelta(days=int(hour // 24))
    return datetime(on.year, on.month, on.day, int(hour % 24), tzinfo=ZoneInfo(calendar().zone)).astimezone(UTC)


def shifts(day: date) -> Sequence[Period]:
    """The shifts of a date in order of time; a holiday has none."""
    return calendar().periods.on(day)


def worked(day: date) -> list[Span]:
    """When anyone works on a plant day: the parts of shifts that lie in it, joined where they meet."""
    found: list[Span] = []
    for start, end in sorted(_within(day, (part for period in _near(day) for part in period.parts))):
        if found and found[-1][1] >= start:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def breaks(day: date) -> list[Span]:
    """The breaks that lie in a plant day."""
    return sorted(_within(day, ((start, end) for period in _near(day) for start, end, _ in period.breaks)))


def slices(period: Period) -> Iterator[tuple[date, int, int]]:
    """The parts of a shift: plant day, first and last second (outside). One that crosses a day's edge is cut there."""
    for start, end in period.parts:
        day = plant_day(start)
        while (begun := starts_at(day)) < end:
            until = min(end, starts_at(day + ONE_DAY))
            yield day, _seconds(max(start, begun) - begun), _seconds(until - begun)
            day += ONE_DAY


def _near(day: date) -> Iterator[Period]:
    for n in (-1, 0, 1):
        yield from shifts(day + n * ONE_DAY)


def _within(day: date, spans) -> Iterator[Span]:
    begun, ended = starts_at(day), starts_at(day + ONE_DAY)
    for start, end in spans:
        start, end = max(start, begun), min(end, ended)
        if start < end:
            yield _seconds(start - begun), _seconds(end - begun)


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())
