"""The how-to is followed word by word in a copy of the project: its file lands, and its wells reach the marts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import ROOT

pytestmark = pytest.mark.platform
PAGE = ROOT / "docs" / "how-to" / "add-a-file-feed.md"
UNION = "dbt/models/energypack/intermediate/int_file_well_days.sql"
FOLLOW = """
import datetime, json, sys
import duckdb
from include.build import build_layer
from include.land import files
from include.publish.freeze import Close

ordinal = None
for transfer in files.land(files.discover("kvitnes.daily_report")):
    print(transfer)
    ordinal = transfer.batch_ordinal
files.prepare()
days = datetime.date(2024, 5, 7), datetime.date(2024, 5, 8)
at = datetime.datetime(2024, 6, 1, tzinfo=datetime.timezone.utc)
cut_off = {"fieldops": {"epoch": 1, "commit_lsn": 1000}}
for feed in ("npd", "flow_computer", "kvitnes"):
    cut_off[feed] = {"epoch": 0, "commit_lsn": ordinal if feed == "kvitnes" else 0}
close = Close("energypack", "north_sea", *days, "how-to", "test", {}, cut_off, {}, at, at)
for layer in ("stage", "mart"):
    build_layer(close, layer)
con = duckdb.connect(str(close.workspace), read_only=True)
of = "from {} where origin = 'kvitnes' order by 1, 2"
columns = "production_date, well_id, hours_on, oil_reported, oil_sm3, gas_sm3, water_sm3"
for row in con.sql(f"select {columns} " + of.format("fct_well_production_daily")).fetchall():
    print("day", *row)
for row in con.sql("select well_id, well_name, field_code " + of.format("dim_well")).fetchall():
    print("well", *row)
for row in con.sql("select facility_id, field_code " + of.format("dim_facility")).fetchall():
    print("facility", *row)
"""


def blocks() -> dict[str, str]:
    """The page's blocks by their first line, which names the file."""
    found = re.findall(r"```\w+\n(?:#|--) ([^\n]+)\n(.*?)```", PAGE.read_text(), flags=re.S)
    return {name: content for name, content in found}


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project with the page's files in it."""
    for folder in ("include", "dbt"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "target"))
    page = blocks()
    for name, content in page.items():
        if name.endswith((".yml", ".sql")):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
    union = tmp_path / UNION
    head, _, last = union.read_text().rpartition("\n)\n")
    union.write_text(f"{head}\n),\n\n{page[f'{UNION}: the CTE']}{last}{page[f'{UNION}: the last line']}")
    return tmp_path


def test_the_page_works_as_it_stands(project, operator):
    from include.settings import settings

    name, content = next((name.split()[0], text) for name, text in blocks().items() if ".csv" in name)
    settings.inbox_dir.mkdir(parents=True, exist_ok=True)
    (settings.inbox_dir / name).write_bytes(content.encode("latin-1"))
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    said = done.stdout.splitlines()
    assert f"kvitnes.daily_report: {name}: landed, 4 rows landed, 0 in quarantine" in said
    days = [line.split() for line in said if line.startswith("day ")]
    assert [(d[1], d[3], float(d[4])) for d in days] == [
        ("2024-05-07", "35/8-K-1", 24.0),
        ("2024-05-07", "35/8-K-2", 12.5),
        ("2024-05-08", "35/8-K-1", 24.0),
        ("2024-05-08", "35/8-K-2", 24.0),
    ]
    assert [d[5].rstrip("0").rstrip(".") for d in days] == ["1234.5", "402.123456789", "1229", "None"]
    assert [d[6] for d in days] == [d[5] for d in days]  # Sm3 stay as reported
    assert [float(d[7]) for d in days] == [210300.25, 61000, 209950, 61800]
    assert [float(d[8]) for d in days] == [88.75, -3.1, 89, 55]
    assert [line for line in said if line.startswith(("well ", "facility "))] == [
        "well NO 35/8-K-1 35/8-K-1 KVITNES",
        "well NO 35/8-K-2 35/8-K-2 KVITNES",
        "facility KVITNES A KVITNES",
    ]
