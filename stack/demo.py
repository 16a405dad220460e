"""`make demo`: from nothing to a published day of the demo operator, with the time that each part took.

Each part looks first at what is there, so a second run, or one after an interruption, does only what is missing.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

from include.catalog import Calendar, calendars, feeds, sources
from include.contract_day import ContractDay
from include.settings import ROOT, settings
from stack import supervisor
from stack.airflow_api import Airflow
from stack.close import Run, close_windows, follow
from stack.layout import BIN, LOGS, child_environment
from stack.platform import up
from stack.progress import Progress
from stack.services import PLATFORM, SIMULATORS
from stack.where import shown, where_to_look

PACK = "energypack"
TREND_DAYS = 35
ONE_DAY = timedelta(days=1)
SCADA = "field_scada"
MIRROR_PATIENCE_S = 180.0


def run() -> None:
    """Everything, in order. Raises with a message that says what to do when a part fails."""
    split = {"install": _install_seconds()}
    progress, begun = Progress(), time.monotonic()
    progress.say("Start the platform")
    seeding: list[subprocess.Popen] = []
    up(PLATFORM, progress, beside=lambda: seeding.append(_seed()))
    _finish(seeding[0], progress)
    supervisor.start(["simulate", *SIMULATORS])
    split["start"] = time.monotonic() - begun

    progress.say("\nLand the operator's database and its partners' files")
    split["land"] = _timed(_land)
    progress.say("\nMirror the wells' SCADA")
    split["mirror"] = _timed(lambda: _mirror(progress))
    progress.say("\nClose and publish")
    split["close"] = _timed(_close)
    from stack.summary import published_day

    yesterday = {c.name: _yesterday(c) for c in calendars(PACK)}
    progress.say(f"\n{published_day(PACK, yesterday)}")
    progress.say(f"\n{_where(yesterday)}")
    parts = "  ".join(f"{part} {seconds:.0f} s" for part, seconds in split.items())
    progress.say(f"\nTook {sum(split.values()):.0f} s: {parts}")


def _install_seconds() -> float:
    """How long this call of make took to install the environment; 0 where it was there."""
    started = float(os.environ.get("HNAI_MAKE_STARTED", "inf"))
    try:
        stamp = json.loads((BIN.parent / ".hnai.json").read_text())
    except (OSError, ValueError):
        return 0.0
    return stamp["seconds"] if stamp.get("made_at", 0) >= started else 0.0


def _seed() -> subprocess.Popen:
    """Fill the operator's database beside Airflow's start; where it is filled, only what is new is added."""
    log = (LOGS / "demo.load.log").open("w")
    return subprocess.Popen(
        [sys.executable, "-m", "demo.load"], cwd=ROOT, env=child_environment(), stdout=log, stderr=subprocess.STDOUT
    )


def _finish(seeding: subprocess.Popen, progress: Progress) -> None:
    with progress.step("demo operator"):
        code = seeding.wait(timeout=600)
    said = (LOGS / "demo.load.log").read_text().strip()
    if code:
        raise RuntimeError(f"The demo operator could not be loaded:\n{said[-3000:]}")
    progress.say("\n".join(f"    {line}" for line in said.splitlines()))


def _land() -> None:
    airflow, begun = Airflow(), time.monotonic()
    dags = [f"land_{source.name}" for source in sources() if source.pack == PACK]
    if any(feed.pack == PACK for feed in feeds()):
        dags.append("land_files")
    airflow.wait_for(dags)
    follow(airflow, [Run(dag_id, dag_id, airflow.running_or_new(dag_id)) for dag_id in dags], begun)


def _mirror(progress: Progress) -> None:
    """See readings arrive, and ask the SCADA server at once for what it recorded before, so that yesterday has some.

    The DAG would ask after its first drain, some minutes later.
    """
    from include.ot.backfill import backfill
    from include.ot.gaps import open_gaps, told_of

    with progress.step("first readings in Iceberg"):
        deadline = time.monotonic() + MIRROR_PATIENCE_S
        while not told_of(SCADA, "first_seen"):
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"No reading of {SCADA} reached ot.readings in {MIRROR_PATIENCE_S:.0f} s. "
                    "Look at `make status` and at the DAG mirror_ot, then run `make demo` again"
                )
            time.sleep(1.0)
    for gap in open_gaps():
        if gap.source == SCADA and gap.cause == "first_seen":
            with progress.step("history of the SCADA server"):
                done = backfill(gap.gap_id, "demo")
            progress.say(f"    {done or 'is in already'}")


def _close() -> None:
    """The days before yesterday first, as one run, so that yesterday's report has a month to compare with."""
    trend = {
        c.name: _missing(c, _yesterday(c) - TREND_DAYS * ONE_DAY, _yesterday(c) - ONE_DAY) for c in calendars(PACK)
    }
    for what, wanted in (
        ("trend", trend),
        ("last day", {c.name: _missing(c, _yesterday(c), _yesterday(c)) for c in calendars(PACK)}),
    ):
        windows = {calendar: days for calendar, days in wanted.items() if days}
        if windows:
            windows = {name: (str(first), str(last)) for name, (first, last) in windows.items()}
            close_windows(PACK, windows, reason=f"demo: {what}")
        else:
            print(f"  {what}: published before")


def _missing(calendar: Calendar, first: date, last: date) -> tuple[date, date] | None:
    """The span from the first to the last day that is not published, or None."""
    from include.publish.seal import close_rows, live

    published = live(close_rows(PACK, calendar.name, first, last))
    days = [first + n * ONE_DAY for n in range((last - first).days + 1)]
    missing = [day for day in days if f"{day}@{calendar.name}" not in published]
    return (missing[0], missing[-1]) if missing else None


def _yesterday(calendar: Calendar) -> date:
    """The contract day whose close was due last: it has ended, and so has its grace."""
    due = datetime.now(UTC) - timedelta(minutes=calendar.grace_minutes)
    return ContractDay(calendar.zone, calendar.contract_hour).last_ended(due)


def _where(days: dict[str, date]) -> str:
    """Where to look, with the files of the days just published named."""
    from include.publish.seal import close_rows, live

    lines = [where_to_look(PACK)]
    for calendar, day in days.items():
        for sealed in live(close_rows(PACK, calendar, day, day)).values():
            report = settings.reports_dir / PACK / calendar / str(day) / f"v{sealed.version}.html"
            lines += [f"{'Close report':<13}{shown(report)}"] if report.exists() else []
    dags = [f"land_{source.name}" for source in sources() if source.pack == PACK]
    dags += ["land_files", "mirror_ot", *(one.dag_id for one in calendars(PACK)), "maintain_lakehouse"]
    return "\n".join([*lines, f"{'DAGs':<13}{', '.join(dags)}"])


def _timed(part) -> float:
    begun = time.monotonic()
    part()
    return time.monotonic() - begun
