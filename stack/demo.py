"""`make demo`: from nothing to a published day of the demo operator, with the time that each part took.

Each part looks first at what is there, so a second run, or one after an interruption, does only what is missing.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.catalog import Calendar, calendars, sources
from include.condition import scored_packs
from include.periods import Period, between, date_of
from include.settings import ROOT, settings
from stack import supervisor
from stack.airflow_api import Airflow
from stack.close import Run, close_windows, follow
from stack.layout import BIN, LOGS, child_environment
from stack.platform import up
from stack.progress import Progress
from stack.services import PLATFORM, SIMULATORS
from stack.where import shown, where_to_look

SEEDS = {"demo operator": ["demo.load"], "demo plant": ["demo.plant", "load"]}
TREND_DAYS = {"daily": 35, "shift": 28}  # closed before the last day or shift, to compare it with
SCADA = "field_scada"
MIRROR_PATIENCE_S = 180.0


def run() -> None:
    """Everything, in order. Raises with a message that says what to do when a part fails."""
    split = {"install": _install_seconds()}
    progress, begun = Progress(), time.monotonic()
    progress.say("Start the platform")
    seeding: dict[str, subprocess.Popen] = {}
    up(PLATFORM, progress, beside=lambda: seeding.update({what: _start(what, *how) for what, how in SEEDS.items()}))
    for what in seeding:
        _finish(what, seeding[what], progress)
    supervisor.start(SIMULATORS)
    split["start"] = time.monotonic() - begun

    progress.say("\nLand the operator's and the plant's databases and partners' files")
    past = _start("plant's past", "demo.plant", "history")
    split["land"] = _timed(_land)
    progress.say("\nMirror the wells' SCADA and the plant's machines")
    split["mirror"] = _timed(lambda: _mirror(progress, past))
    progress.say("\nClose and publish")
    split["close"] = _timed(_close)
    from stack.summary import published

    last = {c.name: _last(c).name for c in calendars()}
    progress.say(f"\n{published(last)}")
    progress.say(f"\n{_where(last)}")
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


def _log(what: str) -> Path:
    return LOGS / f"{what.replace(' ', '-').replace(chr(39), '')}.log"


def _start(what: str, *module: str) -> subprocess.Popen:
    """Run a part of the demo beside the rest; each does only what is missing."""
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=child_environment(),
        stdout=_log(what).open("w"),
        stderr=subprocess.STDOUT,
    )


def _finish(what: str, begun: subprocess.Popen, progress: Progress) -> None:
    with progress.step(what):
        code = begun.wait(timeout=600)
    said = _log(what).read_text().strip()
    if code:
        raise RuntimeError(f"The {what} could not be loaded:\n{said[-3000:]}")
    progress.say(
        f"    {said.splitlines()[-1]}" if what not in SEEDS else "\n".join(f"    {x}" for x in said.splitlines())
    )


def _land() -> None:
    airflow, begun = Airflow(), time.monotonic()
    dags = [*(f"land_{source.name}" for source in sources()), "land_files"]
    airflow.wait_for(dags)
    follow(airflow, [Run(dag_id, dag_id, airflow.running_or_new(dag_id)) for dag_id in dags], begun)


def _mirror(progress: Progress, past: subprocess.Popen) -> None:
    """See readings arrive, and ask the SCADA server at once for what it recorded before, so that yesterday has some.

    The DAG would ask after its first drain, some minutes later. The machines' past comes from a historian's export.
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
    _finish("plant's past", past, progress)


def _close() -> None:
    """What lies before the last day or shift first, as one run, so that its report has something to compare with."""
    last = {c.name: _last(c) for c in calendars()}
    trend = {c.name: _missing(c, *_before(c, last[c.name])) for c in calendars()}
    for what, wanted in (
        ("trend", trend),
        ("last day or shift", {c.name: _missing(c, last[c.name].name, last[c.name].name) for c in calendars()}),
    ):
        windows = {calendar: names for calendar, names in wanted.items() if names}
        if windows:
            close_windows(windows, reason=f"demo: {what}")
        else:
            print(f"  {what}: published before")


def _last(calendar: Calendar) -> Period:
    """The period whose close was due last: it has ended, and so has its grace."""
    return calendar.periods.last_ended(datetime.now(UTC) - timedelta(minutes=calendar.grace_minutes))


def _before(calendar: Calendar, last: Period) -> tuple[str, str]:
    """The first and the last period of the trend."""
    until = calendar.periods.last_ended(last.starts_at)
    return (until.production_date - timedelta(days=TREND_DAYS[calendar.grain])).isoformat(), until.name


def _missing(calendar: Calendar, first: str, last: str) -> tuple[str, str] | None:
    """The span from the first to the last period that is not published, or None."""
    from include.publish.seal import close_rows, live

    periods = between(calendar.periods, first, last)
    rows = close_rows(calendar.pack, calendar.name, periods[0].production_date, periods[-1].production_date)
    published = live(rows)
    missing = [period.name for period in periods if f"{period.name}@{calendar.name}" not in published]
    return (missing[0], missing[-1]) if missing else None


def _where(last: dict[str, str]) -> str:
    """Where to look, with the reports of what was published last."""
    from include.publish.freeze import close_key
    from include.publish.seal import close_rows, live

    lines = [where_to_look()]
    for site in calendars():
        name = last[site.name]
        sealed = live(close_rows(site.pack, site.name, date_of(name), date_of(name))).get(close_key(name, site.name))
        if sealed:
            report = settings.reports_dir / site.pack / site.name / name / f"v{sealed.version}.html"
            lines += [f"{'Close report':<13}{shown(report)}"] if report.exists() else []
    dags = [f"land_{source.name}" for source in sources()]
    scored = [f"{pack}_score" for pack, _ in scored_packs()]
    dags += ["land_files", "mirror_ot", *(one.dag_id for one in calendars()), *scored, "maintain_lakehouse"]
    return "\n".join([*lines, f"{'DAGs':<13}{', '.join(dags)}"])


def _timed(part) -> float:
    begun = time.monotonic()
    part()
    return time.monotonic() - begun
