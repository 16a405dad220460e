"""True volumes and what the operator's instruments make of them. At every facility and on every day, to the last digit:

oil         wells = sales + closing stock - opening stock
gas         wells = sales + fuel + flare + vent + gas injection
water       wells = the produced-water meter (role `sales`: what leaves the node)
injection   injectors = the facility's water_injection; it is make-up water, no part of the produced water

Meters and gauges are exact. A well's own reading is a theory: truth, off by the facility's slow bias and by noise.
"""

from dataclasses import dataclass

import numpy as np

from demo.days import Days
from demo.decline import Potential
from demo.downtime import Downtime
from demo.exact import split, stream, thousandths
from demo.network import Network

PRODUCTS = ("oil", "gas", "water", "water_injected")
TANKS = 2
MOST_TICKETS = 6  # a facility and day
LOAD_BBL = 190.0


@dataclass(frozen=True)
class Balance:
    """Integer thousandths of the field's unit. Wells: day by well; the rest: day by facility."""

    true: dict[str, np.ndarray]
    reading: dict[str, np.ndarray]
    produced: dict[str, np.ndarray]
    sales: dict[str, np.ndarray]  # oil, gas, water
    uses: dict[str, np.ndarray]  # fuel, flare, vent, gas_injection, water_injection
    opening: np.ndarray  # day by facility by tank
    closing: np.ndarray
    tickets: np.ndarray  # day by facility by load; zero: no such load
    check_gas: np.ndarray
    facility_of: np.ndarray  # day by well


def balance(network: Network, days: Days, potential: Potential, downtime: Downtime) -> Balance:
    hours_up = np.maximum(_hours(network, days) - downtime.hours_lost, 0)
    true = {p: thousandths(getattr(potential, p) * hours_up / 24) for p in PRODUCTS}
    facility_of = network.facility_of(days.count)
    reading = _readings(network, days, true, facility_of)
    produced = {p: _by_facility(true[p], facility_of, len(network.facilities)) for p in PRODUCTS}
    uses = _uses(network, days, produced)
    opening, closing, oil_sales = _stock(network, days, potential, produced["oil"])
    gas_sales = produced["gas"] - sum(uses[kind] for kind in ("fuel", "flare", "vent", "gas_injection"))
    noise = stream(network.seed, "check meter").standard_normal(gas_sales.shape)
    return Balance(
        true=true,
        reading=reading,
        produced=produced,
        sales={"oil": oil_sales, "gas": gas_sales, "water": produced["water"]},
        uses=uses,
        opening=opening,
        closing=closing,
        tickets=_tickets(network, days, oil_sales),
        check_gas=np.rint(gas_sales * (1.001 + 0.0015 * np.clip(noise, -3, 3))).astype(np.int64),
        facility_of=facility_of,
    )


def _hours(network: Network, days: Days) -> np.ndarray:
    return days.hours[network.field].T


def _readings(
    network: Network, days: Days, true: dict[str, np.ndarray], facility_of: np.ndarray
) -> dict[str, np.ndarray]:
    """Theory = truth x (1 + bias + noise), both bounded so that the allocation factor stays within 0.9 to 1.1."""
    readings = {}
    t = np.arange(days.count)[:, None]
    for product in PRODUCTS:
        random = stream(network.seed, f"bias of {product}")
        phase = random.uniform(0, 2 * np.pi, (2, len(network.facilities)))
        bias = 0.024 * np.sin(2 * np.pi * t / 97 + phase[0]) + 0.014 * np.sin(2 * np.pi * t / 23 + phase[1])
        noise = np.clip(
            0.012 * stream(network.seed, f"reading of {product}").standard_normal(true[product].shape), -0.035, 0.035
        )
        readings[product] = np.rint(true[product] * (1 + np.take_along_axis(bias, facility_of, axis=1) + noise)).astype(
            np.int64
        )
    return readings


def _by_facility(values: np.ndarray, facility_of: np.ndarray, facilities: int) -> np.ndarray:
    totals = np.zeros((len(values), facilities), dtype=np.int64)
    np.add.at(totals, (np.arange(len(values))[:, None], facility_of), values)
    return totals


def _uses(network: Network, days: Days, produced: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Shares of the day's gas; some days the flare takes much more."""
    u = stream(network.seed, "uses").random((days.count, len(network.facilities), 4))
    is_platform = np.array([f.kind == "platform" for f in network.facilities])
    shares = {
        "fuel": np.where(is_platform, 0.06, 0.035) * (0.9 + 0.2 * u[..., 0]),
        "flare": np.where(u[..., 2] > 0.97, 0.15, 0.008) * (0.6 + 0.8 * u[..., 1]),
        "vent": 0.0006 * (0.5 + u[..., 3]),
        "gas_injection": np.where(is_platform, 0.30, 0.0) * (0.95 + 0.1 * u[..., 1]),
    }
    uses = {kind: np.rint(produced["gas"] * share).astype(np.int64) for kind, share in shares.items()}
    return {**uses, "water_injection": produced["water_injected"]}


def _stock(network: Network, days: Days, potential: Potential, produced: np.ndarray):
    """Tank levels that swing slowly and never ask for more oil than came: (opening, closing) by tank, and the sales."""
    facilities = len(network.facilities)
    random = stream(network.seed, "tanks")
    home = network.facility_of(1)[0]
    capacity = thousandths(
        np.bincount(home, weights=potential.initial_rate * network.is_producer, minlength=facilities) * 0.9
    )
    period, phase = random.uniform(5, 11, facilities), random.uniform(0, 2 * np.pi, facilities)
    jitter = stream(network.seed, "tank jitter").random((days.count + 1, facilities))
    t = np.arange(days.count + 1)[:, None]
    wanted = np.rint(capacity * (0.45 + 0.25 * np.sin(2 * np.pi * t / period + phase) + 0.1 * (jitter - 0.5))).astype(
        np.int64
    )
    level = np.empty_like(wanted)
    level[0] = wanted[0]
    for day in range(days.count):
        level[day + 1] = np.minimum(wanted[day + 1], level[day] + produced[day])
    sales = produced + level[:-1] - level[1:]
    share = stream(network.seed, "tank share").uniform(0.35, 0.65, (days.count + 1, facilities))
    tanks = split(level, np.stack([share, 1 - share], axis=-1))
    return tanks[:-1], tanks[1:], sales


def _tickets(network: Network, days: Days, sales: np.ndarray) -> np.ndarray:
    """The loads that add up to the day's oil sales, where oil leaves by loads."""
    u = stream(network.seed, "tickets").uniform(0.8, 1.2, (days.count, len(network.facilities), MOST_TICKETS))
    loads = np.clip(np.ceil(sales / 1000 / LOAD_BBL), 1, MOST_TICKETS)
    by_load = split(sales, u * (np.arange(MOST_TICKETS) < loads[..., None]))
    return by_load * np.array([f.has_tickets for f in network.facilities])[:, None]
