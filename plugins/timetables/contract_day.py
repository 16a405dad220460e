"""Runs a close once per contract day, when its grace is over, in the site's own zone."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from include.contract_day import ONE_DAY, ContractDay


class ContractDayTimetable(Timetable):
    """One run per contract day: its data interval *is* the day, and it starts `grace_minutes` after the day's end.

    A cron expression cannot say this: it would count the interval from grace to grace, and a change of clocks
    between the contract hour and the end of the grace would shift the day. Zone and hour are stored in the DAG
    when it is parsed, so the scheduler reads no file.
    """

    def __init__(self, *, zone: str, contract_hour: int, grace_minutes: int) -> None:
        self.zone, self.contract_hour, self.grace_minutes = zone, contract_hour, grace_minutes
        self.day = ContractDay(zone, contract_hour)
        self.description = f"{self.summary}, once per contract day"

    @property
    def summary(self) -> str:
        minutes = self.contract_hour * 60 + self.grace_minutes
        return f"{minutes // 60 % 24:02d}:{minutes % 60:02d} {self.zone}"

    def serialize(self) -> dict[str, Any]:
        return {"zone": self.zone, "contract_hour": self.contract_hour, "grace_minutes": self.grace_minutes}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "ContractDayTimetable":
        return cls(**data)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """A run started by hand closes the day that ended last before it, in grace or not."""
        return self._interval(self.day.last_ended(run_after))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        if last_automated_data_interval is not None:
            day = self.day.at(last_automated_data_interval.start) + ONE_DAY
        elif restriction.earliest is not None:
            day = self.day.last_ended(restriction.earliest - timedelta(microseconds=1)) + ONE_DAY
            if self.day.starts_at(day) < restriction.earliest:
                day += ONE_DAY
        else:
            return None
        if not restriction.catchup:
            day = max(day, self._last_due(pendulum.now("UTC")))
        interval = self._interval(day)
        if restriction.latest is not None and interval.start > restriction.latest:
            return None
        return DagRunInfo(run_after=interval.end.add(minutes=self.grace_minutes), data_interval=interval)

    def _last_due(self, instant: pendulum.DateTime):
        """The latest day whose end and grace are over: the one run that a missed schedule still gets."""
        return self.day.last_ended(instant - timedelta(minutes=self.grace_minutes))

    def _interval(self, day) -> DataInterval:
        return DataInterval(
            start=pendulum.instance(self.day.starts_at(day), tz="UTC"),
            end=pendulum.instance(self.day.ends_at(day), tz="UTC"),
        )
