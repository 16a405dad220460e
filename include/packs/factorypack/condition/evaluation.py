"""How good alerts are, once failures are known: false alarms per running asset-week, failures found, lead time.

Nothing here is used by training, scoring or confirming: labels come in as arguments, after everything is decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.packs.factorypack.condition.confirm import Episode

WEEK_H = 168.0


@dataclass(frozen=True)
class Fault:
    """A stretch in which an asset was really failing. `failed_at` is None where it was repaired before it failed."""

    station_id: str
    onset_at: datetime
    ended_at: datetime  # failed, or repaired in time
    failed_at: datetime | None


@dataclass(frozen=True)
class Judged:
    """What the confirmed alerts of one method were worth."""

    alerts: int
    false_alarms: int
    running_weeks: float
    failures: int
    detected: int
    worn: int  # faults that were repaired before they failed
    worn_detected: int
    lead_h: tuple[float, ...]  # from the confirmed alert to the failure, of each that was detected, in order of size

    @property
    def false_alarms_per_running_week(self) -> float | None:
        return self.false_alarms / self.running_weeks if self.running_weeks else None

    @property
    def median_lead_h(self) -> float | None:
        n = len(self.lead_h)
        return (self.lead_h[(n - 1) // 2] + self.lead_h[n // 2]) / 2 if n else None


def judge(alerts: Sequence[Episode], faults: Sequence[Fault], running_h: float) -> Judged:
    """Confirmed alerts against faults; an alert is right if it was confirmed between a fault's onset and its end.

    A fault is detected by the first such alert; further ones in it are neither right nor false. One that was confirmed
    before the onset is false, however long it stands. `running_h` is the running time of all assets together.
    """
    confirmed = [one for one in alerts if one.confirmed_at]
    leads, found, worn_found, right = [], 0, 0, set()
    for fault in faults:
        mine = [
            one
            for one in confirmed
            if one.station_id == fault.station_id and fault.onset_at <= one.confirmed_at <= fault.ended_at
        ]
        right.update(id(one) for one in mine)
        if not mine:
            continue
        if fault.failed_at is None:
            worn_found += 1
            continue
        found += 1
        leads.append((fault.failed_at - min(one.confirmed_at for one in mine)) / timedelta(hours=1))
    failures = sum(one.failed_at is not None for one in faults)
    return Judged(
        alerts=len(confirmed),
        false_alarms=sum(id(one) not in right for one in confirmed),
        running_weeks=running_h / WEEK_H,
        failures=failures,
        detected=found,
        worn=len(faults) - failures,
        worn_detected=worn_found,
        lead_h=tuple(sorted(leads)),
    )
