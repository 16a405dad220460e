"""Closes built by Trino: the figures of DuckDB, published, restated and rolled back by the same code."""

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from include import lakehouse
from include.build import build_layer, run_dbt
from include.catalog import MODELS, marts
from include.engine import engine
from include.engine_trino import connect, tables
from include.land import connect as land
from include.ops.store import read
from include.publish.freeze import freeze
from include.publish.publish import publish
from include.publish.rollback import roll_back
from stack import parity
from stack.parity import compared
from tests.cluster import sample_lake

pytestmark = pytest.mark.platform
TELLING = {  # marts that would say nothing about the engines without rows
    "energypack": (
        "fct_well_production_daily", "fct_well_scada_hourly", "fct_gas_measurement_hourly", "fct_well_test",
        "fct_field_production_monthly",
    ),
    "factorypack": (
        "fct_station_state", "fct_oee_station_shift", "fct_oee_order_shift", "fct_oee_site_shift", "fct_oee_accuracy",
        "fct_downtime_shift", "fct_genealogy_link", "fct_unit", "fct_station_visit", "fct_visit_value",
        "fct_trace_station_shift", "fct_trace_line_shift", "fct_lot_balance", "fct_transformation_balance",
        "fct_trace_exception", "fct_asset_hour", "fct_vision_inspection", "fct_vision_defect", "fct_vision_hour",
        "fct_vision_defect_shift",
    ),
}  # fmt: skip
CORRECTED_AT, CORRECTED_OIL = 2000, Decimal("123.456789")


def build(close, profile: str) -> dict[str, pa.Table]:
    """Both layers by the engine of a profile; the window of every mart, as publish reads it."""
    from include.publish.workspace import mart_rows

    by = engine(profile)
    results = [r for layer in ("stage", "mart") for r in build_layer(close, layer, by)]
    assert {r.status for r in results} <= {"success", "pass"}
    with by.opened(close) as workspace:
        return {mart.name: mart_rows(workspace, close, mart) for mart in marts(close.pack)}


@pytest.fixture(scope="module", autouse=True)
def without_kafka():
    """What has landed is told by the lake's own hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(land, "landed_position", sample_lake.position)
        yield


@pytest.fixture(scope="module")
def permian(landed):
    """A frozen close of two days with its marts by both engines."""
    first, last = map(str, sample_lake.PERMIAN)
    close = freeze("energypack", "permian", first, last, "first", "test", wait=False)
    return close, build(close, "embedded"), build(close, "distributed")


@pytest.fixture(scope="module")
def riverside(landed):
    first, last = map(str, sample_lake.SHIFTS)
    close = freeze("factorypack", "riverside", first, last, "shifts", "test", wait=False)
    return close, build(close, "embedded"), build(close, "distributed")


@pytest.fixture(scope="module")
def correction(permian) -> dict:
    """The reading of the first day that the source corrected after the first close, as it was before."""
    return sample_lake.correct_a_reading(CORRECTED_AT, CORRECTED_OIL)


@pytest.mark.parametrize("site", [pytest.param("permian", marks=pytest.mark.torture), "riverside"])
def test_every_mart_has_the_same_rows_on_both_engines(site, request):
    close, by_duckdb, by_trino = request.getfixturevalue(site)

    found = compared(close.pack, by_duckdb, by_trino)
    assert set(found) == {mart.name for mart in marts(close.pack)}
    assert {name: [str(d) for d in differing] for name, differing in found.items() if differing} == {}
    assert all(by_trino[name].num_rows for name in TELLING[close.pack])


def test_the_command_of_parity_names_every_mart_and_ends_well(landed, capsys):
    """Of the site whose figures come from a partner's file."""
    before, day = lakehouse.catalog().list_namespaces(), str(sample_lake.NORTH_SEA[0])

    assert parity.main(["--calendar", "north_sea", "--from", day]) == 0

    said = capsys.readouterr().out
    assert "Both sides give the same figures." in said
    assert all(f"  {mart.name} " in said for mart in marts("energypack"))
    assert lakehouse.catalog().list_namespaces() == before  # what it built is gone


