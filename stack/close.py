"""Ask Airflow for a close of every calendar, and follow it to its end."""

import importlib
import time
from dataclasses import dataclass, field
from datetime import date

import click

from include.catalog import calendars
from include.periods import date_of
from stack.airflow_api import ENDED, POLL_S, Airflow, Task


class CloseFailed(RuntimeError):
    """A run stopped; readers keep the close that they had. The message names the task and what to do."""


@dataclass
class Run:
    """A run of one DAG that is being followed."""

    label: str
    dag_id: str
    run_id: str
    state: str = "queued"
    told: set[tuple] = field(default_factory=set)
    failed: list[Task] = field(default_factory=list)


def window(day: str, first: str, last: str) -> tuple[str, str]:
    """The periods that the user means: dates, or shifts. Raises `click.UsageError` for anything unclear."""
    if bool(day) == bool(first or last) or bool(first) != bool(last):
        raise click.UsageError("Say DAY=2026-01-31 or SHIFT=2026-01-31.3, or FROM=2026-01-01 TO=2026-01-31.")
    first, last = day or first, day or last
    for name in (first, last):
        try:
            date_of(name)
        except ValueError as error:
            raise click.UsageError(f"{error}. Write dates as 2026-01-31, shifts as 2026-01-31.3.") from None
    if first > last and not first.startswith(last):
        raise click.UsageError(f"FROM ({first}) is after TO ({last}).")
    return first, last


def close_periods(pack: str, calendar: str, first: str, last: str, *, reason: str = "", accept: str = "") -> None:
    """Close the same days or shifts of one calendar, or of all. Raises `CloseFailed` when one stops."""
    known = {one.name: one for one in calendars(pack)}
    if calendar and calendar not in known:
        raise click.UsageError(f"{pack} has no calendar {calendar!r}. It has: {', '.join(known)}")
    by_day = [name for name, one in known.items() if not one.shifts and name == (calendar or name)]
    if by_day and "." in first + last:
        raise click.UsageError(f"{', '.join(by_day)} of {pack} is closed by contract day: name a date.")
    begun = time.monotonic()
    _land_waiting_files()
    chosen = [calendar] if calendar else _with_data(pack, list(known), date_of(last))
    close_windows(
        {name: (first, last) for name in chosen},
        reason=reason or "asked for on the command line",
        accept=accept,
    )
    said = first if first == last else f"{first} to {last}"
    print(f"Published {pack} {said} ({', '.join(chosen)}) in {time.monotonic() - begun:.0f} s.")


def _land_waiting_files() -> None:
    """Land what lies in the inbox, so that a close asked for by hand reads it."""
    from include.land.files import discover

    for _ in range(2):  # a run that was going on may have looked into the inbox before the newest file came
        if not discover():
            return
        airflow = Airflow()
        airflow.wait_for(["land_files"])
        follow(airflow, [Run("land_files", "land_files", airflow.running_or_new("land_files"))], time.monotonic())


def _with_data(pack: str, names: list[str], last: date) -> list[str]:
    """The calendars that have anything landed up to `last`; says which are left out."""
    try:
        first_day = importlib.import_module(f"include.packs.{pack}.extent").first_day
    except ModuleNotFoundError:
        return names
    since = {name: first_day(name) for name in names}
    for name, day in since.items():
        if day is None or day > last:
            print(f"  {name} is left out: it has {f'nothing before {day}' if day else 'no data yet'}")
    chosen = [name for name, day in since.items() if day and day <= last]
    if not chosen:
        raise CloseFailed(f"Nothing has landed for {last} or before. Look at the DAGs land_… in Airflow.")
    return chosen


def close_windows(windows: dict[str, tuple[str, str]], *, reason: str, accept: str = "") -> list[Run]:
    """Close a window of periods per calendar, side by side, and return the runs once all are published."""
    airflow = Airflow()
    sites = {one.name: one for one in calendars() if one.name in windows}
    airflow.wait_for([site.dag_id for site in sites.values()])
    accepted = [pattern.strip() for pattern in accept.split(",") if pattern.strip()]
    begun, runs = time.monotonic(), []
    for calendar, (first, last) in windows.items():
        site, what = sites[calendar], "shift" if sites[calendar].shifts else "date"
        params = {f"from_{what}": first, f"to_{what}": last, "reason": reason, "accept": accepted}
        runs.append(Run(calendar, site.dag_id, airflow.trigger(site.dag_id, params)))
    follow(airflow, runs, begun)
    return runs


def follow(airflow: Airflow, runs: list[Run], begun: float) -> None:
    """Tell of each task as it ends. Raises `CloseFailed` when a run has failed, once all have ended."""
    while going_on := [run for run in runs if run.state not in ENDED]:
        for run in going_on:
            run.state = airflow.state(run.dag_id, run.run_id)
            for task in airflow.tasks(run.dag_id, run.run_id):
                _tell(run, task, begun)
        time.sleep(POLL_S)
    if failed := [run for run in runs if run.state != "success"]:
        raise CloseFailed("\n\n".join(_what_to_do(airflow, run) for run in failed))


def _tell(run: Run, task: Task, begun: float) -> None:
    seen = (task.name, task.state, task.tries)
    if task.state not in ("success", "failed", "up_for_retry") or seen in run.told:
        return
    run.told.add(seen)
    run.failed = [old for old in run.failed if old.name != task.name] + ([task] if task.state == "failed" else [])
    state = {"success": "ok", "failed": "FAILED", "up_for_retry": f"try {task.tries} failed, trying again"}[task.state]
    print(
        f"  {time.monotonic() - begun:5.0f} s  {run.label:<12} {task.name:<14} {state:<6} {task.seconds:6.1f} s",
        flush=True,
    )


def _what_to_do(airflow: Airflow, run: Run) -> str:
    task = run.failed[0] if run.failed else None
    if not task:
        return (
            f"{run.dag_id} ended as {run.state} before any task did. Look at {airflow.address(run.dag_id, run.run_id)}"
        )
    verb = "close" if "_close_" in run.dag_id else run.dag_id.partition("_")[0]
    told = [
        f"{run.dag_id} stopped in task {task.name}; readers keep the close that they had.",
        airflow.last_words(run.dag_id, run.run_id, task),
        f"Log: {airflow.address(run.dag_id, run.run_id, task)}",
        f"A service or a rule was mended: clear {task.name} in Airflow; the run keeps its cut-off.",
    ]
    if verb == "close":
        told += [
            "Data was corrected: run `make close` again; that is a new version.",
            "A gate's failure is harmless: make close … ACCEPT='<expectation>' REASON='<why>'",
        ]
    return "\n".join([*told, f"More: docs/runbooks/{verb}.md"])
