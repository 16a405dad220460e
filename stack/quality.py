"""`check` and `test`: linters and tests, each step timed, and what is missing named."""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from include.settings import ROOT
from stack.layout import BIN, child_environment

LINTERS = (
    ("ruff", ["ruff", "check", "--quiet", "."], "Many repair themselves: ruff check --fix ."),
    ("format", ["ruff", "format", "--quiet", "--check", "."], "Repair: ruff format ."),
)
SQLFLUFF = ["sqlfluff", "lint", "--disable-progress-bar", "--processes", "2"]
CLEAN_SQL = ROOT / ".sqlfluff_cache"  # a line per model that was found clean: reading them all takes half a minute
SLOW = "platform or e2e or trial"
FAST = f"not ({SLOW}) and not torture"
CLUSTER = ROOT / "tests" / "cluster"
NO_TESTS = 5  # the exit code of pytest where nothing was selected
# Rooms that mostly wait, for services that they kill and for time limits, begin: two of them leave each other enough of
# two cores. Those that compute follow. A room that is not named comes last.
ORDER = ("e2e", "ot", "publish", "land_cdc", "demo", "cluster", "dbt")


def check() -> int:
    """Every linter and the fast tests; all are run even when one fails. Returns the exit code."""
    failed = [name for name, command, advice in LINTERS if not _passes(name, command, advice)]
    if not _sql_is_clean():
        failed.append("sqlfluff")
    pytest = ["pytest", "-q", "-n", "2", "-m", FAST]
    if not _passes("fast tests", pytest, "One alone: pytest path::name"):
        failed.append("fast tests")
    if failed:
        print(f"\nnot clean: {', '.join(failed)}")
    return 1 if failed else 0


def _sql_is_clean() -> bool:
    """Lint the models that were not found clean before, by their content and the linter's rules."""
    rules = (ROOT / "dbt" / ".sqlfluff").read_bytes() + version("sqlfluff").encode()
    models = {
        sha256(rules + str(path).encode() + path.read_bytes()).hexdigest(): path
        for path in sorted((ROOT / "dbt").rglob("*.sql"))
        if "macros" not in path.parts
    }
    known = set(CLEAN_SQL.read_text().split()) if CLEAN_SQL.is_file() else set()
    unseen = [str(path) for found, path in models.items() if found not in known]
    is_clean = not unseen or _passes("sqlfluff", [*SQLFLUFF, *unseen], "Repair: sqlfluff fix dbt")
    if not unseen:
        print(f"{'sqlfluff':<12} {'ok':<8} no model has changed")
    if is_clean:
        CLEAN_SQL.write_text("\n".join(models))
    return is_clean


def test(arguments: Sequence[str]) -> int:
    """The whole suite but the torture: the fast tests, then each room that needs a platform, on a platform of its own.

    A room kills services and fills databases, so none shares its platform with another; two rooms run at a time. With
    arguments, one plain call of pytest. Returns the exit code.
    """
    if arguments:
        return subprocess.call([str(BIN / "pytest"), *arguments], cwd=ROOT, env=_environment())
    fast = _Part({"fast": ["-n", "2", "-m", FAST]})
    return _run(fast, _Part(_rooms(f"({SLOW}) and not torture"), at_a_time=2))


def torture() -> int:
    """The long trials of the embedded profile: kills by the dozen, a transaction of a million rows.

    Returns the exit code.
    """
    return _run(_Part({room: chosen for room, chosen in _rooms("torture").items() if room != CLUSTER.name}))


def cluster_test(arguments: Sequence[str]) -> int:
    """All trials of the distributed profile, each file on a cluster of its own, for what it kills or declares.

    With arguments, one plain call of pytest. Returns the exit code.
    """
    if arguments:
        return test([str(CLUSTER), *arguments])
    files = sorted(CLUSTER.glob("test_*.py"))
    return _run(_Part({f"{CLUSTER.name}/{file.name}": [str(file.relative_to(ROOT))] for file in files}))


@dataclass(frozen=True)
class _Part:
    """Calls of pytest by the name of their room, and how many of them run at a time."""

    rooms: dict[str, list[str]]
    at_a_time: int = 1


@dataclass(frozen=True)
class Ran:
    """What became of one call of pytest."""

    room: str
    code: int
    wall_s: float
    cpu_s: float  # of pytest and what it waited for; services of a platform are not among them
    output: str
    counts: Counter[str]


def _rooms(marked: str) -> dict[str, list[str]]:
    """A call of pytest for each folder of tests, in the order in which they begin."""
    folders = [f for f in (ROOT / "tests").iterdir() if f.is_dir() and any(f.glob("test_*.py"))]
    folders.sort(key=lambda f: (ORDER.index(f.name) if f.name in ORDER else len(ORDER), f.name))
    return {folder.name: ["-m", marked, str(folder.relative_to(ROOT))] for folder in folders}


def _run(*parts: _Part) -> int:
    """Run pytest once a room, part after part, and add up what the runs report.

    A room without such tests is passed over. What a room prints is shown whole when it ends.
    """
    total: Counter[str] = Counter()
    broken = []
    for part in parts:
        with ThreadPoolExecutor(part.at_a_time) as pool:
            started = [pool.submit(_run_room, room, chosen) for room, chosen in part.rooms.items()]
            try:
                for done in as_completed(started):
                    ran = done.result()
                    if ran.code == NO_TESTS:
                        continue
                    outcome = "ok" if ran.code == 0 else "FAILED"
                    sys.stdout.write(ran.output)
                    print(f"--- {ran.room}: {outcome}, {ran.wall_s:.0f} s, {ran.cpu_s:.0f} CPU s", flush=True)
                    if ran.code:
                        broken.append(ran.room)
                    total.update(ran.counts)
            except BaseException:
                pool.shutdown(cancel_futures=True)  # an interrupt ends the rooms that run: begin no others
                raise
    failed = total["failures"] + total["errors"]
    if broken:
        print(f"\nfailed: {', '.join(sorted(broken))}. One alone: make test ARGS=tests/<room>")
    print(f"{total['tests'] - failed - total['skipped']} passed, {failed} failed, {total['skipped']} skipped")
    return 1 if broken else 0


def _run_room(room: str, chosen: list[str]) -> Ran:
    print(f"... {room}", flush=True)
    begun = time.monotonic()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        report, output = Path(folder) / "report.xml", Path(folder) / "output"
        command = [str(BIN / "pytest"), "-q", "--durations=3", f"--junitxml={report}", *chosen]
        with output.open("w") as shown:
            running = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=shown, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
        if report.exists():
            suite = ElementTree.parse(report).getroot().find("testsuite")
            counts.update({name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")})
        wall_s, cpu_s = time.monotonic() - begun, used.ru_utime + used.ru_stime
        return Ran(room, running.returncode, wall_s, cpu_s, output.read_text(), counts)


def _passes(name: str, command: list[str], advice: str) -> bool:
    begun = time.monotonic()
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, env=_environment(), capture_output=True, text=True
    )
    print(f"{name:<12} {'ok' if done.returncode == 0 else 'FAILED':<8} {time.monotonic() - begun:5.1f} s", flush=True)
    if done.returncode:
        sys.stdout.write(done.stdout + done.stderr)
        print(advice)
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """Without the address of a running platform: tests choose their own.

    Python keeps its bytecode in any case: the tests start it hundreds of times.
    """
    left_out = ("HNAI_STATE_DIR", "HNAI_PORT_SHIFT", "HNAI_PROFILE", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in child_environment().items() if name not in left_out}
