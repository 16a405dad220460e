"""What was true of the plant: how long each station was in which category by shift, what it made, and its OEE.

Reckoned from the seconds of `demo.plant_line` alone, so that it can stand against what the marts say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa

from demo import plant_bearings, plant_calendar, plant_line
from demo.plant_calendar import ONE_DAY
from demo.plant_line import SEED, STATIONS, Kind, Line
from include.periods import Period

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
    Kind.FREE: "free",  # in no shift
}
NAMES = ("production", "setup", "delay", "down", "no_data", "planned", "free")
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

    A micro-stop begins and ends in its shift; a short stop over a shift's end is none of the shift that it began in.
    """
    days = [first + n * ONE_DAY for n in range((last - first).days + 1)]
    shifts = [one for day in days for one in plant_calendar.shifts(day) if not as_of or one.ends_at <= as_of]
    rows = [_row(line, station, one, seed) for station, line in STATIONS.items() for one in shifts]
    return pa.Table.from_pylist(rows)


def _row(line: Line, station: str, shift: Period, seed: int) -> dict[str, object]:
    seconds, made = np.zeros(len(NAMES), dtype=np.int64), np.zeros(3, dtype=np.int64)
    ideal_ms = micro_stops = 0
    for day, a, b in plant_calendar.slices(shift):
        found = plant_line.station_day(station, day, seed)
        seconds += np.bincount(_CATEGORY_OF[found.kind[a:b]], minlength=len(NAMES))
        made += found.counted[:, b] - found.counted[:, a]
        for one in plant_line.line_day(line.line_id, day, seed).orders:
            first, last = (min(max(at, a), b) for at in (one.starts_s, one.ends_s))
            units = int((found.counted[:, last] - found.counted[:, first]).sum())
            ideal_ms += plant_line.ideal_cycle_ms(station, one.product_id) * units
        for stop in stops(station, day, day, seed):
            at = int((stop.started_at - found.starts_at).total_seconds())
            micro_stops += a <= at and at + stop.seconds < b and stop.seconds < line.micro_stop_s
    good, scrap, rework = (int(n) for n in made)
    said = dict(zip(NAMES, (int(n) for n in seconds), strict=True))
    planned_operation_s = int(seconds.sum())
    busy_s = planned_operation_s - said["planned"]
    known_s, total = busy_s - said["no_data"], good + scrap + rework
    availability = said["production"] / known_s if known_s else None
    effectiveness = ideal_ms / 1000 / said["production"] if said["production"] else None
    quality = good / total if total else None
    factors = (availability, effectiveness, quality)
    return {
        "shift_id": shift.name,
        "line_id": line.line_id,
        "station_id": station,
        "planned_operation_time_s": planned_operation_s,
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
        "micro_stops": micro_stops,
    }


def bearings(first: date, last: date, seed: int = SEED) -> pa.Table:
    """One row per bearing that was in a station between two plant days: fitted, begins to wear, fails, is replaced.

    `lead_s` is the warning that its signals can give: from the onset of wear to the failure. One that was replaced in
    time has none, nor a failure. `work_order_id` names the job in the MES.
    """
    begun, ended = plant_calendar.starts_at(first), plant_calendar.starts_at(last + ONE_DAY)
    rows = []
    for station, line in STATIONS.items():
        for one in plant_bearings.bearings(station, seed, ended):
            if one.replaced_at <= begun or one.fitted_at >= ended:
                continue
            failed_at = one.stopped_at if one.end == "failed" else None
            rows.append(
                {
                    "station_id": station,
                    "line_id": line.line_id,
                    "bearing": one.number,
                    "end": one.end,
                    "fitted_at": one.fitted_at,
                    "onset_at": one.onset_at,
                    "failed_at": failed_at,
                    "stopped_at": one.stopped_at,
                    "replaced_at": one.replaced_at,
                    "lead_s": int((failed_at - one.onset_at).total_seconds()) if failed_at else None,
                    "work_order_id": one.work_order_id,
                }
            )
    return pa.Table.from_pylist(rows)
