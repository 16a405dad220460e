"""What the sensors on the stations' drives measure: temperature and vibration of the bearing, and the drive's load.

One value a minute, of the minute before it, as a pure function of seed, station and calendar. What a sound bearing
shows depends on what the station does; from its onset on a worn one runs hotter, rougher and heavier until it fails.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np

from demo import plant_bearings, plant_calendar, plant_line
from demo.plant_bearings import Bearing
from demo.plant_calendar import ONE_DAY
from demo.plant_line import SEED, STATIONS, Kind

MINUTE_S = 60
WARM_S = 1800  # the bearing's temperature follows what the station did in this time
AMBIENT_DEGC, RISE_DEGC, WORN_DEGC = 24.0, 21.0, 26.0
IDLE_MM_PER_S, WORN_MM_PER_S = 0.15, 5.5
IDLE_PCT, RUNNING_PCT, PRODUCT_PCT, WORN_PCT = 4.0, 52.0, 8.0, 14.0
NOISE = np.array([[0.25, 0.25], [0.02, 0.09], [0.3, 2.0]])  # of each signal, standing and running
WEAR_POWER = 2.0  # slow at first


@dataclass(frozen=True)
class Signal:
    """One measured quantity: its name, unit, range and the change below which nothing is sent."""

    name: str
    unit: str
    high: float
    deadband: float
    digits: int
    description: str


SIGNALS = (
    Signal("bearing_temperature_degc", "degc", 150, 0.3, 1, "Temperature of the drive's bearing, in degC."),
    Signal("vibration_mm_per_s", "mm_per_s", 50, 0.1, 2, "Vibration velocity of the drive's bearing, RMS in mm/s."),
    Signal("drive_load_pct", "pct", 200, 2, 1, "Load of the drive (a machine tool's spindle), in percent of rated."),
)
NAMES = tuple(signal.name for signal in SIGNALS)


def signals(station: str, day: date, seed: int = SEED) -> np.ndarray:
    """What the sensors show from each minute of a plant day on: a row a signal, a column a minute."""
    return _signals(station, day, seed, plant_calendar.calendar())


@lru_cache(maxsize=64)
def _signals(station: str, day: date, seed: int, _calendar) -> np.ndarray:
    today = plant_line.station_day(station, day, seed)
    before = plant_line.station_day(station, day - ONE_DAY, seed)
    minutes = np.arange(0, len(today.kind), MINUTE_S)
    runs = np.concatenate([before.kind[-WARM_S:], today.kind]) == Kind.PRODUCE
    run_s = np.concatenate([[0], np.cumsum(runs)])
    now = minutes + WARM_S  # of the joined seconds
    running, warm = ((run_s[now] - run_s[now - length]) / length for length in (MINUTE_S, WARM_S))
    is_second_product = _is_second_product(station, day, seed, today.order)[minutes]
    wear, levels = _wear(station, seed, today.starts_at, minutes)
    temperature = AMBIENT_DEGC + warm * (RISE_DEGC + levels[0] + WORN_DEGC * wear)
    vibration = IDLE_MM_PER_S + running * (levels[1] + 0.2 * is_second_product + WORN_MM_PER_S * wear)
    load = IDLE_PCT + running * (RUNNING_PCT + levels[2] + PRODUCT_PCT * is_second_product + WORN_PCT * wear)
    random = np.random.default_rng([seed, 600 + list(STATIONS).index(station), day.toordinal()])
    width = NOISE[:, :1] + (NOISE[:, 1:] - NOISE[:, :1]) * running
    found = np.stack([temperature, vibration, load]) + width * random.standard_normal((3, len(minutes)))
    return np.stack([np.round(np.maximum(row, 0), s.digits) for row, s in zip(found, SIGNALS, strict=True)])


def _is_second_product(station: str, day: date, seed: int, order: np.ndarray) -> np.ndarray:
    line = STATIONS[station]
    products = list(line.cycles_s)
    orders = plant_line.line_day(line.line_id, day, seed).orders
    places = np.array([*(products.index(one.product_id) for one in orders), 0])  # -1, no order, takes the last
    return places[order]


def _wear(station: str, seed: int, starts_at: datetime, minutes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How worn the bearing is, 0 to 1 at its failure, and the level of its own, minute by minute."""
    ends_at = starts_at + timedelta(seconds=int(minutes[-1]) + MINUTE_S)
    wear, levels = np.zeros(len(minutes)), np.zeros((3, len(minutes)))
    for one in plant_bearings.bearings(station, seed, ends_at):
        if one.replaced_at <= starts_at or one.fitted_at >= ends_at:
            continue
        since, until = (int((at - starts_at).total_seconds()) for at in (one.fitted_at, one.replaced_at))
        of = (minutes >= since) & (minutes < until)
        levels[:, of] = np.array(one.level)[:, None]
        if one.onset_at:
            wear[of] = _worn(one, starts_at, minutes[of])
    return wear, levels


def _worn(bearing: Bearing, starts_at: datetime, minutes: np.ndarray) -> np.ndarray:
    onset_s = (bearing.onset_at - starts_at).total_seconds()
    lead_s = (bearing.fails_at - bearing.onset_at).total_seconds()
    return np.clip((minutes - onset_s) / lead_s, 0, 1) ** WEAR_POWER
