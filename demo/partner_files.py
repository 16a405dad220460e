"""Files that the measurement contractor sends: one CSV per sales-gas meter and contract day, a line per hour.

`<METER_ID>_<YYYYMMDD>.csv`, the date being the contract day's. The hours are local, in US order, and follow the wall
clock: a day of autumn has 25 lines and shows 01:00-02:00 twice, a day of spring has 23. The volumes of a file add up to
the meter's daily volume exactly.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from demo.days import QUARTERS_PER_HOUR, wall_clock
from demo.exact import split, stream
from demo.network import FIELDS
from demo.operator import Operator

HEADER = (
    "DateTime, diff_pressure_inH20, static_pressure_psia, temperature_degF, volume_mcf, flow_rate_mcf_day,"
    " energy_mmbtu, flow_time_pct, alarms"
)
DAYS_SENT = 40
MOST_HOURS = 25


@dataclass(frozen=True)
class PartnerFile:
    meter_id: str
    production_date: date
    text: str

    @property
    def name(self) -> str:
        return f"{self.meter_id}_{self.production_date:%Y%m%d}.csv"

    def drop(self, folder: Path, name: str | None = None) -> Path:
        """Put the file into `folder` in one step: it is written under a hidden name and then renamed."""
        folder.mkdir(parents=True, exist_ok=True)
        target, half = folder / (name or self.name), folder / f".{name or self.name}.part"
        half.write_text(self.text)
        return half.replace(target)


def metered_days(operator: Operator) -> int:
    """How many contract days are over where the contractor measures."""
    return max(int(operator.days.completed[n]) for n, f in enumerate(FIELDS) if f.unit_system == "us")


def partner_files(
    operator: Operator, first: int, end: int, without: Container[tuple[str, date]] = ()
) -> Iterator[PartnerFile]:
    """The files of the contract days `first` up to, not including, `end` (counted from the start of the data).

    Those of `without`, pairs of meter and production date, are left out, as are days that are not over.
    """
    for number, facility in enumerate(operator.network.facilities):
        if FIELDS[facility.field].unit_system != "us":
            continue
        for day in range(max(first, 0), min(end, int(operator.days.completed[facility.field]))):
            key = (f"{facility.facility_id}-GS", operator.days.date(day))
            if key not in without:
                yield PartnerFile(*key, _text(operator, number, day))


def _text(operator: Operator, facility: int, day: int) -> str:
    network, days = operator.network, operator.days
    field = network.facilities[facility].field
    edge, hours = days.edges[field, day], int(days.hours[field, day])
    flowing, on = _hourly_flow(operator, facility, edge, hours, day)
    u = stream(network.seed, f"flow computer {network.facilities[facility].facility_id} {day}").random((MOST_HOURS, 5))[
        :hours
    ]
    total = operator.result.sales["gas"][day, facility]
    volume = split(np.array([total]), (flowing * (0.97 + 0.06 * u[:, 0]))[None, :])[0]
    on = np.where(volume > 0, np.maximum(on, 1 / QUARTERS_PER_HOUR), 0.0)
    rate = np.divide(volume * 24, on, out=np.zeros(hours), where=on > 0)
    typical = max(operator.potential.gas[day, operator.result.facility_of[day] == facility].sum() * 1000, 1.0)
    pressure = 620 + 140 * (field == 1) + 25 * (u[:, 1] - 0.5)
    diff = np.where(on > 0, np.clip(48 * (rate / typical) ** 2 * (0.96 + 0.08 * u[:, 2]), 0.2, 220), 0)
    starts = days.utc(edge + QUARTERS_PER_HOUR * np.arange(hours))
    local = wall_clock(starts, FIELDS[field].zone)
    temperature = 74 + 14 * np.sin((local.hour.to_numpy() - 9) / 24 * 2 * np.pi) + 3 * u[:, 3]
    energy = volume * (1.06 + 0.05 * field + 0.004 * np.sin(day / 9))
    lines = [HEADER]
    for k, at in enumerate(local):
        alarm = "NO_FLOW" if on[k] == 0 else "LOW_DP" if diff[k] < 4 else "RTU_COMM" if u[k, 4] > 0.996 else ""
        numbers = [f"{diff[k]:.2f}", f"{pressure[k]:.2f}", f"{temperature[k]:.1f}", _decimal(volume[k])]
        numbers += [_decimal(round(rate[k])), _decimal(round(energy[k])), f"{100 * on[k]:.2f}"]
        lines.append(",".join([f"{at:%m/%d/%Y %H}:00-{(at.hour + 1) % 24:02d}:00", *numbers, alarm]))
    return "\n".join(lines) + "\n"


def _hourly_flow(operator: Operator, facility: int, edge: int, hours: int, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected flow and the part of the hour with any flow, from which wells were up in which quarter."""
    wells = np.flatnonzero(operator.result.facility_of[day] == facility)
    up = 1 - operator.downtime.grid[wells, edge : edge + hours * QUARTERS_PER_HOUR]
    flow = (operator.potential.gas[day, wells, None] * up).sum(axis=0).reshape(hours, QUARTERS_PER_HOUR)
    return flow.sum(axis=1), (flow > 0).mean(axis=1)


def _decimal(thousandths: int) -> str:
    whole, rest = divmod(int(thousandths), 1000)
    return f"{whole}.{rest:03d}"
