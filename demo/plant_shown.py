"""What the controllers of the simulated plant show at any second: the truth that the mirror must repeat."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from demo import plant_calendar, plant_line, plant_signals
from demo.plant_calendar import ONE_DAY
from demo.plant_line import MODULUS, SECOND, SEED, STATIONS, WORDS, Kind, StationDay
from include.ot.reading import BAD_NO_DATA, GOOD


@dataclass(frozen=True)
class Shown:
    """What the controller of a station shows; None for all of it while it does not answer."""

    execution: str | None
    mode: str | None
    fault_code: str | None
    good_count: int | None
    scrap_count: int | None
    rework_count: int | None
    bearing_temperature_degc: float | None
    vibration_mm_per_s: float | None
    drive_load_pct: float | None


MEASUREMENTS = tuple(Shown.__dataclass_fields__)
STATES = ("execution", "mode", "fault_code")
COUNTS = ("good_count", "scrap_count", "rework_count")
NOTHING = Shown(*[None] * len(MEASUREMENTS))


def shown(station: str, at: datetime, seed: int = SEED) -> Shown:
    """What the station shows at a whole second."""
    day = plant_calendar.plant_day(at)
    found = plant_line.station_day(station, day, seed)
    n = int((at - found.starts_at).total_seconds())
    kind = Kind(found.kind[n])
    if kind == Kind.UNAVAILABLE:
        return NOTHING
    execution, mode = WORDS[STATIONS[station].vocabulary][kind]
    raised = found.codes[found.code[n]]
    counts = np.add(plant_line.made_before(station, day, seed), found.counted[:, n + 1]) % MODULUS  # this second's too
    measured = plant_signals.signals(station, day, seed)[:, n // plant_signals.MINUTE_S]
    return Shown(execution, mode, raised or "none", *(int(n) for n in counts), *(float(value) for value in measured))


def truth(tag_id: str, at: np.ndarray, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """What a tag showed at many times (microseconds), texts or numbers, and their qualities.

    Where the controller does not answer there is no value (None, NaN) and the quality is `BAD_NO_DATA`.
    """
    station, measurement = tag_id.split(".", 1)
    at = np.asarray(at, dtype=np.int64)
    values = np.empty(len(at), dtype=object if measurement in STATES else float)
    quality = np.full(len(at), GOOD, dtype=np.int64)
    if not len(at):
        return values, quality
    day, last = (plant_calendar.plant_day(datetime.fromtimestamp(int(us) / SECOND, UTC)) for us in (at.min(), at.max()))
    while day <= last:
        starts_us, ends_us = (int(plant_calendar.starts_at(d).timestamp()) * SECOND for d in (day, day + ONE_DAY))
        rows = np.flatnonzero((at >= starts_us) & (at < ends_us))
        found = plant_line.station_day(station, day, seed)
        n = (at[rows] - starts_us) // SECOND
        values[rows] = _of_day(station, measurement, day, found, seed)[n]
        is_away = rows[found.kind[n] == Kind.UNAVAILABLE]
        values[is_away], quality[is_away] = None if measurement in STATES else np.nan, BAD_NO_DATA
        day += ONE_DAY
    return values, quality


def _of_day(station: str, measurement: str, day, found: StationDay, seed: int) -> np.ndarray:
    """What a measurement shows in each second of a day, were the controller to answer."""
    if measurement in STATES:
        return states(station, found)[measurement]
    if measurement in COUNTS:
        row = COUNTS.index(measurement)
        return (plant_line.made_before(station, day, seed)[row] + found.counted[row][1:]) % MODULUS
    row = plant_signals.NAMES.index(measurement)
    return np.repeat(plant_signals.signals(station, day, seed)[row], plant_signals.MINUTE_S)


def states(station: str, found: StationDay) -> dict[str, np.ndarray]:
    """Execution, mode and code of a station in each second of a day; None where its controller does not answer."""
    words = WORDS[STATIONS[station].vocabulary]
    said = np.array([words.get(kind, (None, None)) for kind in Kind], dtype=object)
    codes = np.array([code or "none" for code in found.codes], dtype=object)[found.code]
    codes[found.kind == Kind.UNAVAILABLE] = None
    return {"execution": said[found.kind, 0], "mode": said[found.kind, 1], "fault_code": codes}
