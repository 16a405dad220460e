"""Scores: what each method says of each hour of evidence, and how many agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from include.packs.factorypack.condition.methods import METHODS, VOTING, score
from include.packs.factorypack.condition.models import Model, model_id, training_window
from include.packs.factorypack.condition.rules import FEATURES, RULES, Feature, Rules
from include.packs.factorypack.condition.segments import Hour, Segment

VOTE = "vote"


@dataclass(frozen=True)
class Score:
    """One method's word on one hour. `statistic` is a share of the limit, or the number of voting methods that exceed.

    `state` is learning (the hour belongs to the training window, or there is no full one yet), scored, or unknown (a
    value that the method needs is missing). `feature` is what has most of it.
    """

    station_id: str
    baseline_id: str
    product_id: str
    hour: Hour
    method: str
    state: str
    statistic: float | None
    feature: str | None
    exceeds: bool
    model_id: str | None

    @property
    def order(self) -> tuple[datetime, str, str]:
        return self.hour.started_at, self.station_id, self.method


def scores(
    segments: Sequence[Segment],
    models: Mapping[str, Model],
    rules: Rules = RULES,
    features: Sequence[Feature] = FEATURES,
) -> list[Score]:
    """The scores of all hours, in order of time; a segment whose models are not all there is learning."""
    found = [one for segment in segments for one in _of_segment(segment, models, rules, features)]
    return sorted(found, key=lambda one: one.order)


def _of_segment(
    segment: Segment, models: Mapping[str, Model], rules: Rules, features: Sequence[Feature]
) -> list[Score]:
    training = training_window(segment, rules)
    known = {}
    if training is not None:
        known = {method: models.get(model_id(segment, method, rules, features)) for method in METHODS}
    is_ready = bool(known) and all(known.values())
    learned = rules.training_h if is_ready else len(segment.hours)
    found = [_row(segment, hour, method, "learning") for hour in segment.hours[:learned] for method in (*METHODS, VOTE)]
    if not is_ready or learned == len(segment.hours):
        return found
    votes, opinions = np.zeros(len(segment.hours) - learned, dtype=int), np.zeros(len(segment.hours) - learned, bool)
    leading: list[str | None] = [None] * len(votes)
    for method, model in known.items():
        said = score(method, model.parameters, training, segment.values[learned:], rules)
        for n, hour in enumerate(segment.hours[learned:]):
            statistic = said.statistic[n]
            if np.isnan(statistic):
                found.append(_row(segment, hour, method, "unknown", model_id=model.model_id))
                continue
            name, over = features[int(said.feature[n])].label, bool(statistic > 1)
            rounded = float(f"{statistic:.9g}")
            found.append(_row(segment, hour, method, "scored", rounded, name, over, model.model_id))
            if method in VOTING:
                opinions[n] = True
                votes[n] += over
                leading[n] = name if over and leading[n] is None else leading[n]
    for n, hour in enumerate(segment.hours[learned:]):
        if opinions[n]:
            agreed = bool(votes[n] >= rules.agreeing)
            found.append(_row(segment, hour, VOTE, "scored", float(votes[n]), leading[n], agreed))
        else:
            found.append(_row(segment, hour, VOTE, "unknown"))
    return found


def _row(
    segment: Segment,
    hour: Hour,
    method: str,
    state: str,
    statistic: float | None = None,
    feature: str | None = None,
    exceeds: bool = False,
    model_id: str | None = None,
) -> Score:
    return Score(*segment.key, hour, method, state, statistic, feature, exceeds, model_id)


def as_row(one: Score) -> dict[str, Any]:
    """A score as a row of `condition.asset_scores`, without pack and calendar."""
    return {
        "shift_id": one.hour.shift_id,
        "production_date": one.hour.production_date,
        "station_id": one.station_id,
        "hour_started_at": one.hour.started_at,
        "hour_ended_at": one.hour.ended_at,
        "baseline_id": one.baseline_id,
        "product_id": one.product_id,
        "method": one.method,
        "state": one.state,
        "statistic": one.statistic,
        "feature": one.feature,
        "exceeds": one.exceeds,
        "model_id": one.model_id,
    }
