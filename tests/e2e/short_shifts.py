"""A plant of short shifts on a platform of its own, run in a copy of the project whose seeds declare them.

    python -m tests.e2e.short_shifts in_time|through_kills      # prints what happened as JSON

Machines speak live by MQTT and MTConnect, the MES by change data capture; every shift is closed by the timetable alone.
`in_time`: shifts that nobody disturbs, then one of which readings come late. `through_kills`: kills around scheduled
closes and around those that corrections made necessary. The figures of closed shifts are held against the truth.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import duckdb
import psutil
import psycopg

from demo import plant_calendar, plant_truth
from demo.plant import fill, history, mes_dsn
from demo.plant_calendar import ONE_DAY
from demo.plant_line import SEED, STATIONS
from demo.plant_mes import Plant
from include.catalog import marts
from include.periods import Period
from include.publish.freeze import close_key
from stack import supervisor, testing
from stack.airflow_api import Airflow, AirflowRefused
from stack.services import PLATFORM, SERVICES
from tests.e2e.conftest import is_back, kill, service_process
from tests.e2e.test_shift_close import COUNTS, DURATIONS

CALENDAR, PACK = plant_calendar.SITE, plant_calendar.PACK
DAG = f"{PACK}_shift_close_{CALENDAR}"
CORRECTED = "PKG-10"  # its counts stand for no line: the gate against people's counts does not look at them
MACHINES = ("simulate-plant", "simulate-mtconnect", "simulate-line")
ELSEWHERE = ("bridge-field_scada", "bridge-field_rtu")
UNDISTURBED = 2
KILLS = (
    ("freeze", "scheduler"), ("stage", "task"), ("mart", "scheduler"), ("mart", "task"), ("publish", "catalog"),
    ("publish", "scheduler"),
)  # fmt: skip
LEAST_KILLS = 12
LATE, LEAST_MADE = timedelta(minutes=3), 20  # what of a shift comes late, and how much it makes at least
ANSWER_S, RUN_S = 300.0, 1200.0


def eventually(ask: Callable[[], Any], timeout_s: float = ANSWER_S) -> Any:
    """The first true answer; a service that is being killed may not answer meanwhile."""
    deadline, answer = time.monotonic() + timeout_s, None
    while time.monotonic() < deadline:
        try:
            if answer := ask():
                return answer
        except (OSError, AirflowRefused, psycopg.Error, duckdb.Error) as error:
            answer = error
        time.sleep(0.3)
    raise AssertionError(f"not within {timeout_s:.0f} s; last answer: {answer!r}")


class Shop:
    """The running plant."""

    def __init__(self) -> None:
        self.airflow = Airflow()
        self.killed: list[str] = []

    def lake(self, sql: str, *values: Any) -> list[tuple]:
        from include.lakehouse import connect

        with connect() as con:
            return con.execute(sql, values).fetchall()

    def source(self, sql: str, *values: Any) -> None:
        with psycopg.connect(mes_dsn()) as connection:
            connection.execute(sql, values)

    def seals(self, shift: Period) -> list[tuple[int, str, datetime]]:
        from include.lakehouse import exists

        if not exists("ops.closes"):
            return []
        return self.lake(
            "select version, state, recorded_at from lakehouse.ops.closes "
            "where close_key = ? and state <> 'frozen' order by version, recorded_at",
            close_key(shift.name, CALENDAR),
        )

    def scheduled(self, shift: Period) -> str | None:
        """The run that the timetable made for a shift."""
        found = self.airflow._call("get", f"/api/v2/dags/{DAG}/dagRuns", params={"limit": 200})["dag_runs"]
        ends = shift.ends_at
        return next(
            (
                run["dag_run_id"]
                for run in found
                if run["run_type"] == "scheduled" and datetime.fromisoformat(run["data_interval_end"]) == ends
            ),
            None,
        )

    def trigger(self, shift: Period, reason: str) -> str:
        conf = {"from_shift": shift.name, "to_shift": shift.name, "reason": reason, "accept": []}
        return eventually(lambda: self.airflow.trigger(DAG, conf))

    def outcome(self, run_id: str) -> str:
        return eventually(
            lambda: next((s for s in [self.airflow.state(DAG, run_id)] if s in ("success", "failed")), None), RUN_S
        )

    def finish(self, run_id: str) -> None:
        assert self.outcome(run_id) == "success", {task.task_id: task.state for task in self.airflow.tasks(DAG, run_id)}

    def land(self) -> None:
        run_id = eventually(lambda: self.airflow.running_or_new("land_mes"))
        eventually(lambda: self.airflow.state("land_mes", run_id) in ("success", "failed"), RUN_S)

    # Kills

    def kill_around(self, run_id: str, task_id: str, victim: str) -> None:
        """Kill -9 while a task of the run is at work, and see the victim's service come back."""
        found = eventually(lambda: self._running(run_id, task_id))
        if victim == "task":
            if found["state"] != "running":
                return
            try:
                kill(eventually(lambda: self._process_of(found["id"]), 60))
            except AssertionError:  # it was done sooner
                return
        else:
            name = {"scheduler": "airflow-scheduler", "catalog": "seaweedfs"}[victim]
            process = service_process(name)
            kill(process)
            eventually(lambda: is_back(name, process.pid) and SERVICES["recover"].is_healthy() is None)
        self.killed.append(f"{victim} in {task_id}")

    def _running(self, run_id: str, task_id: str) -> dict[str, Any] | None:
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}"
        found = self.airflow._call("get", path)
        return found if found["state"] in ("running", "success") else None

    def _process_of(self, task_instance: str) -> psutil.Process | None:
        title = f"airflow worker -- {task_instance}"
        for process in psutil.process_iter(["cmdline"]):
            if " ".join(process.info["cmdline"] or ()).strip() == title:
                return process
        return None

    # Figures

    def differences(self, shift: Period) -> list[str]:
        """Where what is published of a shift differs from what was true."""
        columns = ["station_id", *DURATIONS, *COUNTS[:3]]
        rows = self.lake(
            f"select {', '.join(columns)} from lakehouse.{PACK}.fct_oee_station_shift "
            "where calendar = ? and shift_id = ?",
            CALENDAR,
            shift.name,
        )
        day = shift.production_date
        truth = {r["station_id"]: r for r in plant_truth.by_shift(day, day).to_pylist() if r["shift_id"] == shift.name}
        found = [f"{shift.name}: {len(rows)} rows"] if len(rows) != len(STATIONS) else []
        for row in rows:
            said = dict(zip(columns, row, strict=True))
            true = truth[said["station_id"]]
            wanted = {**{ours: true[theirs] for ours, theirs in DURATIONS.items()}, **{n: true[n] for n in COUNTS[:3]}}
            found += [
                f"{shift.name} {said['station_id']} {name}: {said[name]} for {value}"
                for name, value in wanted.items()
                if said[name] != value
            ]
        return found

    def doubled(self) -> list[str]:
        """Marts in which a key stands twice, and versions of a close with more than one seal of publishing."""
        found = []
        for mart in marts(PACK):
            key = ", ".join(("calendar", *mart.key))
            if self.lake(f"select {key} from lakehouse.{PACK}.{mart.name} group by all having count(*) > 1"):
                found.append(mart.name)
        twice = self.lake(
            "select close_key, version from lakehouse.ops.closes where state = 'published' "
            "group by all having count(*) > 1"
        )
        return found + [f"{key} v{version}" for key, version in twice]

    def published(self, shift: Period, version: int = 1) -> datetime:
        return eventually(
            lambda: next((at for v, state, at in self.seals(shift) if v == version and state == "published"), None),
            (shift.ends_at - datetime.now(UTC)).total_seconds() + RUN_S,
        )


