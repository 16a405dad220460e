"""The rows that every contract day adds: readings, gauges, meters, run tickets, uses, and downtime events."""

import numpy as np
import pandas as pd
import pyarrow as pa

from demo.balance import MOST_TICKETS, TANKS, Balance
from demo.days import Days, is_twofold, wall_clock
from demo.decline import Potential
from demo.downtime import PLANNED, Downtime, asset_field
from demo.exact import decimals, stream, volumes
from demo.master import METERS, unit_of
from demo.network import FIELDS, WATER_INJECTOR, Network
from demo.words import long_text, sentence

USES = ("fuel", "flare", "vent", "gas_injection", "water_injection")
PURCHASERS = np.array(["Cardinal Crude", "Longhorn Gathering", "Bluebonnet Marketing"])


def reported(network: Network, days: Days, field: np.ndarray) -> np.ndarray:
    """Which (day, item) are over, for items whose field is given."""
    return np.arange(days.count)[:, None] < days.completed[field][None, :]


def daily_readings(network: Network, days: Days, potential: Potential, downtime: Downtime, result: Balance) -> pa.Table:
    wells = len(network.well_ids)
    day, well = np.nonzero(reported(network, days, network.field) & (np.arange(days.count)[:, None] >= network.born))
    is_injector = network.kind[well] == WATER_INJECTOR
    random = stream(network.seed, "pressures")
    u = random.random((days.count, wells, 3))[day, well]
    up = 1 - downtime.hours_lost[day, well] / days.hours[network.field[well], day]
    tubing = potential.tubing_pressure[day, well] * (0.97 + 0.06 * u[:, 0]) * (0.4 + 0.6 * up)
    casing = tubing * 1.12 + 90 + 40 * u[:, 1]
    choke = np.rint((18 + 4 * (well % 9)) * np.where(up < 1, 0.4 + 0.6 * up, 1)) * 100
    over = days.edges[network.field[well], day + 1]
    entered = days.utc(over) + pd.to_timedelta((5 + 50 * u[:, 2]).astype(int), unit="min")
    entered = entered.where(entered <= days.as_of, pd.Timestamp(days.as_of))  # the last ones have just been typed in
    return pa.table(
        {
            "reading_id": day * wells + well + 1,
            "well_id": pa.array(np.array(network.well_ids)[well]),
            "production_date": pa.array(days.dates[day]),
            "oil_volume": volumes(result.reading["oil"][day, well], is_injector),
            "gas_volume": volumes(result.reading["gas"][day, well], is_injector),
            "water_volume": volumes(result.reading["water"][day, well], is_injector),
            "water_injected_volume": volumes(result.reading["water_injected"][day, well], ~is_injector),
            "liquid_unit": pa.array(np.array([f.liquid_unit for f in FIELDS])[network.field[well]]),
            "gas_unit": pa.array(np.array([f.gas_unit for f in FIELDS])[network.field[well]]),
            "hours_on": decimals(downtime.hours_on[day, well] * 1000, 3, 6, 3),
            "tubing_pressure_psi": decimals(np.rint(tubing * 100), 2, 10, 2, null=u[:, 1] < 0.01),
            "casing_pressure_psi": decimals(np.rint(casing * 100), 2, 10, 2, null=u[:, 0] < 0.01),
            "choke_64ths": decimals(choke, 2, 6, 2, null=is_injector),
            "recorded_at": pa.array(entered),
        }
    )


def _facility_days(network: Network, days: Days, per_day: int):
    """Every reported (day, facility, item) as three index arrays and a number that no other row of the table has."""
    field = np.array([f.field for f in network.facilities])
    over = np.repeat(reported(network, days, field)[:, :, None], per_day, axis=2)
    day, facility, item = np.nonzero(over)
    return day, facility, item, (day * len(network.facilities) + facility) * per_day + item + 1


def _facility_ids(network: Network) -> np.ndarray:
    return np.array([f.facility_id for f in network.facilities])


def _units(network: Network, facility: np.ndarray, products: np.ndarray) -> pa.Array:
    fields = np.array([f.field for f in network.facilities])
    is_gas = products == "gas"
    gas, liquid = (np.array([unit_of(f, p) for f in fields]) for p in ("gas", "oil"))
    return pa.array(np.where(is_gas, gas[facility], liquid[facility]))


def tank_gauges(network: Network, days: Days, result: Balance) -> pa.Table:
    day, facility, tank, number = _facility_days(network, days, TANKS)
    names = np.array([[f"{f.facility_id}-T{k + 1}" for k in range(TANKS)] for f in network.facilities])
    return pa.table(
        {
            "gauge_id": number,
            "facility_id": pa.array(_facility_ids(network)[facility]),
            "tank_id": pa.array(names[facility, tank]),
            "production_date": pa.array(days.dates[day]),
            "opening_stock": volumes(result.opening[day, facility, tank]),
            "closing_stock": volumes(result.closing[day, facility, tank]),
            "volume_unit": _units(network, facility, np.array("oil")),
        }
    )


def meter_volumes(network: Network, days: Days, result: Balance) -> pa.Table:
    day, facility, meter, number = _facility_days(network, days, len(METERS))
    values = np.stack(
        [
            *(result.sales[p] for p in ("oil", "gas")),
            result.check_gas,
            result.sales["water"],
            result.uses["fuel"],
            result.uses["flare"],
        ],
        axis=-1,
    )
    names = np.array([[f"{f.facility_id}-{suffix}" for suffix, *_ in METERS] for f in network.facilities])
    return pa.table(
        {
            "meter_volume_id": number,
            "meter_id": pa.array(names[facility, meter]),
            "production_date": pa.array(days.dates[day]),
            "volume": volumes(values[day, facility, meter]),
            "volume_unit": _units(network, facility, np.array([product for *_, product in METERS])[meter]),
        }
    )


