"""The tag dictionaries of the demo as committed files, and where its remote terminal units keep each value.

    python -m demo.scada_tags            # write the seeds
    python -m demo.scada_tags --check    # say whether they are what this program would write

The wells are those of the demo operator; only what a kind of well has is declared: an injector has no oil rate.
"""

import argparse
import csv
import io
import sys
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from demo.network import FIELDS, WATER_INJECTOR, Network, build_network
from demo.operator import DAYS, SEED, WELLS
from demo.plant_line import STATIONS
from demo.plant_signals import SIGNALS
from include.settings import ROOT

NAMESPACE = "urn:hnai:demo:scada"
ENTERPRISE = "hnai"
OWNER = "field-automation"
ENERGYPACK = ROOT / "dbt" / "seeds" / "energypack" / "energypack_tags.csv"
FACTORYPACK = ROOT / "dbt" / "seeds" / "factorypack" / "factorypack_tags.csv"
PLANT_SOURCE = "plant_lines"  # the lines that publish by themselves
AGENT_SOURCE = "plant_machining"  # the MTConnect agent of the line whose controllers speak it
STRIDE = 8  # registers that the terminal unit of a field keeps for each well


@dataclass(frozen=True)
class Row:
    """One row of a tag seed. Everything is text as it is written; an empty text is no value."""

    tag_id: str
    path: str
    asset_id: str
    measurement: str
    source: str
    address: str
    data_type: str
    unit: str
    range_low: str
    range_high: str
    deadband: str
    deadband_type: str
    sampling_ms: str
    owner: str
    description: str


@dataclass(frozen=True)
class Measurement:
    """What one instrument of a well measures, per unit system: unit, range, deadband."""

    name: str
    code: str  # the last part of its OPC UA node id; registers are called by the tag id
    source: str
    us: tuple[str, str, str, str]
    metric: tuple[str, str, str, str]
    deadband_type: str
    description: str
    data_type: str = "double"
    injector: bool | None = None  # None: of every well


MEASUREMENTS = (
    Measurement(
        "tubing_head_pressure", "THP", "field_scada",
        ("psi", "0", "5000", "0.5"), ("bar", "0", "350", "0.05"), "absolute",
        "Pressure at the tubing head of {well}, upstream of the choke.",
    ),
    Measurement(
        "casing_pressure", "CHP", "field_scada",
        ("psi", "0", "5000", "0.02"), ("bar", "0", "350", "0.02"), "percent",
        "Pressure of the annulus at the casing head of {well}.",
    ),
    Measurement(
        "tubing_head_temperature", "THT", "field_scada",
        ("degf", "0", "300", "0.2"), ("degc", "-20", "150", "0.1"), "absolute",
        "Temperature of the stream at the tubing head of {well}.",
    ),
    Measurement(
        "choke_opening", "CHK", "field_scada",
        ("pct", "0", "100", "0.5"), ("pct", "0", "100", "0.5"), "absolute",
        "Opening of the choke of {well} as its positioner reports it.",
    ),
    Measurement(
        "oil_rate", "", "field_rtu",
        ("bbl_per_d", "0", "3000", "0.01"), ("sm3_per_h", "0", "200", "0.01"), "percent",
        "Oil rate of {well} from its multiphase meter.", injector=False,
    ),
    Measurement(
        "gas_rate", "", "field_rtu",
        ("mcf_per_d", "0", "10000", "0.02"), ("sm3_per_h", "0", "20000", "0.02"), "percent",
        "Gas rate of {well} from its multiphase meter.", injector=False,
    ),
    Measurement(
        "water_injection_rate", "", "field_rtu",
        ("bbl_per_d", "0", "6000", "0.05"), ("sm3_per_h", "0", "200", "0.05"), "percent",
        "Rate of the water injected into {well}.", injector=True,
    ),
    Measurement(
        "is_running", "", "field_rtu",
        ("1", "", "", ""), ("1", "", "", ""), "",
        "Whether {well} is open and flowing: false from the moment it is shut in.", "boolean",
    ),
)  # fmt: skip

PLANT_PATH = f"{ENTERPRISE}/riverside"


def demo_network() -> Network:
    """The wells of the demo operator. Which wells there are does not depend on the day of its first load."""
    return build_network(SEED, date(2025, 1, 1), DAYS, WELLS)


def measurements_of(is_injector: bool) -> list[Measurement]:
    return [m for m in MEASUREMENTS if m.injector in (None, is_injector)]


def well_rows() -> list[Row]:
    """The tags of all wells. The area of a well is the facility it was built for; re-routing does not move it."""
    network = demo_network()
    home = {}
    for route in network.routes:
        home.setdefault(route.well, network.facilities[route.facility].facility_id)
    rows = []
    for well, well_id in enumerate(network.well_ids):
        field = FIELDS[network.field[well]]
        for m in measurements_of(network.kind[well] == WATER_INJECTOR):
            unit, low, high, deadband = m.metric if field.unit_system == "metric" else m.us
            tag_id = f"{well_id}.{m.name}"
            rows.append(
                Row(
                    tag_id=tag_id,
                    path="/".join([ENTERPRISE, field.code, home[well], well_id, m.name]).lower(),
                    asset_id=well_id,
                    measurement=m.name,
                    source=m.source,
                    address=f"nsu={NAMESPACE};s={well_id}.{m.code}" if m.source == "field_scada" else tag_id,
                    data_type=m.data_type,
                    unit=unit,
                    range_low=low,
                    range_high=high,
                    deadband=deadband,
                    deadband_type=m.deadband_type,
                    sampling_ms="1000",
                    owner=OWNER,
                    description=m.description.format(well=well_id),
                )
            )
    return rows