@contextmanager
def stopped(service: str) -> Iterator[None]:
    """A service that hangs: its process gets no time, its connections stay open."""
    process = service_process(service)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def sleep_until(at: datetime) -> None:
    time.sleep(max((at - datetime.now(UTC)).total_seconds(), 0))


def made(shift: Period) -> int:
    """Good units of a shift at all stations, by the plant's truth."""
    day = shift.production_date
    return sum(r["good_units"] for r in plant_truth.by_shift(day, day).to_pylist() if r["shift_id"] == shift.name)


def shifts_from(instant: datetime) -> Iterator[Period]:
    periods = plant_calendar.calendar().periods
    while found := periods.after(instant):
        yield found
        instant = found.ends_at


def correct(shop: Shop, shift: Period, number: int) -> int:
    """A count is corrected after the close; gives the units that are added."""
    shop.source(
        "insert into manual_corrections values (%s, %s, %s, %s, 'good_units', '7', 'counted again', 'J. Novak', now())",
        f"CO-SHORT-{number}",
        CORRECTED,
        shift.starts_at + timedelta(minutes=1),
        shift.starts_at + timedelta(minutes=2),
    )
    return 7


def in_time(shop: Shop) -> dict[str, Any]:
    """Nobody disturbs two shifts; a third is stopped by a gate, its last minutes being late, and a new run is right."""
    coming = shifts_from(datetime.now(UTC))
    seconds, first_versions = {}, {}
    for _ in range(UNDISTURBED):
        shift = next(coming)
        print(f"undisturbed: {shift.name}, {shift.starts_at:%H:%M} to {shift.ends_at:%H:%M}", file=sys.stderr)
        at = shop.published(shift)
        seconds[shift.name] = round((at - shift.ends_at).total_seconds(), 1)
        first_versions[shift.name] = shop.differences(shift)
        print(f"published after {seconds[shift.name]} s: {first_versions[shift.name]}", file=sys.stderr)

    soon = datetime.now(UTC) + LATE
    late = next(shift for shift in coming if shift.ends_at > soon and made(shift) >= LEAST_MADE)
    sleep_until(late.ends_at - LATE)
    with stopped("recorder"):  # the broker keeps what it does not take
        run_id = eventually(lambda: shop.scheduled(late), (late.ends_at - datetime.now(UTC)).total_seconds() + RUN_S)
        assert shop.outcome(run_id) == "failed"  # people counted more than what the machines had told by then
    assert {task.task_id for task in shop.airflow.tasks(DAG, run_id) if task.state == "failed"} == {"gate_mart"}
    eventually(lambda: not _is_behind(shop, late))
    shop.finish(shop.trigger(late, "readings came after the close"))
    assert [(v, s) for v, s, _ in shop.seals(late)] == [(2, "published")], shop.seals(late)
    assert shop.differences(late) == []
    print(f"late readings: {late.name} is right in version 2", file=sys.stderr)
    return {"seconds": seconds, "first_versions": first_versions}


