"""Finish or undo half-made publishes whenever the catalog comes back, before it counts as healthy.

A killed catalog can leave part of a multi-table commit behind. This small service watches for a new life of the
catalog and runs the publisher's recovery once for each.
"""

import subprocess
import sys
import time

from stack.layout import RUN
from stack.leftovers import recorded
from stack.services import CATALOG, SERVICES

POLL_S = 0.5
RETRY_S = 5.0
MARKER = RUN / "recovered"


def watch() -> None:
    while True:
        life = recorded(CATALOG)
        done = MARKER.read_text().strip() if MARKER.exists() else ""
        if life and str(life) != done and life.is_led() and _answers():
            print("stack: the catalog is back; recovering unfinished publishes", flush=True)
            ended = subprocess.run([sys.executable, "-m", "include.publish.recover"])
            if ended.returncode == 0:
                half = MARKER.with_suffix(".half")
                half.write_text(f"{life}\n")
                half.rename(MARKER)
            else:
                print(f"stack: recovery failed with {ended.returncode}; again in {RETRY_S:.0f} s", flush=True)
                time.sleep(RETRY_S)
        time.sleep(POLL_S)


def _answers() -> bool:
    return CATALOG == "recover" or SERVICES[CATALOG].is_healthy() is None


if __name__ == "__main__":
    watch()
