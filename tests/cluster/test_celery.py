"""Airflow spread over Celery workers: tasks run there, survive a worker's end, and their logs outlive the host."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from include.settings import ROOT
from stack import testing

pytestmark = [pytest.mark.platform, pytest.mark.torture]

DAGS = '''
"""airflow dag for a trial"""
from datetime import timedelta
from pathlib import Path
from airflow.sdk import dag, task

@task
def commit():
    import pyarrow as pa
    from include import lakehouse
    rows = pa.table({{"part": pa.array([1, 2, 3], pa.int32())}})
    lakehouse.ensure_table("trial.parts", rows.schema)
    lakehouse.append("trial.parts", rows)
    print(f"{{lakehouse.table('trial.parts').scan().to_arrow().num_rows}} rows are in the lakehouse")

@task(retries=1, retry_delay=timedelta(seconds=1))
def outlive():
    import time
    started = Path("{folder}/started")
    if not started.exists():
        started.write_text("")
        time.sleep(600)
    print("ran to its end in another worker")

@dag(schedule=None)
def trial():
    commit() >> outlive()

trial()
'''
SERVICES = ("seaweedfs", "postgres", "recover", "broker")
DRIVER = f"""
import sys
from stack.platform import down, up
from stack.services import AIRFLOW
up(({", ".join(map(repr, SERVICES))}, *AIRFLOW)) if sys.argv[1] == "up" else down()
"""


@pytest.fixture(scope="module")
def airflow(cluster, tmp_path_factory):
    """A second platform, since the executor is chosen when a process starts."""
    folder = tmp_path_factory.mktemp("celery")
    folder.chmod(0o711)
    (folder / "dags").mkdir()
    (folder / "dags" / "trial.py").write_text(DAGS.format(folder=folder))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HNAI_STATE_DIR": str(folder / "state"),
        "HNAI_PORT_SHIFT": str(testing.free_shift()),
        "HNAI_AIRFLOW__DAGS_DIR": str(folder / "dags"),
        "HNAI_AIRFLOW__EXECUTOR": "CeleryExecutor",
        "HNAI_AIRFLOW__REMOTE_LOGS": "s3://airflow-logs/tasks",
    }
    try:
        run(environment, DRIVER, "up")
        yield folder, environment
    finally:
        run(environment, DRIVER, "down")


def run(environment: dict[str, str], code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until(is_true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.5)


CLIENT = "from stack.airflow_api import Airflow; airflow = Airflow(); "


def log_of(environment: dict[str, str], run_id: str, task: str, attempt: int) -> str:
    """What Airflow's API gives as a task's log."""
    path = f"/api/v2/dags/trial/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}"
    return run(environment, CLIENT + f"print(airflow._call('get', {path!r}, params={{'full_content': True}}))")


def test_tasks_run_in_a_celery_worker_outlive_it_and_leave_their_logs_in_the_object_store(airflow):
    folder, environment = airflow
    worker_log = folder / "state" / "logs" / "airflow-worker.log"
    run_id = run(environment, CLIENT + "airflow.wait_for(['trial']); print(airflow.trigger('trial'))").strip()
    wait_until((folder / "started").exists, 180)
    wait_until(lambda: "s3://airflow-logs/tasks" in log_of(environment, run_id, "commit", 1), 60)
    assert "execute_workload" in worker_log.read_text()

    session = folder / "state" / "run" / "airflow-worker.session"
    os.kill(int(session.read_text().split()[0]), signal.SIGKILL)

    state = CLIENT + f"print(airflow.state('trial', {run_id!r}))"
    wait_until(lambda: run(environment, state).strip() == "success", 240)
    shutil.rmtree(folder / "state" / "airflow" / "logs")  # as if the host were another
    assert "3 rows are in the lakehouse" in log_of(environment, run_id, "commit", 1)
    assert "ran to its end in another worker" in log_of(environment, run_id, "outlive", 2)


def test_the_brokers_password_is_in_no_command_line_and_in_no_log(airflow):
    folder, _ = airflow
    password = (folder / "state" / "secrets" / "broker").read_text().strip()
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    logs = [path.read_text(errors="replace") for path in (folder / "state" / "logs").glob("*.log")]

    assert len(logs) > 5
    assert not [True for text in (told, *logs) if password in text]
