"""The drive bearings of the plant's stations: when each was fitted, begins to wear, fails or is replaced in time.

A pure function of seed, station and calendar. A worn one shows in temperature, vibration and load from its onset on
(`demo.plant_signals`), stops the station when it fails, and the new one has a level of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np

from demo import plant_calendar
from demo.plant_calendar import ONE_DAY

FIRST_FITTED = date(2025, 1, 1)  # the first bearing of every station, from which the others follow
CODE = "T60"  # what the controller raises when a bearing fails
PREVENTIVE = "P20"
LEAST_REPAIR_S, MOST_REPAIR_S = 7200, 12_600
End = Literal["failed", "replaced_worn", "replaced_sound"]
ENDS: tuple[tuple[End, float], ...] = (("failed", 0.7), ("replaced_worn", 0.15), ("replaced_sound", 0.15))


@dataclass(frozen=True)
class Bearing:
    """One bearing from its fitting to its replacement. It stands still from `stopped_at` to `replaced_at`.

    `onset_at` is None where it was replaced before it began to wear; only one that `failed` stopped by itself.
    `fails_at` is when it would have failed: `stopped_at`, or later where it was replaced in time.
    """

    station: str
    number: int
    fitted_at: datetime
    onset_at: datetime | None
    fails_at: datetime | None
    stopped_at: datetime
    replaced_at: datetime
    end: End
    level: tuple[float, float, float]  # of its own in degC, mm/s and percent, when it is sound

    @property
    def work_order_id(self) -> str:
        return f"WO-{self.station}-B{self.number}"

    @property
    def work_kind(self) -> str:
        """Of the work order; what did not fail was planned."""
        return "corrective" if self.end == "failed" else "preventive"


def bearings(station: str, seed: int, until: datetime) -> Iterator[Bearing]:
    """The bearings of a station in order of time, at least to the one that is in it at `until`."""
    yield from _drawn(station, seed, until.year + 1, plant_calendar.calendar())


@lru_cache(maxsize=256)
def _drawn(station: str, seed: int, until_year: int, _calendar) -> tuple[Bearing, ...]:
    """Further years only add to what was drawn."""
    random = np.random.default_rng([seed, 500, *station.encode()])
    found: list[Bearing] = []
    fitted_at = plant_calendar.starts_at(FIRST_FITTED)
    while fitted_at.year <= until_year:
        end = str(random.choice([name for name, _ in ENDS], p=[share for _, share in ENDS]))
        sound, lead = (timedelta(days=float(random.uniform(*days))) for days in ((10, 40), (3, 10)))
        early = float(random.uniform(0.5, 0.9))  # of the time to the failure, where it is replaced in time
        level = tuple(float(random.uniform(*bounds)) for bounds in ((-3, 3), (0.9, 1.9), (-4, 4)))
        place, repair_s = float(random.uniform(0.05, 0.95)), int(random.integers(LEAST_REPAIR_S, MOST_REPAIR_S))
        onset_at = fitted_at + timedelta(seconds=int(sound.total_seconds()))
        ends_at = onset_at + lead * {"failed": 1.0, "replaced_worn": early, "replaced_sound": 0.0}[end]
        stopped_at, replaced_at = _while_working(ends_at, place, repair_s)
        is_sound = end == "replaced_sound"
        fails_at = stopped_at if end == "failed" else onset_at + timedelta(seconds=int(lead.total_seconds()))
        found.append(
            Bearing(
                station,
                len(found) + 1,
                fitted_at,
                None if is_sound else onset_at,
                None if is_sound else max(fails_at, stopped_at),
                stopped_at,
                replaced_at,
                end,
                level,
            )
        )
        fitted_at = replaced_at
    return tuple(found)


def _while_working(at: datetime, place: float, repair_s: int) -> tuple[datetime, datetime]:
    """A stop on the first plant day from `at` on that is long enough for it; it does not cross the day's edge."""
    day = plant_calendar.plant_day(at) + ONE_DAY
    for _ in range(400):
        long = [span for span in plant_calendar.worked(day) if span[1] - span[0] > repair_s + 3600]
        if long:
            start, end = long[-1]
            begun = plant_calendar.starts_at(day) + timedelta(seconds=start + int(place * (end - start - repair_s)))
            return begun, begun + timedelta(seconds=repair_s)
        day += ONE_DAY
    begun = plant_calendar.starts_at(day)  # nobody works any more
    return begun, begun + timedelta(seconds=repair_s)
