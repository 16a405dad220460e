"""What `fct_asset_hour` ought to say of the simulated plant's drives, straight from what is simulated.

Reckoned second by second with numpy, without a lakehouse: for trials and benchmarks that need weeks in seconds. The
gate is told here a second time on purpose, so that each can be held against the other.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from demo import plant_bearings, plant_calendar, plant_line, plant_signals
from demo.plant_calendar import ONE_DAY
from demo.plant_line import SEED, STATIONS, Kind
from include.periods import Period

GAP_S, WARM_UP_S, SETTLE_S, LEAST_STEADY_S, LOAD_SPREAD_PCT = 300, 1800, 120, 1800, 25
HOUR_S = 3600
STATION_NAMES = tuple(STATIONS)
COLUMNS = ("temperature_degc_mean", "vibration_mm_per_s_mean", "load_pct_mean")


def hours(
    first: date,
    last: date,
    seed: int = SEED,
    every_s: int = 900,
    stations: Sequence[str] = STATION_NAMES,
    plant_start: date | None = None,
) -> list[dict[str, Any]]:
    """The hours of stations in the shifts of these dates, with the columns that scoring reads.

    `every_s` is the time between two readings of a signal, a multiple of a minute: 900 as the historian keeps them, 60
    as the mirror does. The MES knows renewals from `plant_start` on, or from the first date.
    """
    return [
        row
        for station in stations
        for n in range((last - first).days + 1)
        for shift in plant_calendar.shifts(first + n * ONE_DAY)
        for row in _of_shift(station, shift, plant_start or first, seed, every_s)
    ]


def _of_shift(station: str, shift: Period, first: date, seed: int, every_s: int) -> Iterator[dict[str, Any]]:
    kind, product, values, second = _seconds(station, shift, seed)
    running = kind == Kind.PRODUCE
    steady = _steady(running)
    position = np.arange(len(second))
    read_at = position - second % every_s  # where the value that is in force was read
    known = steady & (read_at >= 0)
    known[known] = steady[read_at[known]]
    renewals = _renewals(station, first, seed, shift.ends_at)
    begun = shift.parts[0][0]
    for start in range(0, len(second), HOUR_S):
        hour = slice(start, min(start + HOUR_S, len(second)))
        started_at = begun + timedelta(seconds=start)
        ended_at = begun + timedelta(seconds=hour.stop)
        mine = position[hour][known[hour]]
        shown = values[:, read_at[mine]]
        products = set(product[hour][steady[hour]])
        renewed = [one for one in renewals if one.replaced_at <= started_at]
        is_steady = (
            steady[hour].sum() >= LEAST_STEADY_S
            and len(products) == 1
            and 2 * len(mine) >= steady[hour].sum()
            and np.ptp(shown[2]) <= LOAD_SPREAD_PCT
            and not any(started_at < one.replaced_at < ended_at for one in renewals)
        )
        yield {
            "calendar": plant_calendar.SITE,
            "shift_id": shift.name,
            "production_date": shift.production_date,
            "station_id": station,
            "hour_started_at": started_at,
            "hour_ended_at": ended_at,
            "is_evidence": bool(is_steady),
            "product_id": str(products.pop()) if len(products) == 1 else None,
            "running_share": float(running[hour].mean()),
            "renewed_by": renewed[-1].work_order_id if renewed else None,
            "renewed_at": renewed[-1].replaced_at if renewed else None,
            "renewal_kind": renewed[-1].work_kind if renewed else None,
            **{name: float(row.mean()) if len(mine) else None for name, row in zip(COLUMNS, shown, strict=True)},
        }


def _seconds(station: str, shift: Period, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each second of a shift: kind, product, the signals as read in its minute, and its number in the day."""
    kinds, products, values, seconds = [], [], [], []
    for day, a, b in plant_calendar.slices(shift):
        found = plant_line.station_day(station, day, seed)
        orders = plant_line.line_day(STATIONS[station].line_id, day, seed).orders
        names = np.array([*(one.product_id for one in orders), ""])
        second = np.arange(a, b)
        kinds.append(found.kind[a:b])
        products.append(names[found.order[a:b]])
        values.append(plant_signals.signals(station, day, seed)[:, second // plant_signals.MINUTE_S])
        seconds.append(second)
    return np.concatenate(kinds), np.concatenate(products), np.concatenate(values, axis=1), np.concatenate(seconds)


def _steady(running: np.ndarray) -> np.ndarray:
    """Whether production is warm and settled, a shift's first stretch being a start."""
    found = np.zeros(len(running), dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], running.astype(np.int8), [0]])))
    warm_from, ended = 0, None
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if ended is None or start - ended > GAP_S:
            warm_from = start + WARM_UP_S
        found[max(start + SETTLE_S, warm_from) : end] = True
        ended = end
    return found


def _renewals(station: str, first: date, seed: int, until: datetime) -> list[plant_bearings.Bearing]:
    """The bearings whose work orders renew the drive, as the MES of a plant begun on `first` has them, in order."""
    begun = plant_calendar.starts_at(first)
    found = plant_bearings.bearings(station, seed, until)
    return [one for one in found if begun <= one.stopped_at and one.replaced_at <= until]
