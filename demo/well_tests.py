"""Separator tests: monthly per well, more often for a young one; most valid, a few too short or without a record.

Rates are bbl/d and Mcf/d in every field, as the existing user's table keeps them; a metric field's are converted.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.days import Days, wall_clock
from demo.decline import Potential
from demo.downtime import Downtime
from demo.exact import decimals, stream
from demo.network import FIELDS, Network
from demo.words import long_text, sentence

EVERY_DAYS, YOUNG_DAYS, EVERY_DAYS_YOUNG = 30, 75, 9
SM3_PER_BBL, SM3_PER_MCF = 0.158987294928, 28.328


def well_tests(network: Network, days: Days, potential: Potential, downtime: Downtime) -> dict[str, pa.Table]:
    """`well_tests` and `well_test_details`. A well that is down on its test day is tested the month after."""
    day, well = np.nonzero(_tested(network, days, downtime))
    u = stream(network.seed, "well tests").random((days.count, len(network.well_ids), 10))[day, well]
    error = 1 + 0.03 * (u[:, :3] - 0.5)
    metric = np.array([f.unit_system == "metric" for f in FIELDS])[network.field[well]]
    liquid, gas = np.where(metric, SM3_PER_BBL, 1.0), np.where(metric, SM3_PER_MCF, 1.0)
    oil = potential.oil[day, well] / liquid * error[:, 0]
    water = potential.water[day, well] / liquid * error[:, 1]
    tubing = potential.tubing_pressure[day, well] * (0.97 + 0.06 * u[:, 3])
    number = day * len(network.well_ids) + well + 1
    tests = pa.table(
        {
            "id": number,
            "well_id": pa.array(np.array(network.well_ids)[well]),
            "dt": pa.array(_local_noonish(days, network.field[well], day, u[:, 4])),
            "oil_rate": decimals(np.rint(oil * 1e4), 4, 14, 4),
            "gas_rate": decimals(np.rint(potential.gas[day, well] / gas * error[:, 2] * 1e4), 4, 14, 4),
            "water_rate": decimals(np.rint(water * 1e4), 4, 14, 4),
            "tubing_pressure": decimals(np.rint(tubing * 100), 2, 10, 2),
            "casing_pressure": decimals(np.rint((tubing * 1.12 + 110) * 100), 2, 10, 2),
        }
    )

    first = (
        ~pd.Series(well).duplicated().to_numpy()
    )  # a well's first test is a good one, so that it has a rate to carry
    has_details = first | (u[:, 5] < 0.93)
    is_short = ~first & (u[:, 6] > 0.9)
    hours = np.where(is_short, 1 + 2.75 * u[:, 7], 4 + 20 * u[:, 7])
    settled = np.where(is_short & (u[:, 6] > 0.95), 6 * u[:, 8], 6 + 12 * u[:, 8])
    details = pa.table(
        {
            "well_test_id": number,
            "duration_h": decimals(np.rint(hours * 4) * 25, 2, 6, 2),
            "stabilisation_h": decimals(np.rint(settled * 4) * 25, 2, 6, 2),
            "choke_64ths": decimals((18 + 4 * (well % 9)) * 100, 2, 6, 2),
            "bsw_pct": decimals(np.rint(water / (oil + water) * 1e5), 3, 6, 3),
            "remarks": pa.array([_remark(network.seed, int(n)) for n in number], pa.string()),
        }
    )
    return {"well_tests": tests, "well_test_details": details.filter(pa.array(has_details))}


def _tested(network: Network, days: Days, downtime: Downtime) -> np.ndarray:
    day, well = np.arange(days.count)[:, None], np.arange(len(network.well_ids))
    age = day - network.born
    every = np.where(age < YOUNG_DAYS, EVERY_DAYS_YOUNG, EVERY_DAYS)
    due = ((day + 5 * well) % every == 0) | (day == 0) | (age == 2)
    over = day < days.completed[network.field]
    return due & over & network.is_producer & ((age >= 2) | (day == 0) & (age >= 0)) & (downtime.hours_lost == 0)


def _local_noonish(days: Days, field: np.ndarray, day: np.ndarray, u: np.ndarray) -> np.ndarray:
    at = np.empty(len(day), dtype="datetime64[us]")
    for n, f in enumerate(FIELDS):
        rows = field == n
        start = wall_clock(days.utc(days.edges[n, day[rows]]), f.zone)
        at[rows] = (start.normalize() + pd.to_timedelta((8 * 60 + 8 * 60 * u[rows]).astype(int), unit="min")).to_numpy()
    return at


def _remark(seed: int, number: int) -> str | None:
    random = np.random.default_rng([seed, 2, number])
    return long_text(random, 9000) if number % 97 == 0 else sentence(random) if number % 3 == 0 else None
