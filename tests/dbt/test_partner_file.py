"""The Norwegian daily export: volumes stay as the file writes them, and months add up to the operator's own sheet."""

import csv
import shutil
from datetime import date
from decimal import Context, Decimal
from pathlib import Path

import duckdb
import pytest

from include.build import build_layer

pytestmark = pytest.mark.platform
HEADER = (
    "DATEPRD,WELL_BORE_CODE,NPD_WELL_BORE_CODE,NPD_WELL_BORE_NAME,NPD_FIELD_CODE,NPD_FIELD_NAME,NPD_FACILITY_CODE,"
    "NPD_FACILITY_NAME,ON_STREAM_HRS,AVG_DOWNHOLE_PRESSURE,AVG_DOWNHOLE_TEMPERATURE,AVG_DP_TUBING,AVG_ANNULUS_PRESS,"
    "AVG_CHOKE_SIZE_P,AVG_CHOKE_UOM,AVG_WHP_P,AVG_WHT_P,DP_CHOKE_SIZE,BORE_OIL_VOL,BORE_GAS_VOL,BORE_WAT_VOL,"
    "BORE_WI_VOL,FLOW_KIND,WELL_TYPE"
)
PRODUCED = ("BORE_OIL_VOL", "BORE_GAS_VOL", "BORE_WAT_VOL", "BORE_WI_VOL")
FIGURES = "oil_sm3, gas_sm3, water_sm3, water_injected_sm3"
SHEET = Context(prec=15)  # the monthly sheet holds no more than 15 significant digits


def line(day: str, well: str, hours: str, volumes: str, kinds: str) -> str:
    return f"{day},NO 1/2-{well},11,1/2-{well},22,TROLLHEIM,33,TROLL A,{hours},,,,,50,%,12.5,,,{volumes},{kinds}"


def land(path: Path) -> int:
    """Land a file as the inbox would; the ordinal of its batch."""
    from include.land import files
    from include.settings import settings

    folder = settings.inbox_dir / "npd"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / path.name)
    (transfer,) = [t for t in files.land(files.discover()) if t.file_name == path.name]
    assert transfer.state == "landed", transfer
    return transfer.batch_ordinal


def test_a_file_s_volumes_stay_as_written(tmp_path, operator, close_of):
    """18 decimals, an offset below zero, a well typed as injector that produces, a day of 25 hours."""
    path = tmp_path / "trollheim_production.csv"
    path.write_text(
        "\n".join(
            [
                HEADER,
                line("2023-10-29", "A", "25.0", "631.47,90439.09,-457.84,", "production,OP"),
                line("2023-10-29", "B", "24.0", ",,,0.008047083333333333", "injection,WI"),
                line("2023-10-29", "C", "24.0", "1.5,2,3,", "production,WI"),
                line("2023-10-30", "A", "24.0", "9,9,9,", "production,OP"),
            ]
        )
        + "\n"
    )
    ordinal = land(path)
    close = close_of("north_sea", date(2023, 10, 29), date(2023, 10, 29), "file", files=ordinal)
    for layer in ("stage", "mart"):
        build_layer(close, layer)
    con = duckdb.connect(str(close.workspace), read_only=True)

    got = con.sql(
        f"select well_id, well_type, flow_kind, hours_on, {FIGURES} from fct_well_production_daily order by 1"
    )
    assert got.fetchall() == [
        (
            "NO 1/2-A",
            "oil_producer",
            "production",
            25,
            Decimal("631.47"),
            Decimal("90439.09"),
            Decimal("-457.84"),
            None,
        ),
        ("NO 1/2-B", "water_injector", "injection", 24, None, None, None, Decimal("0.008047083333333333")),
        ("NO 1/2-C", "water_injector", "production", 24, Decimal("1.5"), Decimal(2), Decimal(3), None),
    ]
    known = con.sql("select well_id, field_code, origin, first_production_date from dim_well where origin = 'npd'")
    assert ("NO 1/2-A", "TROLLHEIM", "npd", date(2023, 10, 29)) in known.fetchall()


def test_volve_equals_the_file_and_the_operator_s_monthly_sheet(real_files, operator, close_of):
    """Each of 15,634 well-days to the last digit, and each of 526 well-months to every digit that the sheet has."""
    ordinal = land(real_files / "volve_daily_production.csv")
    close = close_of("north_sea", date(2007, 9, 1), date(2016, 12, 1), "volve", files=ordinal)
    for layer in ("stage", "mart"):
        build_layer(close, layer)
    con = duckdb.connect(str(close.workspace), read_only=True)
    built = {
        (well, day): figures
        for well, day, *figures in con.sql(
            f"select well_id, production_date, {FIGURES} from fct_well_production_daily where field_code = 'VOLVE'"
        ).fetchall()
    }

    with (real_files / "volve_daily_production.csv").open(newline="") as lines:
        daily = list(csv.DictReader(lines))
    filed = {
        (r["WELL_BORE_CODE"], date.fromisoformat(r["DATEPRD"][:10])): [
            Decimal(r[c]) if r[c] else None for c in PRODUCED
        ]
        for r in daily
    }
    assert len(filed) == 15_634
    assert built == filed

    name_of = {r["WELL_BORE_CODE"]: r["NPD_WELL_BORE_NAME"] for r in daily}
    months: dict[tuple[str, int, int], list[Decimal]] = {}
    for (well, day), figures in built.items():
        sums = months.setdefault((name_of[well], day.year, day.month), [Decimal(0)] * 4)
        for i, figure in enumerate(figures):
            sums[i] += figure or 0
    with (real_files / "volve_monthly_production.csv").open(newline="") as lines:
        sheet = [r for r in csv.DictReader(lines) if r["Wellbore name"]]  # the first row holds the units
    reported = {
        (r["Wellbore name"], int(float(r["Year"])), int(float(r["Month"]))): [
            Decimal(r[c] or 0) for c in ("Oil", "Gas", "Water", "WI")
        ]
        for r in sheet
    }
    assert len(reported) == 526
    assert {k: [SHEET.plus(v) for v in sums] for k, sums in months.items()} == reported
