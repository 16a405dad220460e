"""Versions, restatements and the promise that publishing again changes nothing."""

import pytest

from include import lakehouse
from include.errors import PublishError, Superseded
from include.ops.store import read
from include.publish.publish import publish
from include.publish.seal import close_rows, live
from tests.publish import tiny

pytestmark = pytest.mark.platform
DAY, NEXT = "2026-11-05", "2026-11-06"
THREE_WELLS = {("A-1", DAY): "10.5", ("A-2", DAY): "20", ("B-1", DAY): "7.25"}


def restatements(site: str) -> list[tuple]:
    return [
        (r["table_name"], r["column_name"], r["old_value"], r["new_value"], r["version"])
        for r in read("restatements", calendar=site)
    ]


def seals(close) -> dict:
    return live(close_rows(close.pack, close.calendar, close.from_date, close.to_date))


def test_a_first_close_shows_every_mart_and_restates_nothing(site):
    tiny.land(site, THREE_WELLS)
    close = tiny.close_days(site, DAY)

    done = publish(close, who="ann", why="first")

    assert close.keys == {f"{DAY}@{site}": 1}
    assert tiny.published("fct_well_daily", site) == [
        ("A-1", "ALPHA", DAY, "10.500000"),
        ("A-2", "ALPHA", DAY, "20.000000"),
        ("B-1", "BETA", DAY, "7.250000"),
    ]
    assert tiny.published("fct_field_daily", site) == [
        ("ALPHA", DAY, "30.500000", "2"),
        ("BETA", DAY, "7.250000", "1"),
    ]
    assert done.restatements == 0 and restatements(site) == []
    (sealed,) = seals(close).values()
    assert sealed.version == 1
    assert sealed.snapshot_ids["dim_well"] == lakehouse.table("tinypack.dim_well").metadata.current_snapshot_id
    (row,) = read("closes", run_id=close.run_id, state="published")
    assert row["who"] == "ann" and row["why"] == "first" and row["verdict"] == "not gated"
    assert '"fct_well_daily":{"oil_sm3":"37.750000"}' in row["control_totals"]
    assert '"fct_well_daily":3' in row["row_counts"]


def test_publishing_again_writes_nothing(site):
    tiny.land(site, THREE_WELLS)
    close = tiny.close_days(site, DAY)
    publish(close)
    before, sealed = tiny.files(site), seals(close)

    again = publish(close)
    tiny.build(close)  # cleared from the build on: the same figures
    cleared = publish(close)

    assert again.publish_id is None and cleared.publish_id is None
    assert tiny.files(site) == before
    assert seals(close) == sealed
    assert len(read("closes", run_id=close.run_id)) == 2  # frozen, published
    assert restatements(site) == []


def test_a_second_version_restates_exactly_what_was_corrected(site):
    ids = tiny.land(site, THREE_WELLS)
    publish(tiny.close_days(site, DAY))
    tiny.land(site, {("A-1", DAY): "11"}, ids)

    second = tiny.close_days(site, DAY, why="late ticket")
    done = publish(second)

    assert list(second.keys.values()) == [2]
    assert restatements(site) == [
        ("fct_field_daily", "oil_sm3", "30.500000", "31.000000", 2),
        ("fct_field_monthly", "oil_sm3", "30.500000", "31.000000", 2),
        ("fct_well_daily", "oil_sm3", "10.500000", "11.000000", 2),
    ]
    assert done.restatements == 3
    causes = {r["cause"] for r in read("restatements", calendar=site)}
    assert len(causes) == 1
    (cause,) = causes
    assert cause.startswith("late ticket; tiny.readings: u at 2026-11-24 12:00:00Z (reading_id ")


def test_a_cleared_second_version_restates_once(site):
    ids = tiny.land(site, THREE_WELLS)
    publish(tiny.close_days(site, DAY))
    tiny.land(site, {("A-1", DAY): "11"}, ids)
    second = tiny.close_days(site, DAY)
    publish(second)

    publish(second)

    assert len(restatements(site)) == 3


def test_late_data_changes_nothing_until_a_new_version(site):
    ids = tiny.land(site, THREE_WELLS)
    first = tiny.close_days(site, DAY)
    publish(first)
    shown = tiny.published("fct_well_daily", site)
    tiny.land(site, {("A-1", DAY): "99"}, ids)

    tiny.build(first)  # cleared: the same cut-off
    publish(first)

    assert tiny.published("fct_well_daily", site) == shown


