"""Jobs on wells and facilities: free text and JSON, some of it long."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.days import Days
from demo.exact import decimals, stream
from demo.network import Network
from demo.words import long_text, sentence

KINDS = np.array(["inspection", "repair", "workover", "calibration", "chemical_treatment", "pump_change"])
PER_DAY = 4  # at most
CREWS = ("north", "south", "coil", "wireline")


def work_orders(network: Network, days: Days) -> pa.Table:
    u = stream(network.seed, "work orders").random((days.count, PER_DAY, 8))
    opened = days.edges[0, :-1, None] + (u[..., 1] * 90).astype(int)
    day, place = np.nonzero((u[..., 0] < 0.55) & (opened <= days.now_quarter))
    u, opened = u[day, place], opened[day, place]
    number = day * PER_DAY + place + 1
    closed = opened + (8 + u[:, 2] ** 3 * 40 * 96).astype(int)
    is_open = closed > days.now_quarter
    at_well = u[:, 3] < 0.8
    well = np.array(network.well_ids)[(u[:, 4] * len(network.well_ids)).astype(int)]
    facility = np.array([f.facility_id for f in network.facilities])[(u[:, 4] * len(network.facilities)).astype(int)]
    return pa.table(
        {
            "work_order_id": number,
            "well_id": pa.array(well, mask=~at_well),
            "facility_id": pa.array(facility, mask=at_well),
            "opened_at": pa.array(days.utc(opened)),
            "closed_at": pa.array(days.utc(closed).where(~is_open, pd.NaT)),
            "order_kind": pa.array(KINDS[(u[:, 5] * len(KINDS)).astype(int)]),
            "description": [describe(np.random.default_rng([network.seed, 4, n]), is_long=n % 12 == 0) for n in number],
            "cost_usd": decimals(np.rint(40_000 + 2_500_000 * u[:, 6] ** 4), 2, 18, 2, null=is_open),
            "attributes": [attributes(np.random.default_rng([network.seed, 5, n]), n % 40 == 0) for n in number],
        }
    )


def describe(random: np.random.Generator, is_long: bool) -> str:
    return long_text(random, int(random.integers(8_500, 14_000))) if is_long else sentence(random, 14)


def attributes(random: np.random.Generator, is_long: bool) -> str:
    """What a maintenance system hangs on a job, as JSON text."""
    parts = [
        {"part_no": f"P-{random.integers(1000, 9999)}", "quantity": int(random.integers(1, 5))}
        for _ in range(random.integers(0, 4))
    ]
    found = {
        "priority": int(random.integers(1, 5)),
        "crew": CREWS[random.integers(0, len(CREWS))],
        "parts": parts,
        "hot_work": bool(random.random() < 0.2),
        "risk": {"likelihood": int(random.integers(1, 6)), "severity": int(random.integers(1, 6))},
    }
    if is_long:
        found["log"] = long_text(random, 9000)
    return json.dumps(found)
