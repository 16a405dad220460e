"""Upkeep lowers file counts, changes no figure, and removes nothing that is young or still referred to."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from include import lakehouse, maintain
from include import lakehouse_upkeep as upkeep
from include.ops.store import read
from include.publish.publish import publish
from include.publish.seal import close_rows, live
from tests.publish import tiny

pytestmark = pytest.mark.platform
DAYS = [f"2026-11-{day:02}" for day in range(1, 6)]
HOUR = timedelta(hours=1)


@pytest.fixture
def ages(monkeypatch):
    """Set ages of retention for one test: `ages(orphans_days=0)`."""

    def set_ages(**values):
        kept = {**maintain.settings.retention.model_dump(), **values}
        fake = SimpleNamespace(retention=SimpleNamespace(**kept), workspaces_dir=maintain.settings.workspaces_dir)
        monkeypatch.setattr(maintain, "settings", fake)

    return set_ages


def five_days(site: str, *, singly: bool = False) -> dict:
    """Five files landed, their days closed by one run, or by one each."""
    ids = {}
    for n, day in enumerate(DAYS):
        ids = tiny.land(site, {("A-1", day): str(n), ("B-1", day): "2"}, ids)
    for first, last in [(d, d) for d in DAYS] if singly else [(DAYS[0], DAYS[-1])]:
        publish(tiny.close_days(site, first, last))
    return ids


def test_upkeep_lowers_file_counts_and_changes_no_figure(site, ages):
    five_days(site, singly=True)
    shown = [tiny.published(mart, site) for mart in ("fct_well_daily", "fct_field_daily", "fct_field_monthly")]
    raw, before = lakehouse.table(tiny.RAW).scan().to_arrow().num_rows, tiny.files(site)
    raw_files = upkeep.file_count(tiny.RAW)

    ages(raw_snapshots_hours=0)
    done = {step.table_name: step for step in maintain.compact_raw("test")}
    maintain.expire("test")

    assert [tiny.published(m, site) for m in ("fct_well_daily", "fct_field_daily", "fct_field_monthly")] == shown
    assert lakehouse.table(tiny.RAW).scan().to_arrow().num_rows == raw
    assert upkeep.file_count(tiny.RAW) < raw_files
    assert before["fct_well_daily"] == (5, 0) and tiny.files(site)["fct_well_daily"] == (1, 0)
    assert done[tiny.RAW].snapshots_after < done[tiny.RAW].snapshots_before
    recorded = read("maintenance", run_id="test", table_name=tiny.RAW, action="compact")[-1]
    assert recorded["files_before"] == raw_files and recorded["files_after"] < raw_files


def test_a_close_after_upkeep_still_replaces_its_day_alone(site):
    ids = five_days(site)
    maintain.expire("test")
    tiny.land(site, {("A-1", DAYS[2]): "100"}, ids)

    publish(tiny.close_days(site, DAYS[2]))

    wells = {(row[0], row[2]): row[3] for row in tiny.published("fct_well_daily", site)}
    assert wells[("A-1", DAYS[2])] == "100.000000" and wells[("A-1", DAYS[3])] == "3.000000"
    assert len(wells) == 10


def test_snapshots_that_recent_closes_refer_to_are_kept(site, ages):
    ids = five_days(site)
    tiny.land(site, {("A-1", DAYS[0]): "100"}, ids)
    second = tiny.close_days(site, DAYS[0])
    publish(second)
    sealed = live(close_rows(tiny.PACK, site, second.from_date, second.to_date))[f"{DAYS[0]}@{site}"]

    ages(snapshots_days=HOUR / timedelta(days=1))
    maintain.expire("test")

    target = lakehouse.table("tinypack.fct_well_daily")
    assert target.snapshot_by_id(sealed.snapshot_ids["fct_well_daily"])
    assert target.snapshot_by_id(second.history["fct_well_daily"])


def test_orphans_go_by_age_and_nothing_else_goes(site, ages):
    tiny.land(site, {("A-1", DAYS[0]): "5"})
    publish(tiny.close_days(site, DAYS[0]))
    shown = tiny.published("fct_well_daily", site)
    target = lakehouse.table("tinypack.fct_well_daily")
    orphan = f"{target.location()}/data/left-by-a-killed-writer.parquet"
    with target.io.new_output(orphan).create() as file:
        file.write(b"never committed")

    maintain.remove_orphans("test")
    assert target.io.new_input(orphan).exists()  # younger than a day

    ages(orphans_days=0)
    upkeep_of = {step.table_name: step for step in maintain.remove_orphans("test")}
    assert not target.io.new_input(orphan).exists()
    assert upkeep_of["tinypack.fct_well_daily"].removed >= 1
    assert tiny.published("fct_well_daily", site) == shown
    assert lakehouse.connect().sql("select count(*) from lakehouse.tinypack.fct_well_daily").fetchone()[0] > 0


def test_a_writer_in_mid_work_is_not_disturbed(site, ages):
    tiny.land(site, {("A-1", DAYS[0]): "5"})
    target = lakehouse.table(tiny.RAW)
    rows = target.scan(row_filter=f"calendar == '{site}'").to_arrow()
    prepared = lakehouse.appended(target, rows)  # its files are written, its commit is not

    maintain.remove_orphans("test")
    lakehouse.commit_many([prepared])

    assert target.refresh().scan(row_filter=f"calendar == '{site}'").to_arrow().num_rows == 2 * rows.num_rows


def test_old_workspaces_are_dropped_and_young_ones_stay(site, ages):
    close = tiny.close_days(site, DAYS[0])
    beside = close.workspace.with_suffix(".dbt")
    beside.mkdir()

    maintain.drop_workspaces("test")
    assert close.workspace.exists()

    ages(workspaces_days=0)
    maintain.drop_workspaces("test")
    assert not close.workspace.exists() and not beside.exists()