def test_a_row_deleted_at_the_source_disappears_with_its_figures(site):
    ids = tiny.land(site, THREE_WELLS)
    publish(tiny.close_days(site, DAY))
    tiny.land(site, {("B-1", DAY): None}, ids)

    publish(tiny.close_days(site, DAY))

    assert [row[0] for row in tiny.published("fct_well_daily", site)] == ["A-1", "A-2"]
    gone = [r for r in read("restatements", calendar=site) if r["change"] == "disappeared"]
    assert {(r["table_name"], r["column_name"], r["old_value"], r["new_value"]) for r in gone} >= {
        ("fct_well_daily", "oil_sm3", "7.250000", None),
        ("fct_field_daily", "oil_sm3", "7.250000", None),
    }


def test_two_days_share_a_month_and_neither_touches_the_other(site):
    ids = tiny.land(site, {**THREE_WELLS, ("A-1", NEXT): "1", ("B-1", NEXT): "2"})
    publish(tiny.close_days(site, DAY))
    publish(tiny.close_days(site, NEXT))

    assert tiny.published("fct_field_monthly", site) == [
        ("ALPHA", "2026-11-01", "31.500000"),
        ("BETA", "2026-11-01", "9.250000"),
    ]
    assert restatements(site) == []  # a month that grows by a new day is no restatement
    tiny.land(site, {("A-1", DAY): "20.5"}, ids)
    publish(tiny.close_days(site, DAY))
    assert ("A-1", "ALPHA", NEXT, "1.000000") in tiny.published("fct_well_daily", site)
    assert tiny.published("fct_field_monthly", site)[0] == ("ALPHA", "2026-11-01", "41.500000")


def test_a_range_is_one_run_with_a_seal_for_each_day(site):
    tiny.land(site, {**THREE_WELLS, ("A-1", NEXT): "1"})
    close = tiny.close_days(site, DAY, NEXT)

    publish(close)

    assert set(seals(close)) == {f"{DAY}@{site}", f"{NEXT}@{site}"}
    rows = {r["close_key"]: r["control_totals"] for r in read("closes", run_id=close.run_id, state="published")}
    assert '"oil_sm3":"37.750000"' in rows[f"{DAY}@{site}"] and '"oil_sm3":"1.000000"' in rows[f"{NEXT}@{site}"]


def test_an_older_version_cannot_follow_a_newer_one(site):
    tiny.land(site, THREE_WELLS)
    first, second = tiny.close_days(site, DAY), tiny.close_days(site, DAY)
    publish(second)

    with pytest.raises(Superseded, match="version 2 is published already"):
        publish(first)


def test_files_do_not_grow_with_versions_and_no_delete_file_is_made(site):
    ids = tiny.land(site, {**THREE_WELLS, ("A-1", NEXT): "1", ("B-1", NEXT): "2"})
    publish(tiny.close_days(site, DAY))
    publish(tiny.close_days(site, NEXT))
    before = tiny.files(site)
    for oil in ("11", "12", "13"):
        tiny.land(site, {("A-1", DAY): oil}, ids)
        publish(tiny.close_days(site, DAY))

    assert tiny.files(site) == before
    assert all(deletes == 0 for _, deletes in before.values())


def test_a_close_without_a_workspace_says_which_task_to_clear(site):
    close = tiny.close_days(site, DAY)
    close.workspace.unlink()

    with pytest.raises(PublishError, match="no workspace.*Clear the run from its first build task"):
        publish(close)


def test_a_key_without_a_value_is_refused_before_anything_is_written(site):
    import duckdb

    tiny.land(site, THREE_WELLS)
    close = tiny.close_days(site, DAY)
    with duckdb.connect(str(close.workspace)) as con:
        con.execute("update fct_well_daily set well_id = null where well_id = 'A-1'")

    with pytest.raises(PublishError, match="1 rows have no well_id"):
        publish(close)
    assert tiny.published("fct_well_daily", site) == []


def test_the_run_freezes_once(site):
    tiny.land(site, THREE_WELLS)
    close = tiny.close_days(site, DAY, run_id=f"run.{site}")
    tiny.land(site, {("A-2", NEXT): "3"})

    again = tiny.close_days(site, DAY, run_id=f"run.{site}")

    assert again == close and again.cut_off == close.cut_off and again.keys == close.keys
    with pytest.raises(PublishError, match="already stands for"):
        tiny.close_days(site, NEXT, run_id=f"run.{site}")