def facility_volumes(network: Network, days: Days, result: Balance) -> pa.Table:
    """A use that a facility never has (gas injection at a pad, water injection without injectors) has no rows."""
    day, facility, use, number = _facility_days(network, days, len(USES))
    injects_water = np.zeros(len(network.facilities), dtype=bool)
    injects_water[[r.facility for r in network.routes if network.kind[r.well] == WATER_INJECTOR]] = True
    is_platform = np.array([f.kind == "platform" for f in network.facilities])
    has = np.ones((len(network.facilities), len(USES)), dtype=bool)
    has[:, USES.index("gas_injection")], has[:, USES.index("water_injection")] = is_platform, injects_water
    keep = has[facility, use]
    day, facility, use, number = day[keep], facility[keep], use[keep], number[keep]
    product = np.where(np.array(USES)[use] == "water_injection", "water", "gas")
    return pa.table(
        {
            "facility_volume_id": number,
            "facility_id": pa.array(_facility_ids(network)[facility]),
            "production_date": pa.array(days.dates[day]),
            "use_kind": pa.array(np.array(USES)[use]),
            "product": pa.array(product),
            "volume": volumes(np.stack([result.uses[kind] for kind in USES], axis=-1)[day, facility, use]),
            "volume_unit": _units(network, facility, product),
        }
    )


def run_tickets(network: Network, days: Days, result: Balance) -> pa.Table:
    """Loads spread over the contract day, so the early hours' tickets belong to the calendar day before."""
    day, facility, load, number = _facility_days(network, days, MOST_TICKETS)
    has = result.tickets[day, facility, load] > 0
    day, facility, load, number = day[has], facility[has], load[has], number[has]
    u = stream(network.seed, "ticket times").random((days.count, len(network.facilities), MOST_TICKETS, 3))[
        day, facility, load
    ]
    field = np.array([f.field for f in network.facilities])[facility]
    minutes = 20 + (load + u[:, 0]) / MOST_TICKETS * 60 * (days.hours[field, day] - 1)
    at = days.utc(days.edges[field, day]) + pd.to_timedelta(minutes.astype(int), unit="min")
    return pa.table(
        {
            "ticket_id": number,
            "facility_id": pa.array(_facility_ids(network)[facility]),
            "tank_id": pa.array(
                [f"{f}-T{k % TANKS + 1}" for f, k in zip(_facility_ids(network)[facility], load, strict=True)]
            ),
            "ticket_at": pa.array(_local(at, field)),
            "net_volume": volumes(result.tickets[day, facility, load]),
            "volume_unit": _units(network, facility, np.array("oil")),
            "bsw_pct": decimals(np.rint(50 + 400 * u[:, 1]), 3, 6, 3),
            "api_gravity": decimals(np.rint(3900 + 500 * u[:, 2]), 2, 6, 2),
            "purchaser": pa.array(PURCHASERS[facility % len(PURCHASERS)]),
        }
    )


def _local(at: pd.DatetimeIndex, field: np.ndarray) -> np.ndarray:
    """Wall-clock times of the rows' fields, two hours later where the clock shows the time twice."""
    local = np.empty(len(at), dtype="datetime64[us]")
    for n, f in enumerate(FIELDS):
        rows = field == n
        here = at[rows]
        here = here + pd.to_timedelta(np.where(is_twofold(here, f.zone), 2, 0), unit="h")
        local[rows] = wall_clock(here, f.zone).to_numpy()
    return local


def downtime_events(network: Network, days: Days, downtime: Downtime) -> pa.Table:
    events, wells = downtime.events, len(network.well_ids)
    field = asset_field(network)[events["asset"]]
    events = events[(events["day"] < days.completed[field]) & (events["start"] <= days.now_quarter)].sort_values(
        ["day", "asset"]
    )
    asset, field = events["asset"].to_numpy(), asset_field(network)[events["asset"]]
    names = np.concatenate([network.well_ids, _facility_ids(network)])
    lasts = (events["end"] > days.now_quarter).to_numpy()
    ended = _local(days.utc(np.where(lasts, events["start"], events["end"])), field)
    number = events["day"].to_numpy() * len(names) + asset + 1
    return pa.table(
        {
            "event_id": number,
            "asset_type": pa.array(np.where(asset < wells, "well", "facility")),
            "asset_id": pa.array(names[asset]),
            "started_at": pa.array(_local(days.utc(events["start"]), field)),
            "ended_at": pa.array(ended, mask=lasts),
            "reason_code": pa.array(events["reason"].astype(str).to_numpy(), pa.string()),
            "is_planned": pa.array(events["reason"].isin(PLANNED).to_numpy()),
            "fraction_down": decimals(np.rint(events["fraction"] * 1000), 3, 4, 3),
            "remarks": pa.array([_remark(network.seed, int(n)) for n in number], pa.string()),
        }
    )


def _remark(seed: int, number: int) -> str | None:
    random = np.random.default_rng([seed, 1, number])
    return None if number % 4 == 0 else long_text(random, 9000) if number % 50 == 1 else sentence(random)
