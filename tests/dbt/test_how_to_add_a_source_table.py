"""The how-to is followed word by word in a copy of the project: its table is declared, and its figure built."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import ROOT, postgres_dsn

pytestmark = pytest.mark.platform
PAGE = ROOT / "docs" / "how-to" / "add-a-source-table-and-a-mart.md"
SOURCES = "dbt/models/energypack/staging/fieldops/_fieldops__sources.yml"
FOLLOW = """
import datetime
import duckdb, psycopg
import pyarrow as pa
from include import lakehouse
from include.build import build_layer, run_dbt
from include.catalog import marts, source
from include.land.raw_table import ensure
from include.land.source_schema import read_columns
from include.land.source_setup import connect_source
from include.publish.freeze import Close
from pathlib import Path

table = source("fieldops").table("pump_checks")
with connect_source("fieldops") as con:
    columns = read_columns(con, [("public", "pump_checks")])["public", "pump_checks"]
    rows = con.execute("select id, well_id, checked_at, amps, is_ok, note from pump_checks").fetchall()
raw = ensure(table, columns)
schema = raw.schema().as_arrow()
landed = [
    dict(zip(("id", "well_id", "checked_at", "amps", "is_ok", "note"), row))
    | {"checked_at_utc": row[2].replace(tzinfo=datetime.UTC) + datetime.timedelta(hours=6)}
    | {"_op": "r", "_epoch": 1, "_commit_lsn": 1000, "_lsn": 1000, "_seq": n}
    for n, row in enumerate(rows)
]
lakehouse.append("raw.fieldops__pump_checks", pa.Table.from_pylist(landed, schema=schema))
day, at = datetime.date(2024, 2, 10), datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)
cut_off = {"fieldops": {"epoch": 1, "commit_lsn": 1000}}
cut_off |= {feed: {"epoch": 0, "commit_lsn": 0} for feed in ("npd", "flow_computer")}
close = Close("energypack", "permian", day, day, "how-to-table", "test", {}, cut_off, {}, at, at)
for layer in ("stage", "mart"):
    build_layer(close, layer)
con = duckdb.connect(str(close.workspace), read_only=True)
print("built", *con.sql("select * from fct_pump_check_daily").fetchall())
print("publishes", [m.name for m in marts("energypack") if "pump" in m.name])
unit = run_dbt(["test", "--select", "fct_pump_check_daily,test_type:unit"], None, Path("unit"), target="plain")
print("unit tests", [str(r.status) for r in unit.result.results])
"""


def blocks() -> dict[str, str]:
    """The page's blocks by their first line, which names the file."""
    return dict(re.findall(r"```\w+\n(?:#|--) ([^\n]+)\n(.*?)```", PAGE.read_text(), flags=re.S))


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def test_the_page_works_as_it_stands(tmp_path, operator):
    import psycopg

    for folder in ("include", "dbt"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "target"))
    page = blocks()
    well = operator["wells"].to_pylist()[0]
    assert well["field_code"] == "EAGLE"
    with psycopg.connect(postgres_dsn("fieldops", "fieldops")) as con:
        con.execute("create table if not exists wells (well_id text primary key)")
        con.execute(page["in the database fieldops"])
        con.execute("insert into wells (well_id) values (%s)", [well["well_id"]])
        con.execute(
            "insert into pump_checks values (1, %(w)s, '2024-02-10 08:00', 10.01, true, null), "
            "(2, %(w)s, '2024-02-11 06:59', 10.02, false, 'noisy'), (3, %(w)s, '2024-02-11 07:00', 50, true, null)",
            {"w": well["well_id"]},
        )

    run(tmp_path, "-m", "include.add_table", "fieldops.pump_checks")

    assert (tmp_path / SOURCES).read_text().endswith("\n" + page.pop(f"{SOURCES}: what is written"))
    for name, content in page.items():
        if name.startswith("dbt/"):
            (tmp_path / name).write_text(content)
    said = run(tmp_path, "-c", FOLLOW).splitlines()
    (built,) = [line for line in said if line.startswith("built ")]
    assert "datetime.date(2024, 2, 10)" in built and built.endswith("2, 1, Decimal('10.015000'))")
    assert "publishes ['fct_pump_check_daily']" in said
    assert "unit tests ['pass']" in said