@pytest.mark.parametrize("site", [pytest.param("permian", marks=pytest.mark.torture), "riverside"])
def test_trino_explains_every_model_that_was_compiled(site, request):
    from include.build import work_folder

    close, *_ = request.getfixturevalue(site)
    compiled = work_folder(close.workspace) / "compiled" / "hnai" / "models"
    models = sorted(compiled.rglob("*.sql"))
    models = [path for path in models if path.parent.suffix != ".yml"]  # what is below a yml is a test
    declared = {p.stem for p in MODELS.rglob("*.sql") if p.relative_to(MODELS).parts[0] in ("shared", close.pack)}
    assert {path.stem for path in models} == declared
    with connect(close.namespace) as connection:
        for path in models:
            cursor = connection.cursor()
            cursor.execute(f"explain (type validate) {path.read_text()}")
            assert cursor.fetchall() == [[True]], path.stem


@pytest.mark.torture
def test_a_build_that_is_cleared_replaces_its_tables_and_has_the_same_rows(permian):
    close, _, before = permian
    held = tables(close.namespace)

    again = build(close, "distributed")

    assert tables(close.namespace) == held  # nothing is left over from the exchange
    assert all(not differing for differing in compared(close.pack, before, again).values())
    formats = {lakehouse.table(f"{close.namespace}.{name}").metadata.format_version for name in held}
    assert formats == {2}


@pytest.mark.torture
def test_a_close_is_published_restated_and_rolled_back(permian, request):
    close, _, rows = permian
    first_day, last_day = map(str, sample_lake.PERMIAN)

    done = publish(close, who="ann", why="first")

    assert done.rows == {name: table.num_rows for name, table in rows.items()}
    published = lakehouse.table("energypack.fct_well_production_daily").scan().to_arrow().to_pylist()
    figures = {(r["well_id"], r["production_date"]): r["oil_sm3"] for r in published}
    request.getfixturevalue("correction")
    second = freeze("energypack", "permian", first_day, first_day, "second", "late ticket", wait=False)
    assert set(second.keys.values()) == {2}
    changed = build(second, "distributed")["fct_well_production_daily"].to_pylist()
    assert {r["oil_sm3"] != figures[r["well_id"], r["production_date"]] for r in changed} == {True, False}
    publish(second, who="bob")
    restated = [r for r in read("restatements", calendar="permian") if r["column_name"] == "oil_sm3"]
    assert {r["table_name"] for r in restated} == {
        "fct_well_production_daily", "fct_field_production_daily", "fct_field_production_monthly",
    }  # fmt: skip

    roll_back("energypack", f"{first_day}@permian", who="ann", why="the ticket was wrong")

    back = lakehouse.table("energypack.fct_well_production_daily").scan().to_arrow().to_pylist()
    assert {(r["well_id"], r["production_date"]): r["oil_sm3"] for r in back} == figures
    months = {
        (r["field_code"], r["month"]): r["oil_sm3"]
        for r in lakehouse.table("energypack.fct_field_production_monthly").scan().to_arrow().to_pylist()
    }
    first_months = {
        (r["field_code"], r["month"]): r["oil_sm3"] for r in rows["fct_field_production_monthly"].to_pylist()
    }
    assert months == first_months
    namespaces = {name[-1] for name in lakehouse.catalog().list_namespaces()}
    assert not any("rollback" in name for name in namespaces)  # the scratch of the months is gone
    assert {close.namespace, second.namespace} <= namespaces


@pytest.mark.torture
def test_a_source_row_that_one_side_alone_has_is_named(permian, correction):
    close, _, by_trino = permian
    cut_off = {**close.cut_off, "fieldops": {"epoch": 1, "commit_lsn": CORRECTED_AT}}
    later = build(replace(close, run_id="later", cut_off=cut_off), "embedded")

    found = compared(close.pack, later, by_trino)

    key = ("permian", correction["well_id"], correction["production_date"])
    reported = [d for d in found["fct_well_production_daily"] if d.column == "oil_reported"]
    assert [(d.key, d.left, d.right) for d in reported] == [(key, CORRECTED_OIL, correction["oil_volume"])]
    assert found["fct_field_production_daily"] and found["fct_field_production_monthly"] and not found["dim_well"]


@pytest.mark.torture
def test_dbt_s_unit_tests_pass_on_trino(landed, tmp_path):
    """The figures that were worked out by hand."""
    lakehouse.catalog().create_namespace("ws_unit_tests")
    outcome = run_dbt(["test", "--select", "test_type:unit"], "ws_unit_tests", tmp_path, target="distributed")

    assert outcome.exception is None
    assert [(r.node.name, r.message) for r in outcome.result.results if str(r.status) != "pass"] == []
    assert len(outcome.result.results) >= 50
    assert tables("ws_unit_tests") == []