def through_kills(shop: Shop) -> dict[str, Any]:
    """Processes die around scheduled closes and around closes that corrections made necessary."""
    coming = shifts_from(datetime.now(UTC))
    done: list[Period] = []
    kills = iter(KILLS)
    for shift in coming:
        pair = [found for found in (next(kills, None), next(kills, None)) if found]
        if not pair:
            break
        run_id = eventually(lambda shift=shift: shop.scheduled(shift), RUN_S)
        for task_id, victim in pair:
            shop.kill_around(run_id, task_id, victim)
        shop.finish(run_id)
        done.append(shift)
        print(f"{shift.name}: closed through {', '.join(shop.killed[-2:])}", file=sys.stderr)

    corrections = 0
    for task_id, victim in cycle(KILLS):
        if corrections >= len(KILLS) and len(shop.killed) >= LEAST_KILLS:  # a task may end before it is killed
            break
        number, corrections = corrections, corrections + 1
        shift = done[number % len(done)]
        before, units = _good_units(shop, shift), correct(shop, shift, number)
        shop.land()
        run_id = shop.trigger(shift, f"correction {number}")
        shop.kill_around(run_id, task_id, victim)
        shop.finish(run_id)
        assert _good_units(shop, shift) == before + units, (shift.name, before)
        print(f"{shift.name}: corrected through {shop.killed[-1]}", file=sys.stderr)
    for number in range(corrections):  # what was corrected is no truth: taken back
        shop.source("update manual_corrections set value = '0' where correction_id = %s", f"CO-SHORT-{number}")
    shop.land()
    for shift in done:
        shop.finish(shop.trigger(shift, "the corrections were wrong"))
        assert shop.differences(shift) == [], shop.differences(shift)
    return {"killed": shop.killed}


def _good_units(shop: Shop, shift: Period) -> int:
    ((units,),) = shop.lake(
        f"select good_units from lakehouse.{PACK}.fct_oee_station_shift where shift_id = ? and station_id = ?",
        shift.name,
        CORRECTED,
    )
    return units


def _is_behind(shop: Shop, shift: Period) -> bool:
    """Whether the plant's readings, which come in order of time, do not yet reach beyond the shift."""
    ((last,),) = shop.lake(
        "select max(observed_at) from lakehouse.ot.readings "
        "where regexp_matches(tag_id, '^(MCH|ASM|PKG)-') and not starts_with(_segment_id, 'file-')"
    )
    return last is None or last < shift.ends_at + timedelta(minutes=1)


def main(part: str) -> int:
    testing.start(tuple(name for name in PLATFORM if name not in ELSEWHERE))
    try:
        now = datetime.now(UTC)
        plant = Plant(SEED, plant_calendar.plant_day(now) - ONE_DAY)
        fill(mes_dsn(), plant, now)
        supervisor.start(MACHINES)
        for name in MACHINES:
            eventually(lambda name=name: SERVICES[name].is_healthy() is None)
        history(datetime.now(UTC) + timedelta(seconds=5))
        shop = Shop()
        shop.airflow.wait_for([DAG, "land_mes"])
        shop.airflow._call(
            "patch", f"/api/v2/dags/{DAG}", params={"update_mask": "is_paused"}, json={"is_paused": False}
        )
        shop.land()
        told = {"in_time": in_time, "through_kills": through_kills}[part](shop)
        print(json.dumps(told | {"doubled": shop.doubled()}))
    finally:
        testing.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
