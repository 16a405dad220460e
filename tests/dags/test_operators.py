"""What the operators decide by themselves: which files share a task, what is late, what is due, what may go."""

import os
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from include.catalog import Feed
from plugins.operators import files, landing, maintain

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def arrivals(number: int) -> list[dict[str, str]]:
    return [{"feed_name": "f", "path": f"inbox/{n:03d}.csv"} for n in range(number)]


@pytest.mark.parametrize(("waiting", "sizes"), [(0, []), (1, [1]), (8, [1] * 8), (9, [9]), (240, [100, 100, 40])])
def test_few_files_have_a_task_each_and_many_share(waiting, sizes):
    found = files.batches(arrivals(waiting))

    assert [len(batch) for batch in found] == sizes
    assert [one for batch in found for one in batch] == arrivals(waiting)  # in order of arrival, none left out


def feed(deadline: str = "09:00", cadence: str | None = "day") -> Feed:
    return Feed(
        source="flow_computer",
        name="gas_hourly",
        identifier="flow_computer__gas_hourly",
        pack="energypack",
        owner="measurement",
        pattern=".*",
        format=("csv",),
        columns=(),
        key=("meter_id",),
        zone="America/Chicago",
        calendar="permian",
        every="*/5 * * * *",
        cadence=cadence,
        deadline=deadline,
    )


@pytest.mark.parametrize(
    ("at", "due"),
    [
        ("2026-06-15T13:59", date(2026, 6, 13)),  # 08:59 in Chicago: yesterday's file may still come
        ("2026-06-15T14:00", date(2026, 6, 14)),  # 09:00: it is due
        ("2026-06-16T13:59", date(2026, 6, 14)),
    ],
)
def test_a_day_is_due_at_the_first_deadline_after_its_end(at, due):
    assert files.due_day(feed(), datetime.fromisoformat(at).replace(tzinfo=UTC)) == due


def test_a_deadline_before_the_contract_hour_is_that_of_the_next_morning():
    early = feed(deadline="06:00")  # the contract day ends at 07:00

    assert files.due_day(early, datetime(2026, 6, 15, 13, tzinfo=UTC)) == date(2026, 6, 13)
    assert files.due_day(early, datetime(2026, 6, 16, 11, tzinfo=UTC)) == date(2026, 6, 14)


@pytest.mark.parametrize(
    ("received", "is_late"),
    [
        ([], False),  # never sent anything: not in use here
        (["2026-06-14T13:00"], True),  # that was the file of the day before
        (["2026-06-14T13:00", "2026-06-15T12:30"], False),
    ],
)
def test_a_feed_is_late_when_nothing_came_since_the_day_ended(monkeypatch, received, is_late):
    rows = [{"received_at": datetime.fromisoformat(r).replace(tzinfo=UTC)} for r in received]
    monkeypatch.setattr(files, "feeds", lambda: (feed(), feed(cadence=None)))
    monkeypatch.setattr("include.ops.store.read", lambda *_, **__: rows)

    found = files.late_feeds(datetime(2026, 6, 15, 14, 5, tzinfo=UTC))

    assert [day for _, day in found] == ([date(2026, 6, 14)] if is_late else [])


def upkeep(action: str, hours_ago: float) -> dict:
    return {"action": action, "recorded_at": NOON - timedelta(hours=hours_ago)}


@pytest.mark.parametrize(
    ("recorded", "is_due"),
    [
        ([], False),  # the platform started just now
        ([upkeep("compact", 2)], False),
        ([upkeep("compact", 24)], True),  # a day old, and never expired anything
        ([upkeep("compact", 99), upkeep("expire", 24), upkeep("compact", 1)], True),
        ([upkeep("compact", 99), upkeep("expire", 22)], False),
    ],
)
def test_daily_upkeep_is_due_a_day_after_the_last(monkeypatch, recorded, is_due):
    monkeypatch.setattr("include.ops.store.read", lambda *_, **__: recorded)

    assert maintain.is_due(NOON) is is_due


def test_only_old_logs_go_and_empty_folders_with_them(tmp_path):
    for name, days in (("a/old.log", 40), ("b/new.log", 1), ("b/old.log", 31)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        stamp = (NOON - timedelta(days=days)).timestamp()
        os.utime(path, (stamp, stamp))

    removed = maintain.remove_logs(tmp_path, NOON - timedelta(days=30))

    assert removed == 2
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["b", "new.log"]


def test_lineage_of_an_operator_says_which_output_is_made_of_what():
    from plugins.operators.close import FreezeOperator

    task = FreezeOperator(task_id="t", pack="energypack", calendar="permian")
    task.read("iceberg://raw/a", assertions=[{"expectation": "not_null", "success": False, "severity": "critical"}])
    task.wrote(
        "workspace://energypack/stg_a", of=["iceberg://raw/a"], columns={"x": [("iceberg://raw/a", "y")]}, rows=3
    )
    task.wrote("iceberg://ops/closes")

    told = task.get_openlineage_facets_on_complete(SimpleNamespace())

    (source,) = told.inputs
    assert (source.namespace, source.name) == ("iceberg://lakehouse", "raw.a")
    assert source.inputFacets["dataQualityAssertions"].assertions[0].severity == "error"
    model, closes = told.outputs
    assert model.facets["columnLineage"].fields["x"].inputFields[0].field == "y"
    assert model.outputFacets["outputStatistics"].rowCount == 3
    assert "columnLineage" not in closes.facets


def test_a_column_that_goes_is_told_to_on_call_and_one_that_comes_is_only_logged(monkeypatch):
    changes = [
        {
            "table": "well_tests",
            "column": "casing_pressure",
            "kind": "dropped",
            "text": "well_tests.casing_pressure dropped",
        },
        {"table": "work_orders", "column": "crew", "kind": "added", "text": "work_orders.crew added"},
    ]
    told = []
    monkeypatch.setattr("include.land.schema_check.check_source", lambda _: {"changes": changes, "loaded": []})
    monkeypatch.setattr("include.ops.alerts.raise_alert", told.append)
    ti = SimpleNamespace(dag_id="land_fieldops", task_id="check_schema", run_id="r", try_number=1)

    landing.SchemaCheckOperator(task_id="check_schema", source="fieldops").execute({"ti": ti})

    assert [alert.what for alert in told] == ["fieldops: well_tests.casing_pressure dropped"]
