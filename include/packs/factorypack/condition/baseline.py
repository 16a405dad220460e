"""What is usual: centre and scale of each feature by median and MAD, and how well a short window knows them.

Sources: Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993), ch. 3, for the modified z-score and 1.4826 · MAD;
Rousseeuw & Croux, Alternatives to the Median Absolute Deviation (JASA 88, 1993) for the efficiency of 0.37 of the MAD
at the normal distribution.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

MAD_TO_SIGMA = 1.4826
MAD_EFFICIENCY = 0.37
UNIFORM_TO_SIGMA = 12**-0.5  # an error anywhere within a step of 1


@dataclass(frozen=True)
class Baseline:
    """Centre and scale of p features, in their units, and from how many hours they come."""

    center: np.ndarray
    scale: np.ndarray
    hours: int

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """Rows of features as multiples of their scale from their centre; unknown values stay NaN."""
        return (values - self.center) / self.scale


def learned(values: np.ndarray, resolution: np.ndarray) -> Baseline:
    """The baseline of training hours: an array of n hours by p features, NaN where a value is not known.

    A feature that is never known has centre NaN. The scale is never below what the sensor's resolution leaves open.
    """
    center, scale = np.full(values.shape[1], np.nan), np.ones(values.shape[1])
    for j, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if len(known):
            center[j] = np.median(known)
            scale[j] = MAD_TO_SIGMA * np.median(np.abs(known - center[j]))
    return Baseline(center, np.maximum(scale, np.maximum(resolution * UNIFORM_TO_SIGMA, 1e-9)), len(values))


def uncertainty(hours: int, tail: float) -> float:
    """By how much a limit for the exceedance probability `tail` is wider since centre and scale are estimates.

    Student's t instead of the normal distribution, with the degrees of freedom that a MAD of so many hours is worth.
    """
    freedom = max(MAD_EFFICIENCY * hours - 1, 1.0)
    return float(stats.t.isf(tail, freedom) / stats.norm.isf(tail) * np.sqrt(1 + 1 / hours))