def line_rows() -> list[Row]:
    """The tags of the plant's stations. Counters start again at 0 after `demo.plant_line.MODULUS` - 1 units."""
    counter = "units since the counter was last 0; 16 bits wide."
    told = {
        "execution": ("text", "", "What the machine does, in the words of its controller."),
        "mode": ("text", "", "In which mode its controller is."),
        "fault_code": ("text", "", "Reason that its controller raises for a stop; none where it raises none."),
        "good_count": ("long", "65535", f"Good {counter}"),
        "scrap_count": ("long", "65535", f"Scrapped {counter}"),
        "rework_count": ("long", "65535", f"To be reworked: {counter}"),
    }
    rows = []
    for station in STATIONS:
        for name, (data_type, high, description) in told.items():
            low = "0" if high else ""
            rows.append(_line_row(station, name, data_type, description, range_low=low, range_high=high))
        for signal in SIGNALS:
            rows.append(
                _line_row(
                    station,
                    signal.name,
                    "double",
                    signal.description,
                    unit=signal.unit,
                    range_low="0",
                    range_high=f"{signal.high:g}",
                    deadband=f"{signal.deadband:g}",
                    deadband_type="absolute",
                    sampling_ms="60000",
                )
            )
    return rows


def _line_row(station: str, name: str, data_type: str, description: str, **more: str) -> Row:
    line = STATIONS[station]
    is_agent = line.vocabulary == "mtconnect"
    usual = {"unit": "1", "deadband": "", "deadband_type": "", "sampling_ms": "1000"}
    return Row(
        tag_id=f"{station}.{name}",
        path=f"{PLANT_PATH}/{line.name.lower()}/{station.lower()}/{name}",
        asset_id=station,
        measurement=name,
        source=AGENT_SOURCE if is_agent else PLANT_SOURCE,
        address=f"{station}:{name}" if is_agent else "",
        data_type=data_type,
        owner=line.name.lower(),
        description=description,
        **(usual | more),
    )


@dataclass(frozen=True)
class Register:
    """Where the terminal unit of a field keeps one measured value. `offset` counts from zero."""

    tag_id: str
    unit_id: int
    function: int  # 1 coil, 2 discrete input, 3 holding register, 4 input register
    offset: int
    type: str  # float32, int32, bool
    word_order: str = "big"
    scale: float | None = None  # engineering value = register value * scale


# Each field bought its terminal units from another maker. Unit id, function of the rates, of the flag, type, word order
UNITS = {
    "EAGLE": (1, 4, 2, "float32", "big"),
    "MESQUITE": (2, 4, 2, "float32", "little"),
    "NORDLYS": (3, 3, 1, "int32", "big"),
}
NORDLYS_SCALE = {"oil_rate": 0.01, "gas_rate": 0.1, "water_injection_rate": 0.01}
PLACE = {"oil_rate": 0, "gas_rate": 2, "water_injection_rate": 4}


def registers() -> list[Register]:
    """What `include/ot/sources/field_rtu.yaml` declares. Of the n-th well of a field, from zero, rates stand at 8 n."""
    network = demo_network()
    found, ordinal = [], {}
    for well, well_id in enumerate(network.well_ids):
        field = FIELDS[network.field[well]]
        n = ordinal[field.code] = ordinal.get(field.code, -1) + 1
        unit_id, rates, flags, kind, order = UNITS[field.code]
        for m in measurements_of(network.kind[well] == WATER_INJECTOR):
            if m.source != "field_rtu":
                continue
            tag_id = f"{well_id}.{m.name}"
            if m.name == "is_running":
                found.append(Register(tag_id, unit_id, flags, n, "bool"))
            else:
                scale = NORDLYS_SCALE[m.name] if kind == "int32" else None
                found.append(Register(tag_id, unit_id, rates, STRIDE * n + PLACE[m.name], kind, order, scale))
    return found


def as_csv(rows: list[Row]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    names = [f.name for f in fields(Row)]
    lines.writerow(names)
    lines.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()


def files() -> dict[Path, str]:
    """What belongs into each committed file."""
    return {ENERGYPACK: as_csv(well_rows()), FACTORYPACK: as_csv(line_rows())}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.scada_tags", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    chosen = parser.parse_args(arguments)
    differs = [path for path, text in files().items() if not path.is_file() or path.read_text() != text]
    for path in differs:
        if not chosen.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[path])
        print(f"{'Differs' if chosen.check else 'Written'}: {path.relative_to(ROOT)}")
    return 1 if chosen.check and differs else 0


if __name__ == "__main__":
    sys.exit(main())
