"""The trial source of `tests/land_cdc` on Kafka Connect: the same declaration, DAG steps and reading of raw."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.land_cdc.trial import Trial, _make_database, declared_in


class ConnectTrial(Trial):
    """The trial source, landed by the platform's Kafka Connect. Its worker is a service, which comes back by itself."""

    def start_worker(self) -> None: ...

    def kill_worker(self) -> None:
        kill_service("connect")

    def stop(self) -> None:
        from include.errors import LandingError
        from include.land import connect

        self.db.close()
        with suppress(LandingError):  # it never came up; the service stops with the platform
            connect.delete("trial")


def kill_service(name: str, timeout_s: float = 60) -> None:
    """Kill a service of the platform at once, and see its supervisor start it again."""
    from stack.leftovers import recorded

    killed = set(recorded(name).members())
    assert killed, f"{name} does not run"
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + timeout_s
    while not set(recorded(name).members()) - killed:
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.1)


@contextmanager
def open_trial(folder: Path) -> Iterator[ConnectTrial]:
    """The trial source with its connectors running, its files in `folder`. Stores, Kafka and Connect must be up."""
    _make_database()
    with declared_in(folder / "models"):
        trial = ConnectTrial(folder / "models", folder / "worker.log")
        try:
            trial.db.execute("create table first (id int primary key, v text)")
            trial.declare("first", ["id"])
            trial.land()
            trial.wait_running()
            yield trial
        finally:
            trial.stop()
