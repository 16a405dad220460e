"""How good alerts proved by what people said of them: precision, false alarms, lead time, failures without an alert.

Nothing of this is read by training, scoring or confirming. An alert counts in the window in which it was confirmed; one
that was withdrawn, since its hours were restated, counts nowhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import NormalDist, median
from typing import Any

from include.packs.factorypack.condition.evaluation import WEEK_H
from include.packs.factorypack.condition.life import Alert

COLUMNS = (
    "line_id",
    "station_id",
    "hour_started_at",
    "hour_ended_at",
    "running_share",
    "renewed_by",
    "renewed_at",
    "renewal_kind",
)
DAYS = 90
FAILED = "corrective"  # kind of a work order that renews a drive because it failed
CONFIDENCE = 0.90  # that the interval holds the precision that more labels would show


@dataclass(frozen=True)
class Renewal:
    """A closed work order that renewed a station's drive."""

    station_id: str
    work_order_id: str
    closed_at: datetime
    is_failure: bool


@dataclass(frozen=True)
class Proved:
    """What the alerts of a station, a line (`station_id` is None) or all of them (both are) were worth."""

    line_id: str | None
    station_id: str | None
    confirmed: int
    true_faults: int
    false_alarms: int
    unclear: int
    running_h: float
    failures: int
    detected: int  # failures that an alert had told before
    lead_h: tuple[float, ...]  # from the confirmation to the renewal, of those labelled true, in order of size

    @property
    def labelled(self) -> int:
        return self.true_faults + self.false_alarms + self.unclear

    @property
    def unlabelled(self) -> int:
        return self.confirmed - self.labelled

    @property
    def precision(self) -> float | None:
        return _share(self.true_faults, self.true_faults + self.false_alarms)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval of the precision."""
        return wilson(self.true_faults, self.true_faults + self.false_alarms)

    @property
    def false_alarms_per_running_week(self) -> float | None:
        return self.false_alarms * WEEK_H / self.running_h if self.running_h else None

    @property
    def median_lead_h(self) -> float | None:
        return median(self.lead_h) if self.lead_h else None

    @property
    def missed(self) -> int:
        return self.failures - self.detected

    @property
    def recall(self) -> float | None:
        return _share(self.detected, self.failures)

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval or (None, None)
        return {
            "line_id": self.line_id,
            "station_id": self.station_id,
            "confirmed": self.confirmed,
            "labelled": self.labelled,
            "true_faults": self.true_faults,
            "false_alarms": self.false_alarms,
            "unclear": self.unclear,
            "unlabelled": self.unlabelled,
            "precision": self.precision,
            "precision_low": low,
            "precision_high": high,
            "running_h": self.running_h,
            "false_alarms_per_running_week": self.false_alarms_per_running_week,
            "median_lead_h": self.median_lead_h,
            "least_lead_h": self.lead_h[0] if self.lead_h else None,
            "failures": self.failures,
            "missed_failures": self.missed,
            "recall": self.recall,
        }


def proved(
    alerts: Sequence[Alert], hours: Sequence[Mapping[str, Any]], since: datetime, until: datetime
) -> list[Proved]:
    """The stations, each line after its own, and last the total, from `since` up to `until`.

    `hours` are rows of `fct_asset_hour` of one calendar. A failure is a renewal by a corrective work order. It was told
    where an alert was confirmed in the life of the drive that it ended, unless people called that alert false.
    """
    known = renewals(hours)
    confirmed = [one for one in alerts if one.confirmed_at and one.state != "withdrawn"]
    ended_by = {one.alert_id: _ended_by(one, known) for one in confirmed}
    told = {ended_by[one.alert_id] for one in confirmed if one.label != "false_alarm"}
    mine = [one for one in confirmed if since <= one.confirmed_at < until]
    failures = [one for one in known if one.is_failure and since <= one.closed_at < until]
    within = [row for row in hours if since <= row["hour_started_at"] < until]
    line_of = {row["station_id"]: row["line_id"] for row in hours}
    stations = {row["station_id"] for row in within} | {one.station_id for one in (*mine, *failures)}
    running_h = dict.fromkeys(stations, 0.0)
    for row in within:
        length = (row["hour_ended_at"] - row["hour_started_at"]) / timedelta(hours=1)
        running_h[row["station_id"]] += float(row["running_share"]) * length

    def of_station(station_id: str) -> Proved:
        own = [one for one in mine if one.station_id == station_id]
        failed = [one for one in failures if one.station_id == station_id]
        ends = [
            (one.confirmed_at, ended_by[one.alert_id].closed_at)
            for one in own
            if one.label == "true_fault" and ended_by[one.alert_id]
        ]
        return Proved(
            line_of.get(station_id),
            station_id,
            len(own),
            *(sum(one.label == label for one in own) for label in ("true_fault", "false_alarm", "unclear")),
            running_h[station_id],
            len(failed),
            sum(one in told for one in failed),
            tuple(sorted((closed - at) / timedelta(hours=1) for at, closed in ends)),
        )

    found = sorted(map(of_station, stations), key=lambda one: (one.line_id or "", one.station_id))
    made = []
    for line_id in dict.fromkeys(one.line_id for one in found):
        own = [one for one in found if one.line_id == line_id]
        made += [*own, _total(line_id, own)] if line_id else own
    return [*made, _total(None, found)]


def renewals(hours: Iterable[Mapping[str, Any]]) -> list[Renewal]:
    """The renewals that the hours know of, in order of time."""
    found = {
        (row["station_id"], row["renewed_by"]): Renewal(
            row["station_id"], row["renewed_by"], row["renewed_at"], row.get("renewal_kind") == FAILED
        )
        for row in hours
        if row["renewed_by"]
    }
    return sorted(found.values(), key=lambda one: (one.closed_at, one.station_id))


def wilson(hits: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of a share by Wilson's score, which is right for few as for many; None of nothing."""
    if not of:
        return None
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), hits / of
    middle = share + z * z / (2 * of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max((middle - half) / (1 + z * z / of), 0.0), min((middle + half) / (1 + z * z / of), 1.0)


def _ended_by(alert: Alert, known: Sequence[Renewal]) -> Renewal | None:
    """The renewal that ended the life of the drive in which the alert was confirmed."""
    later = (one for one in known if one.station_id == alert.station_id and one.closed_at > alert.confirmed_at)
    return next(later, None)


def _total(line_id: str | None, stations: Sequence[Proved]) -> Proved:
    counts = ("confirmed", "true_faults", "false_alarms", "unclear", "running_h", "failures", "detected")
    sums = {name: sum(getattr(one, name) for one in stations) for name in counts}
    return Proved(line_id, None, lead_h=tuple(sorted(h for one in stations for h in one.lead_h)), **sums)


def _share(hits: int, of: int) -> float | None:
    return hits / of if of else None
