"""What was true of the plant: how long each station was in which category by shift, what it made, and its OEE.

Reckoned from the seconds of `demo.plant_line` alone, so that it can stand against what the marts say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa

from demo import plant_line
from demo.plant_line import SEED, STATIONS, Kind, Line, at_clock

SHIFTS = ((1, "Early", 6, 14), (2, "Late", 14, 22), (3, "Night", 22, 30))  # hours by the site's clock
CATEGORIES = {
    Kind.PRODUCE: "production",
    Kind.WAIT: "down",
    Kind.SHORT_STOP: "delay",
    Kind.FAULT: "delay",
    Kind.SETUP: "setup",
    Kind.NO_ORDER: "down",
    Kind.UNAVAILABLE: "no_data",
    Kind.MAINTENANCE: "planned",
    Kind.BREAK: "planned",
}
NAMES = ("production", "setup", "delay", "down", "no_data", "planned")
_CATEGORY_OF = np.array([NAMES.index(CATEGORIES[kind]) for kind in Kind], dtype=np.int8)
DELAY = NAMES.index("delay")


@dataclass(frozen=True)
class Stop:
    """An unbroken stretch of delay at a station, of whatever causes; the code is that of its longest one."""

    station: str
    started_at: datetime
    ended_at: datetime
    code: str

    @property
    def seconds(self) -> int:
        return int((self.ended_at - self.started_at).total_seconds())


def shift_bounds(day: date) -> list[tuple[int, datetime, datetime]]:
    """Number, start and end of the shifts of a plant day, in UTC."""
    return [(number, at_clock(day, start), at_clock(day, end)) for number, _, start, end in SHIFTS]


def stops(station: str, first: date, last: date, seed: int = SEED) -> Iterator[Stop]:
    """The stops of the plant days from `first` to `last`; none crosses the edge of a day, which begins with set-up."""
    for n in range((last - first).days + 1):
        found = plant_line.station_day(station, first + timedelta(days=n), seed)
        is_delay = _CATEGORY_OF[found.kind] == DELAY
        for start, end in np.flatnonzero(np.diff(np.concatenate([[0], is_delay, [0]]))).reshape(-1, 2):
            yield Stop(
                station,
                found.starts_at + timedelta(seconds=int(start)),
                found.starts_at + timedelta(seconds=int(end)),
                found.codes[int(np.bincount(found.code[start:end]).argmax())],
            )


def by_shift(first: date, last: date, seed: int = SEED, as_of: datetime | None = None) -> pa.Table:
    """One row per shift that has ended and station: seconds by category, units, micro-stops and OEE.

    A micro-stop counts in the shift in which it begins.
    """
    rows = []
    for station, line in STATIONS.items():
        short: dict[datetime, None] = {
            stop.started_at: None for stop in stops(station, first, last, seed) if stop.seconds < line.micro_stop_s
        }
        for n in range((last - first).days + 1):
            day = first + timedelta(days=n)
            found = plant_line.station_day(station, day, seed)
            for number, starts_at, ends_at in shift_bounds(day):
                if as_of and ends_at > as_of:
                    continue
                a, b = (int((at - found.starts_at).total_seconds()) for at in (starts_at, ends_at))
                rows.append(_row(line, station, day, number, found, a, b, seed))
                rows[-1]["micro_stops"] = sum(starts_at <= at < ends_at for at in short)
    return pa.Table.from_pylist(rows)


def _row(line: Line, station: str, day: date, shift: int, found: plant_line.StationDay, a: int, b: int, seed: int):
    seconds = np.bincount(_CATEGORY_OF[found.kind[a:b]], minlength=len(NAMES))
    made = found.counted[:, b] - found.counted[:, a]
    good, scrap, rework = (int(n) for n in made)
    orders = plant_line.line_day(line.line_id, day, seed).orders
    ideal_ms = 0
    for one in orders:
        first, last = (min(max(at, a), b) for at in (one.starts_s, one.ends_s))
        units = int((found.counted[:, last] - found.counted[:, first]).sum())
        ideal_ms += plant_line.ideal_cycle_ms(station, one.product_id) * units
    said = dict(zip(NAMES, (int(n) for n in seconds), strict=True))
    busy_s = b - a - said["planned"]
    known_s, total = busy_s - said["no_data"], good + scrap + rework
    availability = said["production"] / known_s if known_s else None
    effectiveness = ideal_ms / 1000 / said["production"] if said["production"] else None
    quality = good / total if total else None
    factors = (availability, effectiveness, quality)
    return {
        "shift_id": f"{day.isoformat()}.{shift}",
        "line_id": line.line_id,
        "station_id": station,
        "planned_operation_time_s": b - a,
        "planned_busy_time_s": busy_s,
        "no_data_s": said["no_data"],
        "actual_production_time_s": said["production"],
        "actual_setup_time_s": said["setup"],
        "actual_delay_time_s": said["delay"],
        "actual_down_time_s": said["down"],
        "good_units": good,
        "scrap_units": scrap,
        "rework_units": rework,
        "ideal_time_s": ideal_ms / 1000,
        "availability": availability,
        "effectiveness": effectiveness,
        "quality": quality,
        "oee": None if None in factors else availability * effectiveness * quality,
    }
