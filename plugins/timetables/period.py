"""Runs a close once per contract day or shift, when its grace is over, by the site's own clock."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from include.catalog import Calendar
from include.contract_day import ContractDay
from include.periods import Days, Period, Periods, Shifts


def timetable_of(calendar: Calendar) -> "PeriodTimetable":
    return PeriodTimetable(
        zone=calendar.zone,
        contract_hour=calendar.contract_hour,
        grace_minutes=calendar.grace_minutes,
        shifts=calendar.shifts.as_json() if calendar.shifts else None,
    )


class PeriodTimetable(Timetable):
    """One run per period: its data interval *is* the day or shift, and it starts `grace_minutes` after the end.

    A cron expression cannot say this: it would count the interval from grace to grace, and a change of clocks
    between the contract hour and the end of the grace would shift the day. The whole rule is stored in the DAG
    when it is parsed, so the scheduler reads no file.
    """

    def __init__(
        self, *, zone: str, contract_hour: int, grace_minutes: int, shifts: dict[str, Any] | None = None
    ) -> None:
        self.zone, self.contract_hour, self.grace_minutes, self.shifts = zone, contract_hour, grace_minutes, shifts
        self.periods: Periods = Shifts.of_json(shifts) if shifts else Days(ContractDay(zone, contract_hour))
        self.description = f"{self.summary}, once per {'shift' if shifts else 'contract day'}"

    @property
    def summary(self) -> str:
        if self.shifts:
            return f"{self.grace_minutes} min after each shift, {self.zone}"
        minutes = self.contract_hour * 60 + self.grace_minutes
        return f"{minutes // 60 % 24:02d}:{minutes % 60:02d} {self.zone}"

    def serialize(self) -> dict[str, Any]:
        return {
            "zone": self.zone,
            "contract_hour": self.contract_hour,
            "grace_minutes": self.grace_minutes,
            "shifts": self.shifts,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "PeriodTimetable":
        return cls(**data)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """A run started by hand closes the period that ended last before it, in grace or not."""
        ended = self.periods.last_ended(run_after)
        return _interval(ended) if ended else DataInterval.exact(run_after)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        if last_automated_data_interval is not None:
            period = self.periods.after(last_automated_data_interval.end)
        elif restriction.earliest is not None:
            period = self.periods.after(restriction.earliest)
        else:
            return None
        if not restriction.catchup:
            due = self.periods.last_ended(pendulum.now("UTC") - timedelta(minutes=self.grace_minutes))
            # of those that a stopped scheduler missed, the latest alone still runs
            period = max(filter(None, (period, due)), key=lambda p: p.starts_at, default=None)
        if period is None:
            return None
        interval = _interval(period)
        if restriction.latest is not None and interval.start > restriction.latest:
            return None
        return DagRunInfo(run_after=interval.end.add(minutes=self.grace_minutes), data_interval=interval)


def _interval(period: Period) -> DataInterval:
    return DataInterval(
        start=pendulum.instance(period.starts_at, tz="UTC"), end=pendulum.instance(period.ends_at, tz="UTC")
    )
