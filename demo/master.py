"""The operator's master data as rows of the field database: fields, facilities, wells, completions, meters, links."""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from demo.days import Days
from demo.exact import decimals, stream
from demo.network import FIELDS, GAS_PRODUCER, WATER_INJECTOR, Network
from demo.words import long_text

# suffix, name, role, product. A meter of role `sales` measures what leaves the node; `check` repeats gas sales;
# `fuel` and `flare` feed facility_volumes, so adding them to it would count them twice.
METERS = (
    ("OS", "oil sales", "sales", "oil"),
    ("GS", "gas sales", "sales", "gas"),
    ("GC", "gas check", "check", "gas"),
    ("WS", "produced water outlet", "sales", "water"),
    ("FU", "fuel gas", "fuel", "gas"),
    ("FL", "flare gas", "flare", "gas"),
)


def unit_of(field: int, product: str) -> str:
    return FIELDS[field].gas_unit if product == "gas" else FIELDS[field].liquid_unit


def master_tables(network: Network, days: Days, shut_in: set[int]) -> dict[str, pa.Table]:
    random = stream(network.seed, "master")
    known_since = datetime.combine(days.start, time(6), tzinfo=UTC)
    tables = {
        "fields": _rows(
            ["field_code", "field_name", "zone", "unit_system", "updated_at"],
            [(f.code, f.name, f.zone, f.unit_system, known_since) for f in FIELDS],
        ),
        "facilities": _facilities(network, random),
        "wells": _wells(network, days, random, shut_in, known_since),
        "completions": _completions(network, random),
        "meters": _rows(
            ["meter_id", "meter_name", "facility_id", "meter_role", "product", "volume_unit"],
            [
                (
                    f"{f.facility_id}-{suffix}",
                    f"{f.facility_id} {name}",
                    f.facility_id,
                    role,
                    product,
                    unit_of(f.field, product),
                )
                for f in network.facilities
                for suffix, name, role, product in METERS
            ],
        ),
        "network_links": _links(network, days),
    }
    return tables


def _rows(names: list[str], rows: list[tuple]) -> pa.Table:
    return pa.table(dict(zip(names, map(pa.array, map(list, zip(*rows, strict=True))), strict=True)))


def _coordinates(field: np.ndarray, random: np.random.Generator) -> tuple[pa.Array, pa.Array]:
    latitude = np.array([FIELDS[f].latitude for f in field]) + random.uniform(-0.06, 0.06, len(field))
    longitude = np.array([FIELDS[f].longitude for f in field]) + random.uniform(-0.06, 0.06, len(field))
    return tuple(decimals(np.rint(values * 1e6), 6, 9, 6) for values in (latitude, longitude))


def _facilities(network: Network, random: np.random.Generator) -> pa.Table:
    field = np.array([f.field for f in network.facilities])
    latitude, longitude = _coordinates(field, random)
    return pa.table(
        {
            "facility_id": [f.facility_id for f in network.facilities],
            "facility_name": [f"{FIELDS[f.field].name} {f.facility_id[4:]}" for f in network.facilities],
            "facility_type": [f.kind for f in network.facilities],
            "field_code": [FIELDS[n].code for n in field],
            "latitude": latitude,
            "longitude": longitude,
            "crs": [FIELDS[n].crs for n in field],
        }
    )


def _wells(network: Network, days: Days, random, shut_in: set[int], known_since: datetime) -> pa.Table:
    latitude, longitude = _coordinates(network.field, random)
    wells = range(len(network.well_ids))
    status = [
        "shut_in" if w in shut_in else "injecting" if network.kind[w] == WATER_INJECTOR else "producing" for w in wells
    ]
    history = stream(network.seed, "well history")
    remarks = [
        long_text(history, 9000)
        if w % 11 == 0
        else f"Spudded {-network.born[w] % 27 + 1} days before completion"
        if w % 3 == 0
        else None
        for w in wells
    ]
    born = [datetime.combine(network.first_production(w), time(12), tzinfo=UTC) for w in wells]
    return pa.table(
        {
            "well_id": list(network.well_ids),
            "well_name": [f"{FIELDS[network.field[w]].name} {network.well_ids[w][4:]}H" for w in wells],
            "field_code": [FIELDS[f].code for f in network.field],
            "well_type": network.kind.tolist(),
            "status": status,
            "first_production_date": [network.first_production(w) for w in wells],
            "latitude": latitude,
            "longitude": longitude,
            # A few wells were surveyed in WGS 84; the rest follow their field.
            "crs": ["EPSG:4326" if w % 13 == 5 else FIELDS[network.field[w]].crs for w in wells],
            "remarks": pa.array(remarks, pa.string()),
            "updated_at": [max(at, known_since) for at in born],
        }
    )


def _completions(network: Network, random: np.random.Generator) -> pa.Table:
    lifts = {WATER_INJECTOR: ["none"], GAS_PRODUCER: ["natural", "plunger"]}
    rows = []
    for w, well_id in enumerate(network.well_ids):
        reservoirs = FIELDS[network.field[w]].reservoirs
        lift = lifts.get(network.kind[w], ["gas_lift", "esp", "rod_pump"])
        top = int(random.integers(180_000, 320_000))
        on = network.first_production(w) - timedelta(days=21)
        moved = network.first_production(w) + timedelta(days=400) if w % 9 == 4 and network.born[w] < -500 else None
        rows.append((len(rows) + 1, well_id, reservoirs[0], top, top + 35_000, lift[w % len(lift)], on, moved))
        if moved:
            rows.append((len(rows) + 1, well_id, reservoirs[-1], top - 40_000, top - 22_000, lift[0], moved, None))
    ids, wells, reservoir, tops, bases, lift_types, on, off = zip(*rows, strict=True)
    return pa.table(
        {
            "completion_id": pa.array(ids, pa.int64()),
            "well_id": list(wells),
            "reservoir": list(reservoir),
            "top_md_m": decimals(np.array(tops), 2, 8, 2),
            "base_md_m": decimals(np.array(bases), 2, 8, 2),
            "lift_type": list(lift_types),
            "completed_on": list(on),
            "abandoned_on": pa.array(off, pa.date32()),
        }
    )


def _links(network: Network, days: Days) -> pa.Table:
    rows = []
    for route in network.routes:
        first = network.first_production(route.well) if route.first is None else days.date(route.first)
        end = None if route.end is None else days.date(route.end)
        facility = network.facilities[route.facility].facility_id
        rows.append(("well", network.well_ids[route.well], "facility", facility, first, end))
    oldest = min(network.first_production(w) for w in range(len(network.well_ids)))
    for f in network.facilities:
        rows += [
            ("facility", f.facility_id, "meter", f"{f.facility_id}-{suffix}", oldest, None) for suffix, *_ in METERS
        ]
    from_type, from_id, to_type, to_id, first, end = zip(*rows, strict=True)
    return pa.table(
        {
            "link_id": pa.array(range(1, len(rows) + 1), pa.int64()),
            "from_type": list(from_type),
            "from_id": list(from_id),
            "to_type": list(to_type),
            "to_id": list(to_id),
            "effective_from": list(first),
            "effective_to": pa.array(end, pa.date32()),
        }
    )
