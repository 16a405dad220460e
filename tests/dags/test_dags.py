"""What every DAG promises: it loads fast, and it says whose it is, what it does and where to look when it is red."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.catalog import calendars, marts, sources
from include.settings import ROOT
from plugins.alerts import alert_on_call, tell_late_close
from plugins.operators.close import close_run_id, triggered_by, window

CHILD = """
import json, sys, time
import airflow.sdk  # Airflow's own import is not ours to count
from airflow.dag_processing.dagbag import DagBag
begun = time.process_time()  # CPU, not wall: other work on the machine is not ours to count
bag = DagBag(sys.argv[1])
print(json.dumps({
    "seconds": time.process_time() - begun,
    "dags": sorted(bag.dags),
    "errors": bag.import_errors,
    "heavy": [m for m in ("great_expectations", "duckdb", "pyarrow", "pandas", "pyiceberg", "dbt") if m in sys.modules],
}))
"""


def test_every_dag_loads(dag_bag):
    assert dag_bag.import_errors == {}
    expected = {c.dag_id for c in calendars()} | {f"land_{s.name}" for s in sources()}
    assert expected | {"land_files", "maintain_lakehouse", "mirror_ot"} <= set(dag_bag.dags)


def test_parsing_is_light_and_fast():
    done = subprocess.run([sys.executable, "-c", CHILD, ROOT / "dags"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])

    print(f"all DAG files parsed in {found['seconds']:.2f} s beyond Airflow's own import: {found['dags']}")
    assert found["errors"] == {}
    assert found["heavy"] == []
    assert found["seconds"] < 1


def test_every_dag_says_whose_it_is_and_where_to_look(dag_bag):
    for dag in dag_bag.dags.values():
        runbooks = [tag.removeprefix("runbook:") for tag in dag.tags if tag.startswith("runbook:")]
        assert len(runbooks) == 1, dag.dag_id
        path = ROOT / "docs" / "runbooks" / f"{runbooks[0]}.md"
        assert path.is_file(), f"{dag.dag_id}: {path} is missing"
        assert f"docs/runbooks/{runbooks[0]}.md" in (dag.doc_md or ""), dag.dag_id
        for word in ("clear", "trigger"):
            assert word in dag.doc_md.lower(), f"{dag.dag_id}: its doc_md does not say when to {word}"
        assert not dag.catchup and dag.max_active_runs <= 4, dag.dag_id


def test_every_task_has_an_owner_retries_and_an_alarm(dag_bag):
    for dag in dag_bag.dags.values():
        for task in dag.tasks:
            where = f"{dag.dag_id}.{task.task_id}"
            assert task.owner not in ("", "airflow"), where
            assert task.retries >= 2, where
            assert task.retry_delay.total_seconds() <= 60, where
            assert alert_on_call in task.on_failure_callback, where


def test_a_close_goes_through_its_gates_in_order(dag_bag):
    steps = ["freeze", "gate_landing", "stage", "gate_stage", "mart", "gate_mart", "publish", "report"]
    for calendar in calendars():
        dag = dag_bag.dags[calendar.dag_id]
        assert [t.task_id for t in dag.topological_sort()] == steps
        publish = dag.get_task("publish")
        assert publish.pool == f"publish_{calendar.pack}"
        assert {dag.get_task(layer).pool for layer in ("stage", "mart")} == {"engine"}
        assert {a.uri for a in publish.outlets} == {f"iceberg://{calendar.pack}/{m.name}" for m in marts(calendar.pack)}


def test_drains_share_a_slot_and_what_follows_does_not_hold_up_the_next(dag_bag):
    dag = dag_bag.dags["mirror_ot"]
    drain = dag.get_task("drain")

    assert drain.pool == "ot_drain" and dag.get_task("backfill").pool == "ot_backfill"
    assert dag.get_task("backfill").is_mapped
    assert {a.uri for a in drain.outlets} == {"iceberg://ot/readings"}
    assert drain.downstream_task_ids == {"open_gaps", "tag_health"}
    assert dag.max_active_runs > 1
    (sealed,) = dag.timetable.asset_condition.objects
    (watcher,) = sealed.watchers
    assert watcher.trigger.serialize()[0] == "plugins.triggers.sealed_segments.SealedSegmentsTrigger"


def test_the_scheduler_can_store_and_read_every_dag(dag_bag):
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dag_bag.dags.values():
        again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert again.timetable.summary
        assert sorted(again.task_ids) == sorted(dag.task_ids)


def run(**more) -> SimpleNamespace:
    """A run as a task sees it, started by hand at noon of June 15 in Chicago."""
    values = {
        "dag_id": "energypack_daily_close_permian",
        "run_id": "manual__1",
        "run_type": SimpleNamespace(value="manual"),
        "data_interval_start": None,
        "logical_date": None,
        "run_after": datetime(2026, 6, 15, 17, tzinfo=UTC),
        "triggering_user_name": "jo",
    }
    return SimpleNamespace(**{**values, **more})


YESTERDAY = ("2026-06-14", "2026-06-14")


@pytest.mark.parametrize(
    ("dag_run", "params", "closes"),
    [
        (run(), {}, YESTERDAY),
        (run(run_after=datetime(2026, 6, 15, 11, 59, tzinfo=UTC)), {}, ("2026-06-13", "2026-06-13")),
        (run(data_interval_start=datetime(2026, 6, 14, 12, tzinfo=UTC)), {}, YESTERDAY),
        (run(logical_date=datetime(2026, 6, 15, 17, tzinfo=UTC)), {"from_date": None, "to_date": None}, YESTERDAY),
        (run(), {"from_date": "2026-05-01"}, ("2026-05-01", "2026-05-01")),
        (run(), {"to_date": "2026-05-01"}, ("2026-05-01", "2026-05-01")),
        (run(), {"from_date": "2026-05-01", "to_date": "2026-05-31"}, ("2026-05-01", "2026-05-31")),
    ],
)
def test_which_day_a_run_closes(dag_run, params, closes):
    assert window(dag_run, params, "permian") == closes


def test_dates_in_the_wrong_order_are_refused():
    with pytest.raises(AirflowFailException, match="2026-05-02, is after the last, 2026-05-01"):
        window(run(), {"from_date": "2026-05-02", "to_date": "2026-05-01"}, "permian")


def test_two_calendars_that_start_together_are_two_closes():
    assert close_run_id(run()) != close_run_id(run(dag_id="energypack_daily_close_north_sea"))


def test_who_closed_is_the_airflow_user_or_the_schedule():
    assert triggered_by(run()) == "jo"
    assert triggered_by(run(triggering_user_name=None, run_type=SimpleNamespace(value="scheduled"))) == "schedule"


def test_an_alert_names_the_expectation_five_rows_and_the_task_to_clear(monkeypatch, dag_bag):
    told = []
    monkeypatch.setattr("include.ops.alerts.raise_alert", told.append)
    error = AirflowFailException("the mart gate stopped 2026-06-14@permian")
    error.detail = [
        {
            "table": "fct",
            "bound": "<= 20000",
            "observed": "21000",
            "sample_keys": [{"well_id": str(n)} for n in range(9)],
        }
    ]
    task = dag_bag.dags["energypack_daily_close_permian"].get_task("gate_mart")
    ti = SimpleNamespace(dag_id=task.dag_id, task_id=task.task_id, run_id="manual__1", try_number=1, map_index=-1)

    alert_on_call({"ti": ti, "task": task, "exception": error})

    (alert,) = told
    assert alert.what.startswith("the mart gate stopped")
    (expectation,) = alert.detail["expectations"]
    assert (expectation["observed"], expectation["bound"], len(expectation["sample_keys"])) == ("21000", "<= 20000", 5)
    for part in ("gate_mart", "manual__1", "trigger a new run", "docs/runbooks/close.md"):
        assert part in alert.clear_hint


def test_a_task_whose_process_was_lost_is_told_too(monkeypatch):
    told = []
    monkeypatch.setattr("include.ops.alerts.raise_alert", told.append)
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", try_number=3, map_index=4)

    alert_on_call({"ti": ti, "task": None, "reason": "Task did not emit heartbeat within time limit (20 seconds)"})

    assert "heartbeat" in told[0].what
    assert told[0].task_id == "t[4]"


def test_a_failed_close_can_be_cleared_before_its_deadline(dag_bag):
    for one in calendars():
        (alert,) = dag_bag.dags[one.dag_id].deadline
        # Airflow 3.3.2 moves these when it clears a run, and fails at it for as long as the deadline has not passed.
        assert alert.reference.reference_name != "DagRunQueuedAtDeadline"


def test_a_close_that_is_not_done_in_time_is_told(monkeypatch):
    told = []
    monkeypatch.setattr("include.ops.alerts.raise_alert", told.append)
    run = {"dag_id": "energypack_daily_close_permian", "dag_run_id": "r", "state": "running", "queued_at": "14:00"}

    tell_late_close({"dag_run": run, "deadline": {"deadline_time": "2026-06-15T15:00:00+00:00"}})

    assert "2026-06-15T15:00" in told[0].what
    assert told[0].run_id == "r"


def test_scoring_starts_when_hours_are_published_and_takes_its_steps_in_order(dag_bag):
    from include.condition import scored_packs

    assert scored_packs() == [("factorypack", "fct_asset_hour")]
    for pack, mart in scored_packs():
        dag = dag_bag.dags[f"{pack}_score"]
        assert [t.task_id for t in dag.topological_sort()] == ["tell", "train", "score", "alert"]
        assert dag.timetable.asset_condition.uri == f"iceberg://{pack}/{mart}"
        assert mart in {m.name for m in marts(pack)} and dag.max_active_runs == 1
