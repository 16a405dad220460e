"""A day of short shifts, closed by the timetable alone, while readings and corrections come late and processes die.

The day runs in a copy of the project whose calendar has nine shifts of some minutes; see `tests.e2e.short_shifts`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.settings import ROOT
from stack import testing

pytestmark = [pytest.mark.platform, pytest.mark.e2e, pytest.mark.torture]

SHIFTS, MINUTES = 9, 6
BEGINS_AFTER = timedelta(minutes=5)  # the platform is up by then
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".hnai*", ".cluster", ".env", "__pycache__", ".*_cache", "target")
OTHER_PACK = ("dbt/models", "dbt/seeds", "expectations")
BAR_S = 300  # from the end of a shift to its publish


@pytest.fixture
def project(tmp_path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy with short shifts from some minutes on and without the other pack, and the environment to run it in."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    for room in OTHER_PACK:
        shutil.rmtree(folder / room / "energypack")
    seeds = folder / "dbt" / "seeds" / "factorypack"
    begins = datetime.now(UTC) + BEGINS_AFTER
    zone, begins = _where_it_is_morning(begins)
    (seeds / "factorypack_calendars.csv").write_text(
        f"calendar,zone,contract_hour,grace_minutes,label\nriverside,{zone},6,1,Riverside (short shifts)\n"
    )
    edges = [begins + timedelta(minutes=MINUTES) * n for n in range(SHIFTS + 1)]
    lines = [
        f"riverside,2020-01-01,,Mon-Sun,{n},S{n},{edges[n - 1]:%H:%M},{edges[n]:%H:%M}" for n in range(1, SHIFTS + 1)
    ]
    heading = "calendar,valid_from,valid_to,weekdays,shift,shift_name,starts,ends\n"
    (seeds / "factorypack_shifts.csv").write_text(heading + "\n".join(lines) + "\n")
    (seeds / "factorypack_breaks.csv").write_text(heading.replace("shift_name", "break_name"))
    (seeds / "factorypack_holidays.csv").write_text("calendar,date,name\n")
    state = Path(tempfile.mkdtemp(prefix="hnai-shifts-"))  # no long path: there are sockets in it
    state.chmod(0o711)
    told = {"HNAI_STATE_DIR": str(state), "HNAI_PORT_SHIFT": str(testing.free_shift()), "PYTHONPATH": str(folder)}
    yield folder, {**os.environ, **told}
    shutil.rmtree(state, ignore_errors=True)


def _where_it_is_morning(instant: datetime) -> tuple[str, datetime]:
    """A zone in which an instant lies between seven and eight, and its local time there: no shift meets midnight."""
    ahead = (7 - instant.hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT", instant + timedelta(hours=ahead)


def told_of(project, part: str) -> dict:
    folder, environment = project
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.short_shifts", part],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * 3600,
    )
    assert done.returncode == 0
    return json.loads(done.stdout.splitlines()[-1])


def test_shifts_close_in_time_and_come_out_true_and_late_readings_wait_for_a_new_run(project):
    told = told_of(project, "in_time")

    assert all(differs == [] for differs in told["first_versions"].values()), told
    assert max(told["seconds"].values()) < BAR_S, told
    assert told["doubled"] == [], told


def test_shifts_come_out_true_whatever_dies(project):
    told = told_of(project, "through_kills")

    assert len(told["killed"]) >= 10, told
    assert {victim.split()[0] for victim in told["killed"]} == {"scheduler", "task", "catalog"}, told
    assert told["doubled"] == [], told
