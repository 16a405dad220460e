"""The few calls that the commands make to Airflow's REST API, as the user `admin`."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import indent
from urllib.parse import quote

import requests

from include.settings import secret, settings
from stack.airflow_env import ADMIN

ENDED = {"success", "failed"}
POLL_S = 1.0
PATIENCE_S = 60  # its first answers on a busy machine take long


class AirflowRefused(RuntimeError):
    """Airflow answered with an error; the message says which call and what to do."""


@dataclass(frozen=True)
class Task:
    """One task instance of a run, as Airflow reports it."""

    task_id: str
    map_index: int
    state: str
    tries: int
    seconds: float

    @property
    def name(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class Airflow:
    """A logged-in client. Raises `AirflowRefused` where Airflow does not answer."""

    def __init__(self) -> None:
        self._http = requests.Session()
        answer = self._call("post", "/auth/token", json={"username": ADMIN, "password": secret("airflow_admin")})
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def has(self, dag_id: str) -> bool:
        return self._http.get(f"{settings.airflow_uri}/api/v2/dags/{dag_id}", timeout=30).status_code == 200

    def wait_for(self, dag_ids: list[str], timeout_s: float = 120) -> None:
        """Wait until the DAGs are parsed, which takes some seconds after a start."""
        deadline = time.monotonic() + timeout_s
        while missing := [dag_id for dag_id in dag_ids if not self.has(dag_id)]:
            if time.monotonic() > deadline:
                raise AirflowRefused(f"Airflow does not know {', '.join(missing)}.{self._import_errors()}")
            time.sleep(POLL_S)

    def trigger(self, dag_id: str, params: dict | None = None) -> str:
        """Start a run and return its id. A paused DAG is unpaused: who triggers it wants it to run."""
        self._call("patch", f"/api/v2/dags/{dag_id}", params={"update_mask": "is_paused"}, json={"is_paused": False})
        body = {"conf": params or {}, "logical_date": None, "run_after": datetime.now(UTC).isoformat()}
        return self._call("post", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]

    def clear(self, dag_id: str, run_id: str) -> None:
        """Run every task of a finished run again: same run, so the same version and cut-off."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self._call("post", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def state(self, dag_id: str, run_id: str) -> str:
        return self._call("get", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"]

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        found = self._call("get", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances", params={"limit": 500})
        return [
            Task(
                one["task_id"],
                one["map_index"],
                one["state"] or "waiting",
                one["try_number"],
                one["duration"] or 0.0,
            )
            for one in found["task_instances"]
        ]

    def running_or_new(self, dag_id: str) -> str:
        """The run that is going on, or a new one where none is."""
        found = self._call("get", f"/api/v2/dags/{dag_id}/dagRuns", params={"state": ["running", "queued"]})["dag_runs"]
        return found[0]["dag_run_id"] if found else self.trigger(dag_id)

    def address(self, dag_id: str, run_id: str, task: Task | None = None) -> str:
        """Where a person sees the run, or one task of it."""
        page = f"{settings.airflow_uri}/dags/{dag_id}/runs/{quote(run_id)}"
        return page if not task else f"{page}/tasks/{task.task_id}"

    def last_words(self, dag_id: str, run_id: str, task: Task, lines: int = 25) -> str:
        """What a failed task said last: its error, without the frames of Airflow's own code."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task.task_id}/logs/{task.tries}"
        content = self._call("get", path, params={"map_index": task.map_index, "full_content": True})["content"]
        said: list[str] = []
        for entry in content:
            if entry.get("level") not in ("error", "critical"):
                continue
            if said and str(entry["event"]).startswith("ALERT "):
                break  # on-call's alert: the same once more, for those who were not there
            said += str(entry["event"]).splitlines()
            said += [f"{one['exc_type']}: {one['exc_value']}" for one in entry.get("error_detail") or []]
        return indent("\n".join(said[-lines:]), "  ")

    def _import_errors(self) -> str:
        errors = self._call("get", "/api/v2/importErrors")["import_errors"]
        return "".join(f"\n{error['filename']}:\n{error['stack_trace']}" for error in errors)

    def _call(self, method: str, path: str, **arguments) -> dict:
        try:
            answer = self._http.request(method, settings.airflow_uri + path, timeout=PATIENCE_S, **arguments)
        except (requests.ConnectionError, requests.Timeout):
            raise AirflowRefused(
                f"Airflow does not answer at {settings.airflow_uri}. Is the platform up? make status"
            ) from None
        if not answer.ok:
            raise AirflowRefused(
                f"Airflow refused {method.upper()} {path} ({answer.status_code}): {answer.text[:1000]}"
            )
        return answer.json()
