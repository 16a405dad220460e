"""What the operator owns: fields, facilities, wells, completions, meters and who flows where, day by day."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from demo.exact import stream

OIL_PRODUCER, GAS_PRODUCER, WATER_INJECTOR = "oil_producer", "gas_producer", "water_injector"


@dataclass(frozen=True)
class Field:
    code: str
    name: str
    zone: str
    contract_hour: int
    unit_system: str
    share: float  # of all wells
    facilities: tuple[tuple[str, str], ...]  # (suffix, type)
    latitude: float
    longitude: float
    crs: str
    reservoirs: tuple[str, ...]
    gas_producers: float  # fraction of the field's wells
    injectors: float

    @property
    def liquid_unit(self) -> str:
        return "sm3" if self.unit_system == "metric" else "bbl"

    @property
    def gas_unit(self) -> str:
        return "sm3" if self.unit_system == "metric" else "mcf"


FIELDS = (
    Field(
        "EAGLE", "Eagle Draw", "America/Chicago", 7, "us", 26 / 66,
        (("PAD-A", "pad"), ("PAD-B", "pad"), ("BAT-1", "battery")),
        28.52, -98.61, "EPSG:4267", ("Eagle Ford", "Austin Chalk"), gas_producers=0.2, injectors=0.0,
    ),
    Field(
        "MESQUITE", "Mesquite Flat", "America/Chicago", 7, "us", 24 / 66,
        (("BAT-1", "battery"), ("BAT-2", "battery"), ("PAD-C", "pad")),
        31.44, -103.37, "EPSG:4269", ("Wolfcamp A", "Bone Spring 2"), gas_producers=0.0, injectors=0.09,
    ),
    Field(
        "NORDLYS", "Nordlys", "Europe/Oslo", 0, "metric", 16 / 66, (("PLT-A", "platform"), ("PLT-B", "platform")),
        58.71, 2.14, "EPSG:4230", ("Hugin", "Brent"), gas_producers=0.0, injectors=0.25,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Facility:
    facility_id: str
    field: int
    kind: str

    @property
    def has_tickets(self) -> bool:
        """Oil leaves a platform by pipeline, a pad or battery by loads that each have a ticket."""
        return self.kind != "platform"


@dataclass(frozen=True)
class Route:
    """A well flows to a facility from day `first` (counted from the start of the data) up to, not including, `end`."""

    well: int
    facility: int
    first: int | None  # None: since before the data
    end: int | None


@dataclass(frozen=True)
class Network:
    seed: int
    start: date
    facilities: tuple[Facility, ...]
    well_ids: tuple[str, ...]
    field: np.ndarray  # index in FIELDS, per well
    kind: np.ndarray
    born: np.ndarray  # day of first production, counted from the start of the data; negative for old wells
    routes: tuple[Route, ...]

    @property
    def is_producer(self) -> np.ndarray:
        return self.kind != WATER_INJECTOR

    def facility_of(self, days: int) -> np.ndarray:
        """The facility of each well on each day: day by well."""
        found = np.zeros((days, len(self.well_ids)), dtype=np.int64)
        for route in self.routes:
            found[slice(route.first or 0, route.end), route.well] = route.facility
        return found

    def first_production(self, well: int) -> date:
        return self.start + timedelta(days=int(self.born[well]))


def build_network(seed: int, start: date, days: int, wells: int) -> Network:
    """Draw a network of `wells` wells (at least six) whose re-routings and new wells fall within the first `days`."""
    if wells < 6:
        raise ValueError(f"An operator of {wells} wells cannot fill three fields; ask for six or more")
    random = stream(seed, "network")
    facilities = tuple(
        Facility(f"{f.code[:3]}-{suffix}", n, kind) for n, f in enumerate(FIELDS) for suffix, kind in f.facilities
    )
    counts = _share_out(wells)
    ids, field, kind = [], [], []
    for n, f in enumerate(FIELDS):
        gas, injecting = round(counts[n] * f.gas_producers), round(counts[n] * f.injectors)
        kinds = [OIL_PRODUCER] * (counts[n] - gas - injecting) + [GAS_PRODUCER] * gas + [WATER_INJECTOR] * injecting
        ids += [f"{f.code[:3]}-{k + 1:02d}" for k in range(counts[n])]
        field += [n] * counts[n]
        kind += kinds
    field, kind = np.array(field), np.array(kind)

    born = -random.integers(200, 2200, wells)
    place_in_field = np.concatenate([np.arange(c) for c in counts])
    is_new = (place_in_field % 6 == 5) & (kind != WATER_INJECTOR)
    born = np.where(is_new, (random.uniform(0.08, 0.75, wells) * days).astype(int), born)
    routes = tuple(_draw_routes(random, facilities, field, place_in_field, born, days))
    return Network(seed, start, facilities, tuple(ids), field, kind, born, routes)


def _share_out(wells: int) -> list[int]:
    counts = [max(2, round(wells * f.share)) for f in FIELDS[1:]]
    return [wells - sum(counts), *counts]


def _draw_routes(random, facilities, field, place_in_field, born, days):
    """Deal a field's wells out over its facilities; every seventh old well moves to the next one in mid-history."""
    moves = (random.uniform(0.35, 0.65, len(field)) * days).astype(int)
    for well, (n, place) in enumerate(zip(field, place_in_field, strict=True)):
        choices = [k for k, facility in enumerate(facilities) if facility.field == n]
        home = choices[place % len(choices)]
        first = int(born[well]) if born[well] > 0 else None
        if place % 7 == 1 and first is None and days >= 10:
            other = choices[(place + 1) % len(choices)]
            yield Route(well, home, None, int(moves[well]))
            yield Route(well, other, int(moves[well]), None)
        else:
            yield Route(well, home, first, None)
