"""What the packaging line does at any instant: RUN, IDLE or STOP, its counts and its speed, as a pure function of time.

Every UTC day is a chain of stretches drawn from the day's number, so each process sees the same line. In a RUN
stretch the line packs at one constant pace and rejects a fixed share; the counters are 16 bits wide and start again
at 0, about once a day. Times are microseconds since 1970 UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from demo.scada import DAY, GOOD, SECOND, smooth, unit

SEED = 44
EPOCH = 19_723 * DAY  # 2024-01-01: the counters were 0
MODULUS = 65_536
STATES = np.array(["RUN", "IDLE", "STOP"], dtype=object)
RUN, IDLE, STOP = range(3)
PACES = np.array([60, 72, 84, 96])  # units in a minute
NAMES = ("state", "good_count", "scrap_count", "speed")


@dataclass(frozen=True)
class Day:
    """The stretches of a day, and what had been counted, since the epoch, when each began."""

    start: np.ndarray
    state: np.ndarray
    pace: np.ndarray  # 0 unless RUN
    scrap: np.ndarray  # rejected of a thousand
    good: np.ndarray
    scrapped: np.ndarray
    ended: tuple[int, int]  # good and scrap at the end of the day


def at_times(at: np.ndarray) -> dict[str, np.ndarray]:
    """state (text), good_count, scrap_count (integers) and speed (units in a minute) at many times."""
    at = np.asarray(at, dtype=np.int64)
    found = {name: np.empty(len(at), dtype=kind) for name, kind in zip(NAMES, (object, "i8", "i8", "f8"), strict=True)}
    for number in np.unique(at // DAY):
        rows = np.flatnonzero(at // DAY == number)
        day, times = _day(int(number)), at[rows]
        n = np.searchsorted(day.start, times, "right") - 1
        into = times - day.start[n]
        good, scrap = _counted(into, day.pace[n], day.scrap[n])
        found["state"][rows] = STATES[day.state[n]]
        found["good_count"][rows] = (day.good[n] + good) % MODULUS
        found["scrap_count"][rows] = (day.scrapped[n] + scrap) % MODULUS
        found["speed"][rows] = _speed(times, into, day.pace[n])
    return found


def truth(name: str, at: np.ndarray) -> tuple[Sequence[Any], np.ndarray]:
    """Values and qualities of one of `NAMES`; the line's own controller is always sure."""
    values = at_times(at)[name]
    return values, np.full(len(values), GOOD, dtype=np.int64)


def _counted(into: np.ndarray, pace: np.ndarray, scrap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    packed = into * pace // (60 * SECOND)
    rejected = packed * scrap // 1000
    return packed - rejected, rejected


def _speed(at: np.ndarray, into: np.ndarray, pace: np.ndarray) -> np.ndarray:
    """It takes twenty seconds to come up to pace, then hunts around it a little."""
    period = 12 * SECOND
    a, b = unit(SEED, at // period), unit(SEED, at // period + 1)
    hunting = a + (b - a) * smooth((at % period) / period)
    return np.rint(pace * smooth(into / (20 * SECOND)) * (1 + 0.012 * hunting) * 10) / 10


@cache
def _day(number: int) -> Day:
    good, scrapped = (0, 0) if number * DAY <= EPOCH else _ended(number)
    start, state, pace, scrap = _drawn(number)
    length = np.diff(np.append(start, (number + 1) * DAY))
    goods, scraps = _counted(length, pace, scrap)
    before = [np.concatenate([[first], first + np.cumsum(more)]) for first, more in ((good, goods), (scrapped, scraps))]
    return Day(start, state, pace, scrap, before[0][:-1], before[1][:-1], (int(before[0][-1]), int(before[1][-1])))


def _ended(number: int) -> tuple[int, int]:
    """What was counted when the day began. Earlier days are drawn in order, so that no call nests deeply."""
    for earlier in range(EPOCH // DAY, number):
        day = _day(earlier)
    return day.ended


def _drawn(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """start, state, pace and scrap of a day's stretches: RUN for some minutes, then a wait or a stop."""
    random = np.random.default_rng([SEED, number])
    pairs = 200
    run_s = np.clip(random.exponential(1500, pairs), 180, 5400).astype(np.int64)
    is_stop = random.random(pairs) < 0.4
    pause_s = np.where(is_stop, np.clip(random.exponential(500, pairs), 60, 2400), random.uniform(20, 240, pairs))
    seconds = np.stack([run_s, pause_s.astype(np.int64)], axis=1).ravel()
    start = number * DAY + np.concatenate([[0], np.cumsum(seconds)[:-1]]) * SECOND
    state = np.stack([np.full(pairs, RUN), np.where(is_stop, STOP, IDLE)], axis=1).ravel()
    is_run = state == RUN
    pace = np.where(is_run, np.repeat(PACES[random.integers(0, len(PACES), pairs)], 2), 0)
    scrap = np.repeat(random.integers(5, 41, pairs), 2)
    today = start < (number + 1) * DAY
    return start[today], state[today], pace[today], scrap[today]
