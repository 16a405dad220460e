"""When a contract day starts and ends: local contract hour to local contract hour, so 23, 24 or 25 hours.

`production_date` is the local date on which the day starts. Pure arithmetic over the zone database; whoever
needs a contract day (timetable, operators, command line) asks here.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class ContractDay:
    """The rule of one site; two sites with the same zone and hour have the same days."""

    zone: str
    contract_hour: int

    def starts_at(self, production_date: date) -> datetime:
        """The UTC instant at which `production_date` starts.

        An hour that the clocks skip counts as the instant of the change, an hour that comes twice as the first one.
        """
        return datetime.combine(production_date, time(self.contract_hour), tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def ends_at(self, production_date: date) -> datetime:
        """The UTC instant at which `production_date` ends and the next one starts."""
        return self.starts_at(production_date + ONE_DAY)

    def at(self, instant: datetime) -> date:
        """The contract day that runs at `instant`."""
        day = instant.astimezone(ZoneInfo(self.zone)).date()
        return day if self.starts_at(day) <= instant else day - ONE_DAY

    def last_ended(self, instant: datetime) -> date:
        """The latest contract day that is over at `instant`."""
        return self.at(instant) - ONE_DAY
