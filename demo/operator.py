"""The simulated operator as a whole: what its field database holds at an instant, and what was true.

Everything is a function of `Config`: the same seed and start always give the same operator, and a later `as_of` only
adds to it (new days, an event or a job that has ended). The running demo grows by looking at the same operator again.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from demo.balance import PRODUCTS, Balance, balance
from demo.daily import (
    daily_readings,
    downtime_events,
    facility_volumes,
    meter_volumes,
    reported,
    run_tickets,
    tank_gauges,
)
from demo.days import Days
from demo.decline import Potential, potential
from demo.downtime import NEVER, Downtime, draw_downtime
from demo.exact import decimals, volumes
from demo.master import master_tables
from demo.money import money_tables
from demo.network import FIELDS, Network, build_network
from demo.well_tests import well_tests
from demo.work_orders import work_orders
from include.contract_day import ContractDay

SEED, DAYS, WELLS = 20, 730, 66


@dataclass(frozen=True)
class Config:
    """Who the operator is. `days` is the history at the first load: what is told of mid-history is placed by it."""

    seed: int
    start: date
    days: int
    wells: int


@dataclass(frozen=True)
class Operator:
    config: Config
    network: Network
    days: Days
    potential: Potential
    downtime: Downtime
    result: Balance

    def tables(self) -> dict[str, pa.Table]:
        """The rows of every table of `demo/fieldops.sql`, in an order that its references allow."""
        network, days = self.network, self.days
        lasting = self.downtime.events.query("end == @NEVER", local_dict={"NEVER": NEVER})["asset"]
        money = money_tables(network, days, self.result)
        return {
            **master_tables(network, days, shut_in=set(lasting)),
            "daily_readings": daily_readings(network, days, self.potential, self.downtime, self.result),
            **well_tests(network, days, self.potential, self.downtime),
            "downtime_events": downtime_events(network, days, self.downtime),
            "tank_gauges": tank_gauges(network, days, self.result),
            "meter_volumes": meter_volumes(network, days, self.result),
            "run_tickets": run_tickets(network, days, self.result),
            "facility_volumes": facility_volumes(network, days, self.result),
            **money,
            "work_orders": work_orders(network, days),
        }

    def truth(self) -> dict[str, pa.Table]:
        """What no system of the operator knows: true volumes by well and day, and the allocation factors to be found.

        A factor is null where the node's wells have no theoretical volume that day.
        """
        network, days, result = self.network, self.days, self.result
        facility_ids = np.array([f.facility_id for f in network.facilities])
        day, well = np.nonzero(
            reported(network, days, network.field) & (np.arange(days.count)[:, None] >= network.born)
        )
        wells = pa.table(
            {
                "well_id": pa.array(np.array(network.well_ids)[well]),
                "production_date": pa.array(days.dates[day]),
                "facility_id": pa.array(facility_ids[result.facility_of[day, well]]),
                **{p: volumes(result.true[p][day, well]) for p in PRODUCTS},
                "hours_on": decimals(self.downtime.hours_on[day, well] * 1000, 3, 6, 3),
                "hours_lost": decimals(np.rint(self.downtime.hours_lost[day, well] * 1e6), 6, 9, 6),
            }
        )
        field = np.array([f.field for f in network.facilities])
        day, facility = np.nonzero(reported(network, days, field))
        factors = []
        for product in PRODUCTS:
            theory = np.zeros_like(result.produced[product])
            np.add.at(theory, (np.arange(days.count)[:, None], result.facility_of), result.reading[product])
            measured, theory = result.produced[product][day, facility], theory[day, facility]
            factors.append(
                pa.table(
                    {
                        "facility_id": pa.array(facility_ids[facility]),
                        "production_date": pa.array(days.dates[day]),
                        "product": pa.array([product] * len(day)),
                        "measured": volumes(measured),
                        "theoretical": volumes(theory),
                        "factor": pa.array(measured / np.maximum(theory, 1), mask=theory == 0),
                    }
                )
            )
        return {"well_daily": wells, "facility_daily": pa.concat_tables(factors)}


def operate(config: Config, as_of: datetime) -> Operator:
    """The operator of `config` as it stands at `as_of` (an instant with a zone)."""
    network = build_network(config.seed, config.start, config.days, config.wells)
    days = Days(config.start, as_of)
    if days.completed.min() < 1:
        raise ValueError(
            f"No contract day since {config.start} is over at {as_of:%Y-%m-%d %H:%M %Z}: give a later as_of"
        )
    possible = potential(network, days.count)
    downtime = draw_downtime(network, days, config.days)
    return Operator(config, network, days, possible, downtime, balance(network, days, possible, downtime))


def history(
    days: int = DAYS, wells: int = WELLS, seed: int = SEED, as_of: datetime | None = None
) -> tuple[Config, datetime]:
    """The operator whose `days` contract days of history are over, in every field, at `as_of` (default: now)."""
    as_of = as_of or datetime.now(UTC)
    last = min(ContractDay(f.zone, f.contract_hour).last_ended(as_of) for f in FIELDS)
    return Config(seed, last - timedelta(days=days - 1), days, wells), as_of


def generate(
    days: int = DAYS, wells: int = WELLS, seed: int = SEED, as_of: datetime | None = None
) -> dict[str, pa.Table]:
    """All tables of the field database of a simulated operator, ready for `demo.load.load`."""
    return operate(*history(days, wells, seed, as_of)).tables()
