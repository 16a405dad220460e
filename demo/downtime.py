"""Stops and restrictions of wells and facilities, and what they cost: overlapping events never count twice."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demo.days import QUARTERS_PER_HOUR, Days, is_twofold
from demo.exact import stream
from demo.network import FIELDS, OIL_PRODUCER, Network

WELL_EVENT_A_DAY = 1 / 45
FACILITY_EVENT_A_DAY = 1 / 60
CHOKED = np.array([0.25, 0.4, 0.5, 0.75])
NEVER = 2**31  # the end of an event that still lasts
WELL_REASONS = np.array(
    ["ESP_TRIP", "WELL_TEST", "HIGH_LINE_PRESSURE", "HYDRATE", "SLICKLINE", "SAND", "POWER_LOSS", "WORKOVER"]
)
FACILITY_REASONS = np.array(
    ["COMPRESSOR_TRIP", "PLANNED_MAINTENANCE", "POWER_LOSS", "HIGH_TANK_LEVEL", "ESD", "SALES_LINE_CLOSED"]
)
PLANNED = {"WELL_TEST", "SLICKLINE", "WORKOVER", "PLANNED_MAINTENANCE"}


@dataclass(frozen=True)
class Downtime:
    """The events as a table, and what is left of each well's day."""

    events: pd.DataFrame  # asset (wells first, then facilities), day, start, end (quarters), fraction, reason
    grid: np.ndarray  # fraction down: well by quarter hour
    hours_on: np.ndarray  # hours of each contract day not fully stopped: day by well
    hours_lost: np.ndarray  # full-stop hours that the restrictions are worth: day by well


def draw_downtime(network: Network, days: Days, history: int) -> Downtime:
    """Draw the events of all days so far; a few told ones fall near the end of the first `history` days."""
    events = _told(network, days, history, _drawn(network, days))
    _avoid_twofold_times(network, days, events)
    grid = _lay_on_grid(network, days, events)
    hours_on = np.zeros((days.count, len(network.well_ids)))
    hours_lost = np.zeros_like(hours_on)
    for n in range(len(FIELDS)):
        wells, edges = np.flatnonzero(network.field == n), days.edges[n]
        part = grid[wells, edges[0] : edges[-1]]
        at = edges[:-1] - edges[0]
        hours_on[:, wells] = np.add.reduceat(part < 1, at, axis=1, dtype=np.int64).T / QUARTERS_PER_HOUR
        hours_lost[:, wells] = np.add.reduceat(part, at, axis=1).T / QUARTERS_PER_HOUR
    return Downtime(events, grid, hours_on, hours_lost)


def _drawn(network: Network, days: Days) -> pd.DataFrame:
    wells, facilities = len(network.well_ids), len(network.facilities)
    u = stream(network.seed, "downtime").random((days.count, wells + facilities, 7))
    chance = np.where(np.arange(wells + facilities) < wells, WELL_EVENT_A_DAY, FACILITY_EVENT_A_DAY)
    born = np.concatenate([network.born, np.zeros(facilities, dtype=int)])
    day, asset = np.nonzero((u[:, :, 0] < chance) & (np.arange(days.count)[:, None] > born + 1))
    u, is_well = u[day, asset], asset < wells
    is_choked = u[:, 3] > 0.8
    median_h, longest_h = np.where(is_well, 7.0, 4.0), np.where(is_well, 140.0, 36.0)
    # The product of two uniforms has a long tail, as outages do.
    length_h = np.clip(median_h * 0.25 / np.maximum(u[:, 2] * u[:, 6], 1e-3), 0.5, longest_h)
    reasons = np.where(
        is_well,
        WELL_REASONS[(u[:, 4] * len(WELL_REASONS)).astype(int)],
        FACILITY_REASONS[(u[:, 4] * len(FACILITY_REASONS)).astype(int)],
    )
    start = _day_start(network, days, asset, day) + (u[:, 1] * 92).astype(int)
    return pd.DataFrame(
        {
            "asset": asset,
            "day": day,
            "start": start,
            "end": start + np.rint(length_h * QUARTERS_PER_HOUR).astype(int),
            "fraction": np.where(is_choked, CHOKED[(u[:, 5] * len(CHOKED)).astype(int)], 1.0),
            "reason": np.where(is_choked, np.where(is_well, "CHOKED_BACK", "HIGH_LINE_PRESSURE"), reasons),
        }
    )


