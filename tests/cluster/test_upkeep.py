"""Trino merges files beside writers that go on: nothing is lost, and what closes and writers rely on stays."""

import itertools
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow.fs import FileSelector
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table.snapshots import Operation

from include import engine_trino, lakehouse, maintain
from include import lakehouse_upkeep as upkeep
from include.catalog import calendar
from include.engine import engine
from include.ops.store import read
from include.ot import lake
from include.ot.tables import ensure
from include.settings import settings
from stack.parity import close_now
from tests.cluster.sample_lake import PERMIAN

pytestmark = [pytest.mark.platform, pytest.mark.torture]

LATER = timedelta(minutes=1)
_names = (f"raw.upkeep__{n}" for n in itertools.count())
SCHEMA = pa.schema([("id", pa.int64()), ("said", pa.string()), ("_commit_lsn", pa.int64())])


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": ids, "said": [f"row {n}" for n in ids], "_commit_lsn": ids}, schema=SCHEMA)


@pytest.fixture
def log(trino) -> str:
    """An append-only table of ten small files, the last of which says how far its writer has come."""
    name = next(_names)
    lakehouse.ensure_table(name, SCHEMA)
    for n in range(10):
        lakehouse.append(name, rows(n), {"hnai.position": str(n), "kafka.connect.offsets": str(n)})
    return name


@pytest.fixture
def ages(monkeypatch):
    """Set ages of retention for one test."""

    def set_ages(**values):
        kept = {**settings.retention.model_dump(), **values}
        fake = SimpleNamespace(retention=SimpleNamespace(**kept), workspaces_dir=settings.state_dir / "no workspaces")
        monkeypatch.setattr(maintain, "settings", fake)

    return set_ages


def ids(name: str) -> list[int]:
    return sorted(lakehouse.table(name).scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())


def test_trino_merges_small_files_and_tells_what_a_scan_took(log):
    done = upkeep.compact(log)

    assert (done.files_before, done.files_after, done.rows) == (10, 1, 10) and ids(log) == list(range(10))
    assert all(seconds > 0 for seconds in done.scan_s)
    table = lakehouse.table(log)
    assert table.metadata.format_version == 2
    assert table.current_snapshot().summary.operation == Operation.REPLACE  # Iceberg's word for: no row changed
    assert upkeep.compact(log).files_before == 1  # nothing is due any more


def test_appends_go_on_while_files_are_merged_and_none_is_lost(log):
    stop, written = Event(), list(range(10))

    def write() -> None:
        for n in itertools.count(100):
            if stop.is_set():
                return
            lakehouse.append(log, rows(n), {"hnai.position": str(n)})
            written.append(n)

    writer = Thread(target=write)
    writer.start()
    try:
        during = []
        for _ in range(3):
            before = len(written)
            maintain._again(lambda: upkeep.compact(log, min_files=2))
            during.append(len(written) - before)
    finally:
        stop.set()
        writer.join()

    assert all(during) and ids(log) == written
    assert upkeep.file_count(log) < len(written)


def test_how_far_a_writer_has_come_outlives_merges_and_expiry(log):
    upkeep.compact(log)
    upkeep.expire(log, upkeep.now() + LATER)

    table, found = lakehouse.table(log), []
    snapshot = table.current_snapshot()
    while snapshot is not None:
        found.append(snapshot.summary.additional_properties.get("hnai.position"))
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    assert found == [None, "9"]  # Trino's merge, and the commit before it


def test_tagged_snapshots_and_those_of_closes_stay_readable(log):
    locked, referred = (s.snapshot_id for s in lakehouse.table(log).metadata.snapshots[3:5])
    with lakehouse.table(log).manage_snapshots() as manage:
        manage.create_tag(locked, "locked-2026-10")

    upkeep.compact(log)
    upkeep.expire(log, upkeep.now() + LATER, keep=[referred])
    upkeep.remove_orphans(log, upkeep.now() + LATER)

    table = lakehouse.table(log)
    assert table.scan(snapshot_id=locked).to_arrow().num_rows == 4
    assert table.scan(snapshot_id=referred).to_arrow().num_rows == 5
    assert ids(log) == list(range(10)) and "locked-2026-10" in table.metadata.refs


def test_the_mirror_goes_on_after_a_merge_and_its_readings_lie_in_order(trino):
    ensure()
    at = lake.Position(7, {"spool": 3})
    for n in range(8):
        readings = lakehouse.table("ot.readings")
        one = {f.name: None for f in readings.schema().fields} | {
            "tag_id": f"T{n % 2}",
            "observed_at": upkeep.now().replace(hour=12, minute=n, second=0, microsecond=0),
            "sequence": 0,
            "quality": 0,
            "clock": "source",
            "received_at": upkeep.now(),
            "landed_at": upkeep.now(),
            "_segment_id": "spool-000000000003",
            "_ordinal": n,
        }
        arrow = pa.Table.from_pylist([{k: v for k, v in one.items() if k in readings.schema().as_arrow().names}])
        lakehouse.append("ot.readings", arrow, at.summary())
    seen = lakehouse.table("ot.readings").metadata.current_snapshot_id

    maintain._again(lambda: upkeep.compact("ot.readings", min_files=2, sort_by=maintain.SORTED_BY["ot.readings"]))

    readings = lakehouse.table("ot.readings")
    assert lake.position(readings) == at and lake.has_only_upkeep_since(readings, seen)
    mine = readings.scan(row_filter="tag_id in ('T0', 'T1')")
    for task in mine.plan_files():
        held = ArrowScan(readings.metadata, readings.io, readings.schema(), AlwaysTrue()).to_table([task])
        order = [(row["tag_id"], row["observed_at"]) for row in held.to_pylist()]
        assert order == sorted(order)
    assert mine.to_arrow().num_rows == 8 and len(list(mine.plan_files())) <= 2


def test_the_hourly_step_reports_files_and_scans(log, ages):
    ages(raw_snapshots_hours=0)
    done = {step.table_name: step for step in maintain.compact_raw("upkeep on trino")}

    step = done[log]
    assert (step.files_before, step.files_after) == (10, 1) and step.snapshots_after < step.snapshots_before
    assert f"{log}: compact: files 10 → 1" in str(step) and ", scan " in str(step)
    (row,) = read("maintenance", run_id="upkeep on trino", table_name=log, action="compact")
    assert row["scan_s_before"] > 0 and row["scan_s_after"] > 0


def test_an_old_workspace_is_dropped_with_its_files_and_a_young_one_stays(trino, ages, monkeypatch):
    close = replace(close_now(calendar("permian"), *map(str, PERMIAN)), run_id="an old close")
    monkeypatch.setattr(engine_trino, "WORKSPACES", close.namespace)  # those of other tests stay
    engine("distributed").fill(close, {"dim_well": rows(1, 2)})
    location = lakehouse.table(f"{close.namespace}.dim_well").location()
    ages(workspaces_days=1, runs_days=30)
    maintain.drop_workspaces("test")
    assert engine_trino.tables(close.namespace) == ["dim_well"]

    ages(workspaces_days=-1, runs_days=30)
    (step,) = [s for s in maintain.drop_workspaces("test") if s.table_name == close.namespace]

    assert step.removed == 1 and not lakehouse.catalog().namespace_exists(close.namespace)
    io = lakehouse.table("ops.maintenance").io
    scheme, netloc, path = io.parse_location(location)
    listed = io.fs_by_scheme(scheme, netloc).get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    assert [f.path for f in listed if f.is_file] == []
