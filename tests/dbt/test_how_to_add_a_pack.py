"""The how-to is followed word by word in a copy of the project: a third pack closes, touching its own folders alone."""

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from include.settings import ROOT

PAGE = ROOT / "docs" / "how-to" / "add-a-pack.md"
PACK = "waterpack"
ROOMS = ("dags", "plugins", "include", "dbt", "expectations")
IGNORED = shutil.ignore_patterns("__pycache__", "target", "logs")
FOLLOW = """
import json
from include.build import build_layer
from include.catalog import calendar, packs
from include.gate.run import check_layer
from include.land import files
from include.publish.freeze import freeze
from include.publish.publish import publish
from include.publish.report import write_report
from include import lakehouse

print("packs", *packs())
print("dag", calendar("riverton").dag_id)
for transfer in files.land(files.discover("pumping.stations")):
    print(transfer)
close = freeze("waterpack", "riverton", "2026-01-31", "2026-01-31", "how-to", "the page")
print("reads", close.cut_off)

def gate(layer):
    report = check_layer(close, layer)
    print("gate", layer, len(report.results), *[w.expectation for w in report.warnings])
    assert not report.failures, report.what_on_call_needs()

gate("landing")
build_layer(close, "stage")
gate("stage")
build_layer(close, "mart")
gate("mart")
done = publish(close, who="a reader of the page")
print("published", *done.tables)
rows = lakehouse.table("waterpack.fct_pumping_daily").scan().to_arrow().sort_by("station_id").to_pylist()
columns = ("production_date", "station_id", "pumped_m3", "energy_kwh", "energy_kwh_per_m3")
for row in rows:
    print("row", *(row[name] for name in columns))
print("report", write_report(close))
"""
DAGS = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print(bag.import_errors, sorted(bag.dags))
"""


def blocks() -> dict[str, str]:
    """The page's blocks by their first line, which names the file."""
    found = re.findall(r"```\w+\n(?:#|--) ([^\n]+)\n(.*?)```", PAGE.read_text(), flags=re.S)
    return dict(found)


def contents(folder: Path) -> dict[str, str]:
    """Path -> digest of every file that git would see."""
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def project(tmp_path) -> tuple[Path, dict[str, str]]:
    """A copy of the project with the page's files in it, and what it held before."""
    folder = tmp_path / "project"
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=IGNORED)
    before = contents(folder)
    for name, content in blocks().items():
        if "/" in name:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return folder, before


def run(folder: Path, *arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def test_a_pack_is_a_folder_name(project):
    """Nothing that was there is changed, and what is new lies in folders of the pack's name."""
    folder, before = project
    after = contents(folder)

    assert {name: after.get(name) for name in before} == before
    new = sorted(set(after) - set(before))
    assert new and all(PACK in Path(name).parts[:-1] for name in new)
    assert {Path(name).parts[0] for name in new} == {"dbt", "expectations", "include"}
    assert sorted(name for name in blocks() if "/" in name) == new


@pytest.mark.platform
def test_the_page_works_as_it_stands(project, lake_platform):
    from include.settings import settings

    folder, before = project
    name = next(name for name in blocks() if "/" not in name)
    settings.inbox_dir.mkdir(parents=True, exist_ok=True)
    (settings.inbox_dir / name).write_text(blocks()[name])

    said = run(folder, "-c", FOLLOW).splitlines()

    assert said[0] == "packs energypack factorypack waterpack"
    assert "dag waterpack_daily_close_riverton" in said
    assert f"pumping.stations: {name}: landed, 4 rows landed, 0 in quarantine" in said
    assert "published dim_date fct_pumping_daily" in said
    assert [line for line in said if line.startswith("row ")] == [
        "row 2026-01-31 North 4800.000 2016.000 0.420000",
        "row 2026-01-31 South 0.000 35.500 None",
    ]
    gates = [line.split() for line in said if line.startswith("gate ")]
    assert [g[1] for g in gates] == ["landing", "stage", "mart"]
    assert gates[2][2:] == ["3", "expect_column_values_to_be_between"]  # South stood still: a warning, no stop
    report = Path(said[-1].removeprefix("report "))
    assert report.relative_to(settings.reports_dir).as_posix() == f"{PACK}/riverton/2026-01-31/v1.html"
    figures = json.loads(report.with_suffix(".json").read_text())["figures"]
    assert [(f["column"], f["value"]) for f in figures] == [("pumped_m3", "4800.000"), ("energy_kwh", "2051.500")]
    changed = {path for path, digest in contents(folder).items() if before.get(path) != digest}
    assert changed and all(PACK in Path(path).parts[:-1] for path in changed)


@pytest.mark.platform
def test_the_unit_test_of_the_page_passes(project):
    """As `make dbt` runs it."""
    folder, _ = project
    said = run(folder, "-m", "include.build", "dbt", "test", "--select", f"path:models/{PACK},test_type:unit")

    assert "PASS=1" in said and "ERROR=0" in said


@pytest.mark.platform
def test_the_pack_has_its_close_in_airflow(project, tmp_path):
    folder, _ = project
    airflow = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in airflow.items():
            patch.setenv(name, value)
        said = run(folder, "-c", DAGS, folder / "dags").splitlines()[-1]

    assert said.startswith("{} ") and "'waterpack_daily_close_riverton'" in said
