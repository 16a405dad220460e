"""The methods by name: each learns its parameters from training hours, and gives a statistic and a limit for any hour.

    robust_z, ewma, cusum    the largest over the features, each as a share of its limit
    pca                      the larger of T² and Q, each as a share of its limit
    isolation_forest         the forest's score as a share of the greatest in training; a baseline that never votes

A statistic above 1 exceeds. Limits follow from `Rules.false_alarm_every_h`, shared among the features, and are never
below the greatest statistic of the training hours themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.packs.factorypack.condition import charts, forest, pca
from include.packs.factorypack.condition.baseline import Baseline, learned, uncertainty
from include.packs.factorypack.condition.rules import Rules

Parameters = dict[str, Any]  # what JSON takes
CHARTS = ("robust_z", "ewma", "cusum")  # a statistic for each feature
VOTING = (*CHARTS, "pca")
METHODS = (*VOTING, "isolation_forest")


@dataclass(frozen=True)
class Scored:
    """Of each hour the statistic as a share of the limit, and the feature that has most of it; NaN, -1: no verdict."""

    statistic: np.ndarray
    feature: np.ndarray

    @property
    def exceeds(self) -> np.ndarray:
        return np.nan_to_num(self.statistic) > 1


def fit(method: str, training: np.ndarray, resolution: Sequence[float], rules: Rules) -> Parameters:
    """What a method learns from training hours (n by p features, NaN where unknown); deterministic, and plain JSON."""
    found = learned(training, np.asarray(resolution, dtype=float))
    parameters: Parameters = {
        "center": [None if np.isnan(c) else float(c) for c in found.center],
        "scale": [float(s) for s in found.scale],
        "hours": found.hours,
    }
    learns = _LEARNS.get(method)
    if learns:
        parameters |= learns(found.standardised(training), found, rules)
    parameters["limit"] = 1.0
    seen = score(method, parameters, training, training, rules).statistic
    greatest = float(np.max(seen[~np.isnan(seen)], initial=0.0))
    parameters["limit"] = (greatest or 1.0) if method == "isolation_forest" else max(1.0, greatest)
    return parameters


def score(method: str, parameters: Parameters, training: np.ndarray, values: np.ndarray, rules: Rules) -> Scored:
    """Score hours in order of time. Charts with a memory start at 0 with the first of them.

    `training` are the hours that the parameters were learned from: the forest grows from them again.
    """
    center = np.array([np.nan if c is None else c for c in parameters["center"]])
    base = Baseline(center, np.array(parameters["scale"]), parameters["hours"])
    shares = _SHARES[method](base.standardised(values), base, parameters, base.standardised(training), rules)
    shares = shares / parameters["limit"]
    off = np.abs(np.nan_to_num(base.standardised(values)))  # how far each feature is off, in its own scale
    if method in CHARTS:
        shares[:, np.isnan(center)] = np.nan
    is_known = ~np.isnan(shares).all(axis=1)
    filled = np.where(np.isnan(shares), -np.inf, shares)
    statistic = np.where(is_known, filled.max(axis=1), np.nan)
    leading = filled + 1e-9 * np.minimum(off, 1e6) if method in CHARTS else off  # clipped charts may be equal
    return Scored(statistic, np.where(is_known, leading.argmax(axis=1), -1))


def _every_h(base: Baseline, rules: Rules) -> tuple[float, float]:
    """The run length of one feature's chart, and how much wider its limit is since the baseline is an estimate."""
    is_two_sided = rules.direction == "both"
    features = max(int((~np.isnan(base.center)).sum()), 1)
    every_h = float(rules.false_alarm_every_h * features)
    return every_h, uncertainty(base.hours, 1 / every_h / (2 if is_two_sided else 1))


# Below, by method: of standardised hours the statistic as a share of its limit, a column a feature or a statistic.


def _robust_z(u: np.ndarray, base: Baseline, parameters: Parameters, training: np.ndarray, rules: Rules) -> np.ndarray:
    every_h, wider = _every_h(base, rules)
    both = rules.direction == "both"
    return charts.shewhart(u, both) / (charts.shewhart_limit(every_h, both) * wider)


def _ewma(u: np.ndarray, base: Baseline, parameters: Parameters, training: np.ndarray, rules: Rules) -> np.ndarray:
    every_h, wider = _every_h(base, rules)
    both, weight = rules.direction == "both", rules.ewma_weight
    clipped = np.clip(u / wider, -rules.clip, rules.clip)
    return charts.ewma(clipped, weight, both) / charts.ewma_limit(every_h, weight, both)


def _cusum(u: np.ndarray, base: Baseline, parameters: Parameters, training: np.ndarray, rules: Rules) -> np.ndarray:
    every_h, wider = _every_h(base, rules)
    both, slack = rules.direction == "both", rules.cusum_slack
    clipped = np.clip(u / wider, -rules.clip, rules.clip)
    return charts.cusum(clipped, slack, both) / charts.cusum_limit(every_h, slack, both)


def _pca(u: np.ndarray, base: Baseline, parameters: Parameters, training: np.ndarray, rules: Rules) -> np.ndarray:
    if "axes" not in parameters:
        return np.full((len(u), 2), np.nan)
    columns = parameters["features"]
    model = pca.Components(
        np.array(parameters["axes"]),
        np.array(parameters["variances"]),
        np.array(parameters["left_out"]),
        np.array(parameters["mean"]),
        parameters["complete_hours"],
    )
    part = u[:, columns]
    tail = 0.5 / rules.false_alarm_every_h  # half of the false alarms for each of the two
    wider = uncertainty(base.hours, tail) ** 2
    t = pca.t_squared(model, part) / pca.t_squared_limit(model, tail)
    q = pca.q_residual(model, part) / (pca.q_limit(model, tail) * wider)
    return np.stack([t, q], axis=1)


def _learn_pca(u: np.ndarray, base: Baseline, rules: Rules) -> Parameters:
    columns = [int(j) for j in np.flatnonzero(~np.isnan(u).all(axis=0))]
    part = u[:, columns]
    complete = np.clip(part[~np.isnan(part).any(axis=1)], -rules.clip, rules.clip)
    if not columns or len(complete) < 3 * len(columns) + 3:
        return {}
    model = pca.components(complete, rules.pca_variance)
    return {
        "features": columns,
        "axes": model.axes.tolist(),
        "variances": model.variances.tolist(),
        "left_out": model.left_out.tolist(),
        "mean": model.mean.tolist(),
        "complete_hours": model.hours,
    }


def _isolation_forest(
    u: np.ndarray, base: Baseline, parameters: Parameters, training: np.ndarray, rules: Rules
) -> np.ndarray:
    columns = parameters["features"]
    if not columns:
        return np.full((len(u), 1), np.nan)
    return forest.oddness(training[:, columns], u[:, columns], rules.forest_trees, rules.seed)[:, None]


def _learn_forest(u: np.ndarray, base: Baseline, rules: Rules) -> Parameters:
    columns = [int(j) for j in np.flatnonzero(~np.isnan(u).all(axis=0))]
    has_hours = bool(columns) and (~np.isnan(u[:, columns]).any(axis=1)).sum() >= 3
    return {"features": columns if has_hours else []}


_LEARNS: dict[str, Callable[[np.ndarray, Baseline, Rules], Parameters]] = {
    "pca": _learn_pca,
    "isolation_forest": _learn_forest,
}
_SHARES = {
    "robust_z": _robust_z,
    "ewma": _ewma,
    "cusum": _cusum,
    "pca": _pca,
    "isolation_forest": _isolation_forest,
}
