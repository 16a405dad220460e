"""Control charts of one feature at a time: Shewhart's on robust z, EWMA and CUSUM, with limits from a run length.

The limit of each is that at which a sound asset exceeds it once in `every_h` hours on average (its ARL0).
Sources: Montgomery, Introduction to Statistical Quality Control (6th ed.), ch. 6 (Shewhart) and 9 (CUSUM, EWMA);
Siegmund, Sequential Analysis (1985), for the run length of a CUSUM; Brook & Evans (Biometrika 59, 1972) and Lucas &
Saccucci (Technometrics 32, 1990) for that of an EWMA by a Markov chain.
"""

from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.optimize import brentq

STATES = 101  # of the Markov chain; odd, so that one stands for zero


def shewhart(u: np.ndarray, is_two_sided: bool) -> np.ndarray:
    """The values themselves, or their size where falling counts too. Shape of `u`: hours by features."""
    return np.abs(u) if is_two_sided else u


def shewhart_limit(every_h: float, is_two_sided: bool) -> float:
    """Exceeded by a normal value once in `every_h`."""
    return float(stats.norm.isf(1 / every_h / (2 if is_two_sided else 1)))


def ewma(u: np.ndarray, weight: float, is_two_sided: bool) -> np.ndarray:
    """z = weight · u + (1 - weight) · z, from 0; an unknown value leaves z as it is."""
    z, found = np.zeros(u.shape[1]), np.empty_like(u)
    for t, row in enumerate(u):
        z = np.where(np.isnan(row), z, weight * row + (1 - weight) * z)
        found[t] = z
    return np.abs(found) if is_two_sided else found


@lru_cache(maxsize=64)
def ewma_limit(every_h: float, weight: float, is_two_sided: bool) -> float:
    """L · sqrt(weight / (2 - weight)), with L by the chart's run length. One side alone has twice that of both."""
    wanted = every_h if is_two_sided else every_h / 2
    sigma = (weight / (2 - weight)) ** 0.5
    width = brentq(lambda times: ewma_run_length(times * sigma, weight) - wanted, 1.0, 8.0, xtol=1e-6)
    return float(width * sigma)


def ewma_run_length(limit: float, weight: float) -> float:
    """Mean hours until |z| of a sound asset exceeds the limit, by a Markov chain over the values of z."""
    step = 2 * limit / STATES
    middle = -limit + step * (np.arange(STATES) + 0.5)
    edges = -limit + step * np.arange(STATES + 1)
    reached = stats.norm.cdf((edges[None, :] - (1 - weight) * middle[:, None]) / weight)
    moves = np.diff(reached, axis=1)
    return float(np.linalg.solve(np.eye(STATES) - moves, np.ones(STATES))[STATES // 2])


def cusum(u: np.ndarray, slack: float, is_two_sided: bool) -> np.ndarray:
    """C = max(0, C + u - slack), from 0, and the same downwards; the larger one. An unknown value leaves it."""
    high, low, found = np.zeros(u.shape[1]), np.zeros(u.shape[1]), np.empty_like(u)
    for t, row in enumerate(u):
        known = ~np.isnan(row)
        high = np.where(known, np.maximum(0, high + row - slack), high)
        low = np.where(known, np.maximum(0, low - row - slack), low)
        found[t] = np.maximum(high, low) if is_two_sided else high
    return found


@lru_cache(maxsize=64)
def cusum_limit(every_h: float, slack: float, is_two_sided: bool) -> float:
    """The decision interval by Siegmund's approximation; each of two sides may be wrong half as often."""
    wanted = every_h * (2 if is_two_sided else 1)

    def run_length(limit: float) -> float:
        b = limit + 1.166
        return (np.exp(2 * slack * b) - 2 * slack * b - 1) / (2 * slack**2)

    return float(brentq(lambda limit: run_length(limit) - wanted, 0.0, 50.0 / slack, xtol=1e-9))
