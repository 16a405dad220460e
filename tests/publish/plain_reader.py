"""A plain SQL reader that loops over figures which must be equal, in a process of its own.

In a process of its own, since DuckDB ends its process when the object store dies in the middle of a read. One
statement loads its tables one after the other, a few milliseconds apart, and a publish may fall in between: so the
reader looks twice, and only a difference that is still there counts.

`python -m tests.publish.plain_reader "select a, b"` prints one JSON line per answer, until stopped.
"""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field


def loop(sql: str, pause_s: float = 0.02) -> None:
    import duckdb

    from include import lakehouse
    from include.errors import LakehouseError

    con = None
    while True:
        begun = time.time()
        try:
            con = con or lakehouse.connect()
            answer, looks = con.execute(sql).fetchone(), 1
            if len(set(answer)) > 1:
                begun = time.time()
                answer, looks = con.execute(sql).fetchone(), 2
            say = {"begun": begun, "ended": time.time(), "answer": [str(a) for a in answer], "looks": looks}
        except (duckdb.Error, LakehouseError, OSError):
            say = {"begun": begun, "ended": time.time(), "answer": None, "looks": 1}
        print(json.dumps(say), flush=True)
        time.sleep(pause_s)


@dataclass
class PlainReader:
    """Runs the loop, starts it again when it died, and keeps what it said."""

    sql: str
    said: list[dict] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _process: subprocess.Popen | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._process:
            self._process.kill()
        self._thread.join(30)

    def answers(self) -> list[dict]:
        """What was read while the platform answered."""
        return [s for s in self.said if s["answer"]]

    def differences(self, unhealthy: list[tuple[float, float]] = ()) -> list[dict]:
        """Answers whose figures differ, those left out whose reading met one of the spans `(from, to)`."""
        return [
            s
            for s in self.answers()
            if len(set(s["answer"])) > 1 and not any(s["begun"] < to and s["ended"] > start for start, to in unhealthy)
        ]

    def _follow(self) -> None:
        while not self._over.is_set():
            command = [sys.executable, "-W", "ignore", "-m", "tests.publish.plain_reader", self.sql]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for line in self._process.stdout:
                if line.endswith("\n"):
                    self.said.append(json.loads(line))
            self._process.wait()


if __name__ == "__main__":
    loop(sys.argv[1])
