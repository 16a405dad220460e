"""What each well could make on a full day: Arps decline, ramp-up, rising gas-oil ratio and water break-through."""

from dataclasses import dataclass

import numpy as np

from demo.exact import stream
from demo.network import FIELDS, GAS_PRODUCER, WATER_INJECTOR, Network

DAYS_PER_YEAR = 365.25
TERMINAL_DECLINE = 0.08  # a year; hyperbolic decline never gets flatter than this
RAMP_UP_DAYS = 6.0

# Per field: initial oil rate in its liquid unit, gas-oil ratio in its gas unit, nominal decline a year, Arps b.
TYPICAL = {
    "EAGLE": (620.0, 2.1, 0.70, 0.95),
    "MESQUITE": (540.0, 2.9, 0.60, 1.05),
    "NORDLYS": (640.0, 145.0, 0.28, 0.55),
}
GAS_WELL_RATE_MCF = 3800.0
CONDENSATE_BBL_PER_MCF = 0.018
INJECTION = {"EAGLE": 1500.0, "MESQUITE": 2600.0, "NORDLYS": 1450.0}


@dataclass(frozen=True)
class Potential:
    """Volumes of a day of 24 hours without any stop, in the units of the field: day by well."""

    oil: np.ndarray
    gas: np.ndarray
    water: np.ndarray
    water_injected: np.ndarray
    tubing_pressure: np.ndarray
    initial_rate: np.ndarray  # of oil (gas wells: condensate), per well


def arps(initial: np.ndarray, decline: np.ndarray, b: np.ndarray, age_years: np.ndarray) -> np.ndarray:
    """Hyperbolic rate that turns exponential once its decline has fallen to the terminal one.

    The two pieces meet in rate and in slope.
    """
    turn = (decline / TERMINAL_DECLINE - 1) / (b * decline)
    hyperbolic = initial / (1 + b * decline * np.minimum(age_years, turn)) ** (1 / b)
    return hyperbolic * np.exp(-TERMINAL_DECLINE * np.maximum(age_years - turn, 0))


def potential(network: Network, days: int) -> Potential:
    random, wells = stream(network.seed, "decline"), len(network.well_ids)
    rate, gor, decline, b = (np.array([TYPICAL[FIELDS[f].code][k] for f in network.field]) for k in range(4))
    rate = rate * random.lognormal(0, 0.35, wells)
    gor = gor * random.uniform(0.8, 1.25, wells)
    decline = decline * random.uniform(0.8, 1.2, wells)
    b = b * random.uniform(0.85, 1.15, wells)
    is_gas = network.kind == GAS_PRODUCER
    is_injector = network.kind == WATER_INJECTOR
    gas_rate = GAS_WELL_RATE_MCF * random.lognormal(0, 0.25, wells)
    rate = np.where(is_gas, gas_rate * CONDENSATE_BBL_PER_MCF, rate)
    gor = np.where(is_gas, 1 / CONDENSATE_BBL_PER_MCF, gor)

    age = np.arange(days)[:, None] - network.born[None, :]
    flows = (age >= 0) & ~is_injector
    years = np.maximum(age, 0) / DAYS_PER_YEAR
    ramp = 1 - np.exp(-(np.maximum(age, 0) + 1) / RAMP_UP_DAYS)
    noise = np.exp(0.02 * stream(network.seed, "rate noise").standard_normal((days, wells)))
    oil = np.where(flows, np.maximum(arps(rate, decline, b, years) * ramp, 2.0) * noise, 0)

    rising = 1 + 0.08 * np.minimum(years, 6)
    gas = oil * gor * rising
    cut = water_cut(network, days)
    water = oil * cut / (1 - cut)

    target = np.array([INJECTION[FIELDS[f].code] for f in network.field]) * random.uniform(0.8, 1.2, wells)
    injected = np.where(is_injector & (age >= 0), target * noise, 0)
    pressure = np.where(is_injector, 1900.0, 220 + 1100 * np.sqrt(np.clip(oil / rate, 0, 1.2))) * (0.75 + noise / 4)
    return Potential(oil, gas, water, injected, pressure, rate)


def water_cut(network: Network, days: int) -> np.ndarray:
    """Water over liquid, 0 to 1: a logistic break-through, each well at its own time. Day by well."""
    random, wells = stream(network.seed, "water cut"), len(network.well_ids)
    before = random.uniform(0.04, 0.22, wells)
    after = random.uniform(0.5, 0.86, wells)
    middle = np.maximum(network.born, 0) + random.uniform(30, 900, wells)
    width = random.uniform(50, 130, wells)
    passed = 1 / (1 + np.exp(-(np.arange(days)[:, None] - middle) / width))
    return before + (after - before) * passed
