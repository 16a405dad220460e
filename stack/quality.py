"""`check` and `test`: linters and tests, each step timed, and what is missing named."""

import subprocess
import sys
import time
from collections.abc import Sequence

from include.settings import ROOT
from stack.layout import BIN, child_environment

LINTERS = (
    ("ruff", ["ruff", "check", "--quiet", "."], "Many repair themselves: ruff check --fix ."),
    ("format", ["ruff", "format", "--quiet", "--check", "."], "Repair: ruff format ."),
    ("sqlfluff", ["sqlfluff", "lint", "--disable-progress-bar", "--processes", "2", "dbt"], "Repair: sqlfluff fix dbt"),
)
FAST = "not platform and not e2e and not torture"


def check() -> int:
    """Every linter and the fast tests; all are run even when one fails. Returns the exit code."""
    failed = [name for name, command, advice in LINTERS if not _passes(name, command, advice)]
    pytest = ["pytest", "-q", "-n", "2", "-m", FAST]
    if not _passes("fast tests", pytest, "One alone: pytest path::name"):
        failed.append("fast tests")
    if failed:
        print(f"\nnot clean: {', '.join(failed)}")
    return 1 if failed else 0


def test(arguments: Sequence[str]) -> int:
    """The whole suite in one process: its platform tests would compete for the same cores."""
    return subprocess.call([str(BIN / "pytest"), *arguments], cwd=ROOT, env=_environment())


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
    """Without the address of a running platform: tests choose their own."""
    environment = child_environment()
    return {name: value for name, value in environment.items() if name not in ("HNAI_STATE_DIR", "HNAI_PORT_SHIFT")}