def _told(network: Network, days: Days, history: int, events: pd.DataFrame) -> pd.DataFrame:
    """Add four events that every demo must show: an open one, an overlap, one over the contract edge, a choked well."""
    if history < 14 or days.count < history:
        return events
    wells = len(network.well_ids)
    facility = network.facility_of(days.count)[history - 1]
    oil = np.flatnonzero((network.kind == OIL_PRODUCER) & (network.born <= 0))
    eagle = oil[network.field[oil] == 0]
    open_well, neighbour = eagle[0], eagle[-1]
    choked = oil[network.field[oil] == 1][0]
    hour = QUARTERS_PER_HOUR
    told = [
        (open_well, history - 12, 5 * hour, NEVER, 1.0, "WORKOVER"),
        (neighbour, history - 4, 22 * hour, 6 * hour, 1.0, "ESP_TRIP"),  # 05:00 to 11:00 local, over the edge at 07:00
        (
            wells + facility[neighbour],
            history - 4,
            23 * hour,
            3 * hour,
            1.0,
            "COMPRESSOR_TRIP",
        ),  # inside the one before
        (choked, history - 3, 2 * hour, 30 * hour, 0.4, "CHOKED_BACK"),
    ]
    told = pd.DataFrame(told, columns=["asset", "day", "start", "end", "fraction", "reason"])
    told["start"] += _day_start(network, days, told["asset"].to_numpy(), told["day"].to_numpy())
    told["end"] += told["start"]
    taken = events.set_index(["asset", "day"]).index.isin(told.set_index(["asset", "day"]).index)
    again = (events["asset"] == open_well) & (events["day"] > history - 12)  # it cannot stop twice
    return pd.concat([events[~taken & ~again], told], ignore_index=True)


def _day_start(network: Network, days: Days, asset: np.ndarray, day: np.ndarray) -> np.ndarray:
    return days.edges[asset_field(network)[asset], day]


def asset_field(network: Network) -> np.ndarray:
    return np.concatenate([network.field, [f.field for f in network.facilities]])


def _avoid_twofold_times(network: Network, days: Days, events: pd.DataFrame) -> None:
    """Shift a start or end by two hours where the wall clock shows it twice: a local time must name one instant."""
    field = asset_field(network)[events["asset"]]
    for column in ("start", "end"):
        for n, f in enumerate(FIELDS):
            rows = events.index[(field == n) & (events[column] < NEVER)]
            twofold = rows[is_twofold(days.utc(events.loc[rows, column]), f.zone)]
            events.loc[twofold, column] += 2 * QUARTERS_PER_HOUR


def _lay_on_grid(network: Network, days: Days, events: pd.DataFrame) -> np.ndarray:
    """The deepest restriction of each well in each quarter hour; a facility's event holds for the wells it then has."""
    wells, size = len(network.well_ids), int(days.edges.max()) + 1
    grid = np.zeros((wells, size), dtype=np.float32)
    spans = {}  # facility -> [(well, first quarter, end quarter)]
    for route in network.routes:
        edges = days.edges[network.field[route.well]]
        first = 0 if route.first is None else edges[min(route.first, days.count)]
        end = size if route.end is None else edges[min(route.end, days.count)]
        spans.setdefault(route.facility, []).append((route.well, first, end))
    for asset, start, end, fraction in events[["asset", "start", "end", "fraction"]].itertuples(index=False):
        hit = [(asset, 0, size)] if asset < wells else spans.get(asset - wells, [])
        for well, first, last in hit:
            piece = grid[well, max(start, first) : max(min(end, last, size), 0)]
            np.maximum(piece, fraction, out=piece)
    return grid
