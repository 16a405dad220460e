"""Airflow on a platform of its own: the user logs in, tasks start warm, a killed scheduler leaves no second copy."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.settings import ROOT
from stack import testing

pytestmark = [pytest.mark.platform, pytest.mark.torture]

DAGS = '''
"""airflow dag for a trial"""
from pathlib import Path
from airflow.sdk import dag, task

@task
def import_heavy():
    import time
    begun = time.monotonic()
    import great_expectations, dbt.cli.main, pyiceberg.catalog.rest
    Path("{folder}/import_s").write_text(str(time.monotonic() - begun))

@task
def beat():
    import os, time
    for _ in range(20):
        with open("{folder}/beats", "a") as file:
            file.write(f"{{os.getpid()}} {{time.time()}}\\n")
        time.sleep(0.5)

@dag(schedule=None)
def trial():
    import_heavy() >> beat()

trial()
'''

DRIVER = """
import sys
from stack.platform import down, up
from stack.services import AIRFLOW
up(("postgres", *AIRFLOW)) if sys.argv[1] == "up" else down()
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """A second platform, since DAG folder and state folder are chosen when a process starts."""
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    (folder / "dags" / "trial.py").write_text(DAGS.format(folder=folder))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HNAI_STATE_DIR": str(folder / "state"),
        "HNAI_PORT_SHIFT": str(testing.free_shift()),
        "HNAI_AIRFLOW__DAGS_DIR": str(folder / "dags"),
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
        time.sleep(0.2)


def test_a_killed_scheduler_never_has_two_copies_of_a_task(airflow):
    folder, environment = airflow
    trigger = "from stack.airflow_api import Airflow; a = Airflow(); a.wait_for(['trial']); print(a.trigger('trial'))"
    run_id = run(environment, trigger).strip()
    beats = folder / "beats"
    wait_until(lambda: beats.exists() and len(beats.read_text().splitlines()) > 3, 120)

    session = folder / "state" / "run" / "airflow-scheduler.session"
    os.kill(int(session.read_text().split()[0]), signal.SIGKILL)

    state = f"from stack.airflow_api import Airflow; print(Airflow().state('trial', {run_id!r}))"
    wait_until(lambda: run(environment, state).strip() == "success", 180)
    order = [line.split()[0] for line in beats.read_text().splitlines()]
    copies = [pid for n, pid in enumerate(order) if n == 0 or pid != order[n - 1]]
    assert len(copies) == 2, "the killed try and its retry, one after the other"
    assert order.count(copies[1]) == 20


def test_heavy_libraries_cost_a_task_nothing(airflow):
    folder, _ = airflow

    assert float((folder / "import_s").read_text()) < 1


def test_the_password_of_the_user_is_in_no_log(airflow):
    folder, _ = airflow
    password = (folder / "state" / "secrets" / "airflow_admin").read_text().strip()
    logs = [path for path in Path(folder / "state").rglob("*.log") if path.is_file()]

    assert logs
    assert [str(path) for path in logs if password in path.read_text(errors="replace")] == []
