"""The whole way under load, each part killed in turn: what was read = hot store = lake, each reading once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from include.settings import postgres_dsn, settings
from stack import supervisor
from tests.ot.fake_plant import BATCH, write_seed

pytestmark = pytest.mark.platform

PATIENCE_S = 300  # a broker sends again after half a minute, a lease of a dead drain is free after one
PARTS = ("recorder", "mqtt", "postgres", "seaweedfs", "bridge", "drain")


class Kept:
    """A process that is started again whenever it ends, as the supervisor and Airflow's retries do."""

    def __init__(self, *command: str) -> None:
        self._command = [sys.executable, "-m", *command]
        self._over = threading.Event()
        self.process = subprocess.Popen(self._command)
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._over.is_set():
            self.process.wait()
            if not self._over.wait(0.5):
                self.process = subprocess.Popen(self._command)

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self._over.set()
        self.process.send_signal(signal.SIGTERM)
        self._keeper.join()
        self.process.wait()


class Chain:
    """A made-up plant, its bridge, the platform's broker, recorder and stores, and drains."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        write_seed(folder, name)
        self.bridge = Kept("tests.ot.fake_plant", name, str(folder))
        self.drain = Kept("include.ot.mirror", "--minutes", "60", "--idle", "3600")

    def kill(self, part: str) -> None:
        from stack.leftovers import recorded

        if part in ("bridge", "drain"):
            getattr(self, part).kill()
            return
        for pid in recorded(part).members():
            os.kill(pid, signal.SIGKILL)

    def put(self) -> list[int]:
        """The samples that each life of the bridge was given."""
        lives = sorted((self.folder / "lives").iterdir(), key=lambda path: int(path.name))
        return [int((life.read_text().splitlines() or ["0"])[-1]) for life in lives]

    def in_hot(self) -> list[tuple[str, int, str]]:
        query = """
            select tag_id, (extract(epoch from observed_at) * 1000000)::bigint, value_text
            from ot.readings where starts_with(tag_id, %s)"""
        with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
            return connection.execute(query, [f"{self.name}."]).fetchall()

    def in_lake(self) -> list[tuple[str, int, str]]:
        from include import lakehouse

        query = """
            select tag_id, epoch_us(observed_at), value_text
            from lakehouse.ot.readings where starts_with(tag_id, ?)"""
        with lakehouse.connect() as con:
            return con.execute(query, [f"{self.name}."]).fetchall()

    def stop_reading(self) -> None:
        """End the bridge, and send what it has left on its disk."""
        from include.ot.courier import Courier
        from include.ot.outbox import Outbox

        self.bridge.stop()
        outbox = Outbox(settings.ot_dir / self.name, self.name, settings.ot.outbox_mb)
        courier = Courier(outbox, f"bridge-{self.name}")
        courier.start()
        patiently(lambda: not outbox.waiting, "the outbox is sent")
        courier.stop()
        outbox.close()


def patiently(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds; whatever is away meanwhile is waited for as well."""
    deadline, last = time.monotonic() + PATIENCE_S, ""
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except Exception as error:  # of any library: the part was killed a moment ago
            last = f" ({error!r:.300})"
        time.sleep(0.2)
    pytest.fail(f"{what}: not within {PATIENCE_S} s{last}")


@pytest.fixture
def chain(request, platform, tmp_path) -> Iterator[Chain]:
    platform.start(("seaweedfs", "postgres", "mqtt", "recorder"))
    chain = Chain(f"faults_{'long' if request.node.get_closest_marker('torture') else 'short'}", tmp_path)
    yield chain
    chain.bridge.stop()
    chain.drain.stop()
    supervisor.stop(["recorder"])  # other trials are the recorder themselves


def kill_in_turn(chain: Chain, parts: list[str]) -> None:
    """Kill each part once readings of after the last kill have reached both stores."""
    for part in ("", *parts):
        if part:
            chain.kill(part)
        given = sum(chain.put()) if (chain.folder / "lives").is_dir() else 0
        patiently(lambda given=given: sum(chain.put()) > given + 500, f"the plant goes on after {part or 'its start'}")
        for store in (chain.in_lake, chain.in_hot):
            seen = len(store_or_none(store))
            patiently(lambda store=store, seen=seen: len(store()) > seen, f"{store.__name__} moves after {part}")


def store_or_none(store: Callable[[], list]) -> list:
    """What a store has; nothing while it cannot be asked."""
    try:
        return store()
    except Exception:  # it was killed a moment ago
        return []


def check(chain: Chain) -> None:
    """What a killed recorder had not acknowledged comes again after the broker's wait, so it is waited for."""
    chain.stop_reading()
    given = chain.put()
    for store in (chain.in_lake, chain.in_hot):
        patiently(lambda store=store: is_whole(store(), given), f"{store.__name__} has every reading of every life")
    lake, hot = chain.in_lake(), chain.in_hot()
    assert len(lake) == len(set(lake))
    assert sorted(lake) == sorted(hot)
    assert len(lake) <= sum(given) + BATCH * len(given)  # a plant may be killed before it writes down what it gave


def is_whole(rows: list[tuple[str, int, str]], given: list[int]) -> bool:
    """Whether each life's samples are there from the first on without a hole, and all of the last life's."""
    found: list[list[int]] = [[] for _ in given]
    for *_, text in rows:
        life, number = map(int, text.split())
        found[life].append(number)
    return len(found[-1]) == given[-1] and all(sorted(n) == list(range(len(n))) for n in found)


def test_each_part_killed_once_loses_and_doubles_nothing(chain):
    kill_in_turn(chain, list(PARTS))

    check(chain)


@pytest.mark.torture
def test_parts_killed_again_and_again_lose_and_double_nothing(chain):
    chance = random.Random(11)

    kill_in_turn(chain, [chance.choice(PARTS) for _ in range(24)])

    check(chain)
