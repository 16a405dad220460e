"""Isolation forest, the baseline that the transparent methods are held against: it says how odd an hour is, not why.

Source: Liu, Ting & Zhou, Isolation Forest (ICDM 2008), by scikit-learn. A forest is not stored: with its seed and its
training hours it grows again, tree by tree the same, so nothing is ever unpickled.
"""

import numpy as np


def oddness(training: np.ndarray, u: np.ndarray, trees: int, seed: int) -> np.ndarray:
    """The anomaly score of each hour, 0 to 1 (about 0.5 is usual), by a forest grown from the training hours.

    Both are standardised hours by features; hours with an unknown feature train nothing and score NaN.
    """
    from sklearn.ensemble import IsolationForest

    known = training[~np.isnan(training).any(axis=1)]
    forest = IsolationForest(n_estimators=trees, max_samples=min(256, len(known)), random_state=seed).fit(known)
    found, is_known = np.full(len(u), np.nan), ~np.isnan(u).any(axis=1)
    if is_known.any():
        found[is_known] = -forest.score_samples(u[is_known])
    return found
