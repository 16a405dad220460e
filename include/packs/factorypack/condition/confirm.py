"""From exceedances to alerts: opened by one hour, confirmed by several, ended by time, people or the drive's renewal.

Two stages: an hour that counts opens a candidate; `confirm_k` of the last `confirm_n` hours of evidence confirm it,
else it lapses. While an alert stands, nothing new is opened for the station. It ends when its drive is renewed, when
people close it, or when it has subsided; then follow `hold_off_h` hours of evidence in which none is opened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from include.packs.factorypack.condition.rules import RULES, Rules

End = Literal["lapsed", "subsided", "renewed", "closed"]


@dataclass(frozen=True)
class Verdict:
    """Whether one hour of evidence counts, by whatever method or vote; None while its baseline is learning."""

    station_id: str
    baseline_id: str
    started_at: datetime
    ended_at: datetime
    counts: bool | None


@dataclass(frozen=True)
class Episode:
    """One alert as the hours tell it. Instants are ends of hours; an alert that stands has no `ended_at`."""

    station_id: str
    baseline_id: str
    hour_started_at: datetime  # of the hour that opened it
    opened_at: datetime
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None
    end: End | None = None


def episodes(
    verdicts: Iterable[Verdict],
    rules: Rules = RULES,
    closings: Sequence[datetime] = (),
) -> list[Episode]:
    """The alerts of one station from its hours of evidence, and the instants at which people closed one.

    A closing counts from the first hour that starts at or after it. A new baseline ends what the old one had opened.
    """
    found: list[Episode] = []
    standing: Episode | None = None
    recent: list[bool] = []
    quiet = hold_off = 0
    baseline: str | None = None
    left = sorted(closings)

    def ended(at: datetime, how: End) -> None:
        nonlocal standing, recent, quiet, hold_off
        found.append(replace(standing, ended_at=at, end=how))
        standing, recent, quiet = None, [], 0
        hold_off = rules.hold_off_h if how in ("subsided", "closed") else 0

    for one in sorted(verdicts, key=lambda v: v.started_at):
        while left and left[0] <= one.started_at:
            at = left.pop(0)
            if standing and standing.opened_at <= at:
                ended(at, "closed")
        if baseline is not None and one.baseline_id != baseline:
            if standing:
                ended(one.started_at, "renewed" if standing.confirmed_at else "lapsed")
            hold_off = 0
        baseline = one.baseline_id
        if one.counts is None:
            continue
        if standing is None:
            if hold_off:
                hold_off -= 1
                continue
            if not one.counts:
                continue
            standing = Episode(one.station_id, one.baseline_id, one.started_at, one.ended_at)
        recent = [*recent, one.counts]
        if standing.confirmed_at is None:
            if sum(recent[-rules.confirm_n :]) >= rules.confirm_k:
                standing, quiet = replace(standing, confirmed_at=one.ended_at), 0
            elif len(recent) >= rules.confirm_n:
                ended(one.ended_at, "lapsed")
            continue
        quiet = 0 if one.counts else quiet + 1
        if quiet >= rules.subsided_h:
            ended(one.ended_at, "subsided")
    for at in left:
        if standing and standing.opened_at <= at:
            ended(at, "closed")
    return [*found, standing] if standing else found
