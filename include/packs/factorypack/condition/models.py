"""Models: what one method learned of one segment, with its training window and a name that follows from them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from include.packs.factorypack.condition.methods import METHODS, fit
from include.packs.factorypack.condition.rules import FEATURES, RULES, Feature, Rules
from include.packs.factorypack.condition.segments import Segment


@dataclass(frozen=True)
class Model:
    """One method on one segment. The same training hours, rules and library give the same `model_id` and parameters."""

    model_id: str
    station_id: str
    baseline_id: str
    product_id: str
    method: str
    trained_from: datetime  # start of the first training hour
    trained_to: datetime  # end of the last one
    training_h: int
    library: str
    parameters: dict[str, Any]


def training_window(segment: Segment, rules: Rules = RULES) -> np.ndarray | None:
    """The values of the first `training_h` hours of a segment; None while there are fewer: it is learning."""
    return segment.values[: rules.training_h] if len(segment.hours) >= rules.training_h else None


def model_id(segment: Segment, method: str, rules: Rules = RULES, features: Sequence[Feature] = FEATURES) -> str:
    """The name of the model, known before it is trained: a digest of method, rules, features, library and hours."""
    training = training_window(segment, rules)
    said = {
        "method": method,
        "rules": rules.as_json(),
        "features": [(f.column, f.resolution) for f in features],
        "library": library(method),
        "segment": segment.key,
        "hours": [hour.started_at.isoformat() for hour in segment.hours[: rules.training_h]],
        "values": [[None if np.isnan(v) else repr(float(v)) for v in row] for row in training],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:20]


def library(method: str) -> str:
    """The library, with its version, on which the parameters of a method depend."""
    return f"scikit-learn {version('scikit-learn')}" if method == "isolation_forest" else f"numpy {version('numpy')}"


def train(segment: Segment, method: str, rules: Rules = RULES, features: Sequence[Feature] = FEATURES) -> Model | None:
    """The model of a method on a segment; None while the segment is learning."""
    training = training_window(segment, rules)
    if training is None:
        return None
    return Model(
        model_id=model_id(segment, method, rules, features),
        station_id=segment.station_id,
        baseline_id=segment.baseline_id,
        product_id=segment.product_id,
        method=method,
        trained_from=segment.hours[0].started_at,
        trained_to=segment.hours[rules.training_h - 1].ended_at,
        training_h=rules.training_h,
        library=library(method),
        parameters=fit(method, training, [f.resolution for f in features], rules),
    )


def wanted(
    segments: Sequence[Segment], rules: Rules = RULES, features: Sequence[Feature] = FEATURES
) -> dict[str, tuple[Segment, str]]:
    """The models that the segments ask for: model id -> its segment and method."""
    return {
        model_id(segment, method, rules, features): (segment, method)
        for segment in segments
        if training_window(segment, rules) is not None
        for method in METHODS
    }
