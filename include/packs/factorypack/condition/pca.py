"""Principal components of all features together: Hotelling's T² within the model, and Q, the distance from it.

Sources: Jackson, A User's Guide to Principal Components (1991), ch. 1 and 2; Tracy, Young & Mason (J. Quality
Technology 24, 1992) for the limit of T² of new observations; Jackson & Mudholkar (Technometrics 21, 1979) for Q's.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Components:
    """The kept components as columns (p by k), their variances (k), and those of the components left out (p - k)."""

    axes: np.ndarray
    variances: np.ndarray
    left_out: np.ndarray
    mean: np.ndarray
    hours: int


def components(u: np.ndarray, share: float) -> Components:
    """Of n standardised hours by p features, all known: the fewest components that explain `share` of the variance.

    One component is always left out where there are several features, so that Q sees what does not fit together.
    """
    mean = u.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(u, rowvar=False)))
    variances, axes = np.maximum(variances[::-1], 1e-12), axes[:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))] < 0, -1, 1)  # one sign of two
    explained = np.cumsum(variances) / variances.sum()
    kept = min(int(np.searchsorted(explained, share - 1e-12)) + 1, max(len(variances) - 1, 1))
    return Components(axes[:, :kept], variances[:kept], variances[kept:], mean, len(u))


def t_squared(model: Components, u: np.ndarray) -> np.ndarray:
    """Sum over the kept components of score² / variance, an hour each; NaN where a feature is not known."""
    scores = (u - model.mean) @ model.axes
    return (scores**2 / model.variances).sum(axis=1)


def q_residual(model: Components, u: np.ndarray) -> np.ndarray:
    """Squared distance of each hour from the space of the kept components."""
    centered = u - model.mean
    return ((centered - centered @ model.axes @ model.axes.T) ** 2).sum(axis=1)


def t_squared_limit(model: Components, tail: float) -> float:
    n, k = model.hours, len(model.variances)
    return float(k * (n**2 - 1) / (n * (n - k)) * stats.f.isf(tail, k, n - k))


def q_limit(model: Components, tail: float) -> float:
    """Exceeded with probability `tail`; infinite where no component is left out."""
    if not len(model.left_out):
        return float("inf")
    one, two, three = ((model.left_out**power).sum() for power in (1, 2, 3))
    h = 1 - 2 * one * three / (3 * two**2)
    z = stats.norm.isf(tail)
    return float(one * (z * np.sqrt(2 * two * h**2) / one + 1 + two * h * (h - 1) / one**2) ** (1 / h))
