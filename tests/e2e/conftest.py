"""The whole platform with a small demo operator, started once and shared: Airflow, stream, lakehouse."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest

from include.catalog import calendar
from include.contract_day import ContractDay
from include.lakehouse import exists
from include.ot.mqtt import Publisher
from include.ot.reading import Message, Reading, encode
from include.ot.topics import topic_of
from stack.leftovers import recorded
from stack.services import SERVICES
from tests.publish.plain_reader import PlainReader

CALENDAR = "permian"
ANSWER_S = 240  # longest wait for one step
RUN_S = 900  # longest wait for a whole run, retries included


@dataclass
class Site:
    """The running platform as the tests use it; queries open a connection of their own."""

    airflow: Any
    last_day: date  # the newest production date that the operator has completed
    runs: dict[str, str] = field(default_factory=dict)

    def source(self, sql: str, *values: Any) -> list[tuple]:
        """Run SQL at the source and commit; give its rows, none for a statement without."""
        from demo.load import fieldops_dsn

        with psycopg.connect(fieldops_dsn()) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def lake(self, sql: str, *values: Any) -> list[tuple]:
        from include.lakehouse import connect

        with connect() as con:
            return con.execute(sql, values).fetchall()

    def trigger(self, day: date, to: date | None = None, *, reason: str, accept: list[str] | None = None) -> str:
        params = {"from_date": str(day), "to_date": str(to or day), "reason": reason, "accept": accept or []}
        return self.airflow.trigger(DAG, params)

    def finish(self, run_id: str, dag_id: str = "") -> str:
        """Wait for the run's end and give its state."""
        states = {"success", "failed"}
        return eventually(
            lambda: next((s for s in [self.airflow.state(dag_id or DAG, run_id)] if s in states), None), RUN_S
        )

    def close(self, day: date, to: date | None = None, *, reason: str, accept: list[str] | None = None) -> str:
        run_id = self.trigger(day, to, reason=reason, accept=accept)
        state = self.finish(run_id)
        assert state == "success", self.states(run_id)
        return run_id

    def states(self, run_id: str) -> dict[str, str]:
        return {task.task_id: task.state for task in self.airflow.tasks(DAG, run_id)}

    def tries(self, run_id: str) -> dict[str, int]:
        return {task.task_id: task.tries for task in self.airflow.tasks(DAG, run_id)}

    def wait_for_task(self, run_id: str, task_id: str, *states: str) -> str:
        return eventually(lambda: next((s for s in [self.states(run_id).get(task_id)] if s in states), None), ANSWER_S)

    def seals(self, day: date) -> list[tuple]:
        """(version, state) of the day in order of version, the freezing rows left out."""
        return self.lake(
            "select version, state from lakehouse.ops.closes "
            "where calendar = ? and production_date = ? and state <> 'frozen' order by version, recorded_at",
            CALENDAR,
            day,
        )

    def published(self, day: date) -> dict[str, tuple]:
        """The published figures of the day: well -> oil, gas, water as reported."""
        rows = self.lake(
            "select well_id, oil_reported, gas_reported, water_reported "
            "from lakehouse.energypack.fct_well_production_daily where calendar = ? and production_date = ?",
            CALENDAR,
            day,
        )
        return {row[0]: row[1:] for row in rows}

    def recorded(self, day: date) -> dict[str, tuple]:
        """The same figures, asked of the source."""
        rows = self.source(
            "select r.well_id, r.oil_volume, r.gas_volume, r.water_volume "
            "from daily_readings r join wells using (well_id) "
            "where production_date = %s and field_code in ('EAGLE', 'MESQUITE')",
            day,
        )
        return {row[0]: row[1:] for row in rows}

    def mirror(self, day: date) -> tuple[str, Decimal]:
        """Send a well's SCADA of a day as a bridge does, and wait for it in the lake; give well and hours on."""
        well_id, hours_on = self.source(
            "select well_id, hours_on from daily_readings join wells using (well_id) "
            "where production_date = %s and field_code = 'EAGLE' order by oil_volume desc nulls last limit 1",
            day,
        )[0]
        site = calendar(CALENDAR)
        starts_at = ContractDay(site.zone, site.contract_hour).starts_at(day)
        ends_at = ContractDay(site.zone, site.contract_hour).ends_at(day)
        stops_at = starts_at + timedelta(hours=1) * float(hours_on)
        times = [
            starts_at + n * timedelta(minutes=30) for n in range(int((ends_at - starts_at) / timedelta(minutes=30)))
        ]
        running = [(at, at < stops_at) for at in (*times, *([stops_at] if stops_at < ends_at else []))]
        readings = [
            *(
                Reading(f"{well_id}.is_running", None, None, is_on, 0, at, "source", at, at, 0, "1")
                for at, is_on in running
            ),
            *(
                Reading(f"{well_id}.tubing_head_pressure", 100.0, None, None, 0, at, "source", at, at, 0, "psi")
                for at in times
            ),
        ]
        acked = []
        publisher = Publisher("bridge", "bridge-e2e", acked.append)
        publisher.start()
        message = Message("e2e", str(uuid4()), 1, datetime.now(UTC), tuple(readings))
        publisher.publish(topic_of("hnai/eagle/e2e/x/y"), encode(message))
        eventually(lambda: acked, ANSWER_S)
        publisher.stop()
        count = (
            "select count(*) from lakehouse.ot.readings where tag_id like ? and observed_at >= ? and observed_at < ?"
        )
        eventually(
            lambda: (
                exists("ot.readings") and self.lake(count, f"{well_id}.%", starts_at, ends_at)[0][0] >= len(readings)
            ),
            ANSWER_S,
        )
        return well_id, hours_on


DAG = f"energypack_daily_close_{CALENDAR}"


def eventually(ask: Callable[[], Any], timeout_s: float) -> Any:
    """The first true answer of `ask`; fails with its last answer when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s; last answer: {answer!r}"
        time.sleep(0.3)
    return answer


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def service_process(name: str) -> psutil.Process:
    return psutil.Process(recorded(name).leader)


def is_back(name: str, killed_pid: int) -> bool:
    """Whether another process serves in the place of the killed one, and is healthy."""
    return recorded(name).leader != killed_pid and SERVICES[name].is_healthy() is None


@pytest.fixture(scope="session")
def site(platform) -> Iterator[Site]:
    from demo.load import deliver, fieldops_dsn, fill, flow_computer_inbox
    from stack.airflow_api import Airflow
    from stack.services import PLATFORM

    platform.start(PLATFORM)
    operator = fill(fieldops_dsn(), days=75, wells=12, as_of=datetime.now(UTC))
    deliver(fieldops_dsn(), operator, flow_computer_inbox())
    airflow = Airflow()
    airflow.wait_for([DAG, "land_fieldops", "land_files"])
    landing = [(dag_id, airflow.trigger(dag_id)) for dag_id in ("land_fieldops", "land_files")]
    found = Site(airflow, last_day=operator.days.date(operator.days.completed[0] - 1))
    for dag_id, run_id in landing:
        assert found.finish(run_id, dag_id) == "success", airflow.tasks(dag_id, run_id)
    yield found


@pytest.fixture
def reader(site) -> Iterator[PlainReader]:
    """A reader that asks over and over whether the wells add up to their fields."""
    found = PlainReader(
        "select (select sum(oil_sm3) from lakehouse.energypack.fct_well_production_daily), "
        "(select sum(oil_sm3) from lakehouse.energypack.fct_field_production_daily)"
    )
    found.start()
    yield found
    found.stop()
