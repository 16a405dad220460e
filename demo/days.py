"""The clock of the operator: quarter hours of UTC, cut into the contract days of each field.

A contract day starts at the field's contract hour in local time, so it has 92, 96 or 100 quarter hours.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from demo.network import FIELDS
from include.contract_day import ContractDay

QUARTERS_PER_HOUR = 4
MARGIN = timedelta(days=2)  # between the clock's zero and the first contract day


@dataclass(frozen=True)
class Days:
    """The contract days from `start` that are over at `as_of`."""

    start: date
    as_of: datetime

    @cached_property
    def completed(self) -> np.ndarray:
        """How many contract days are over, per field."""
        ended = [ContractDay(f.zone, f.contract_hour).last_ended(self.as_of) for f in FIELDS]
        return np.array([max((day - self.start).days + 1, 0) for day in ended])

    @property
    def count(self) -> int:
        return int(self.completed.max())

    @cached_property
    def zero(self) -> datetime:
        return datetime.combine(self.start, time(0), tzinfo=UTC) - MARGIN

    @cached_property
    def edges(self) -> np.ndarray:
        """The quarter at which each day starts, per field, and at the end the one at which the last day ends."""
        starts = [
            [ContractDay(f.zone, f.contract_hour).starts_at(self.date(n)) for n in range(self.count + 1)]
            for f in FIELDS
        ]
        return np.array([[(at - self.zero) // timedelta(minutes=15) for at in row] for row in starts])

    @cached_property
    def dates(self) -> np.ndarray:
        return np.datetime64(self.start) + np.arange(self.count)

    @cached_property
    def hours(self) -> np.ndarray:
        """The length of each day in hours: field by day."""
        return np.diff(self.edges, axis=1) / QUARTERS_PER_HOUR

    @property
    def now_quarter(self) -> int:
        return (self.as_of - self.zero) // timedelta(minutes=15)

    def date(self, number: int) -> date:
        return self.start + timedelta(days=int(number))

    def utc(self, quarters: np.ndarray) -> pd.DatetimeIndex:
        zero = np.datetime64(self.zero.replace(tzinfo=None), "us")
        return pd.DatetimeIndex(zero + np.asarray(quarters) * np.timedelta64(15 * 60 * 1_000_000, "us")).tz_localize(
            "UTC"
        )


def wall_clock(instants: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """What a clock on the wall showed: local time without a zone, as the field database keeps it."""
    return instants.tz_convert(zone).tz_localize(None)


def is_twofold(instants: pd.DatetimeIndex, zone: str) -> np.ndarray:
    """Whether the wall clock shows this time twice (the hour of autumn), so that it names no one instant."""
    return np.asarray(wall_clock(instants, zone).tz_localize(zone, ambiguous="NaT").isna())
