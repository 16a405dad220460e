"""The hours that are evidence, cut where nothing may be compared: by station, renewal of the drive, and product."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from include.packs.factorypack.condition.rules import FEATURES, Feature

COLUMNS = (
    "calendar",
    "shift_id",
    "production_date",
    "station_id",
    "hour_started_at",
    "hour_ended_at",
    "is_evidence",
    "product_id",
    "running_share",
    "renewed_by",
    *(feature.column for feature in FEATURES),
)
FIRST = "first"  # the baseline of a drive that no known work order has renewed


@dataclass(frozen=True)
class Hour:
    """One hour of evidence: when, and in which shift."""

    started_at: datetime
    ended_at: datetime
    shift_id: str
    production_date: date


@dataclass(frozen=True)
class Segment:
    """Hours of evidence of one station, baseline and product, in order of time, with their values.

    `baseline_id` is the work order that renewed the drive, or `first`. `values` has a row an hour and a column a
    feature, in the feature's unit, NaN where it is not known.
    """

    station_id: str
    baseline_id: str
    product_id: str
    hours: tuple[Hour, ...]
    values: np.ndarray

    @property
    def key(self) -> tuple[str, str, str]:
        return self.station_id, self.baseline_id, self.product_id


def segments(rows: Iterable[Mapping[str, Any]], features: Sequence[Feature] = FEATURES) -> list[Segment]:
    """The segments of rows of `fct_asset_hour` of one calendar, in any order; hours without any value are left out."""
    found: dict[tuple[str, str, str], list[tuple[Hour, list[float]]]] = {}
    for row in rows:
        if not row["is_evidence"]:
            continue
        values = [np.nan if row[f.column] is None else float(row[f.column]) for f in features]
        if np.isnan(values).all():
            continue
        key = (row["station_id"], row["renewed_by"] or FIRST, row["product_id"] or "")
        hour = Hour(row["hour_started_at"], row["hour_ended_at"], row["shift_id"], row["production_date"])
        found.setdefault(key, []).append((hour, values))
    made = []
    for key, hours in sorted(found.items()):
        hours.sort(key=lambda one: one[0].started_at)
        made.append(Segment(*key, tuple(hour for hour, _ in hours), np.array([values for _, values in hours])))
    return made
