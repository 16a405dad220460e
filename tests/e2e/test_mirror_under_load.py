"""The mirror on the whole platform under load, Airflow killed part by part: what was sent = hot store = lake, once.

Broker, recorder, bridge and stores are killed in tests/ot/test_faults.py; here it is what starts drains and runs them.
"""

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psutil
import psycopg
import pytest

from include.ot.mqtt import Publisher
from include.ot.reading import Message, Reading, encode
from include.ot.topics import topic_of
from include.settings import postgres_dsn
from stack.leftovers import recorded
from tests.e2e.conftest import ANSWER_S, Site, eventually, is_back, kill, service_process

pytestmark = [pytest.mark.platform, pytest.mark.e2e]

READINGS_A_MESSAGE, MESSAGES_A_S = 100, 5
PARTS = ("airflow-scheduler", "airflow-triggerer", "drain", "airflow-api-server", "airflow-dag-processor")


class Load:
    """A bridge that sends numbered readings all the time."""

    def __init__(self) -> None:
        self.tag_id = f"E2E-{uuid4().hex[:8]}.count"
        self.sent = 0
        self._acked: list = []
        self._over = threading.Event()
        self._publisher = Publisher("bridge", "bridge-e2e-load", self._acked.append)
        self._sender = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> "Load":
        self._publisher.start()
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sender.join()
        self._publisher.stop()

    def stop(self) -> int:
        """Send no more, wait until the broker has all; give the number of readings."""
        self._over.set()
        self._sender.join()
        eventually(lambda: len(self._acked) >= self.sent // READINGS_A_MESSAGE, ANSWER_S)
        return self.sent

    def _send(self) -> None:
        topic, store, number = topic_of("hnai/e2e/load/x/count"), str(uuid4()), 0
        while not self._over.wait(1 / MESSAGES_A_S):
            number += 1
            now = datetime.now(UTC)
            readings = tuple(
                Reading(
                    self.tag_id, float(n), None, None, 0, now + timedelta(microseconds=n), "source", now, now, 0, "1"
                )
                for n in range(self.sent, self.sent + READINGS_A_MESSAGE)
            )
            self._publisher.publish(topic, encode(Message("e2e-load", store, number, now, readings)))
            self.sent += READINGS_A_MESSAGE


@pytest.fixture
def load(site) -> Iterator[Load]:
    with Load() as found:
        yield found


def in_lake(site: Site, tag_id: str) -> tuple[int, int, float]:
    """Rows, different values, their sum."""
    return site.lake(
        "select count(*), count(distinct value_double), coalesce(sum(value_double), 0) "
        "from lakehouse.ot.readings where tag_id = ?",
        tag_id,
    )[0]


def in_hot(tag_id: str) -> tuple[int, int, float]:
    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        return connection.execute(
            "select count(*), count(distinct value_double), coalesce(sum(value_double), 0) "
            "from ot.readings where tag_id = %s",
            [tag_id],
        ).fetchone()


def drain_process() -> psutil.Process | None:
    """The task that commits segments: the holder of the mirror's lease."""
    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        ports = {
            port
            for (port,) in connection.execute(
                "select client_port from pg_stat_activity where application_name like 'lease %mirror%'"
            )
        }
    for connection in psutil.net_connections("tcp4"):
        if connection.laddr.port in ports and connection.pid not in (None, os.getpid()):
            found = psutil.Process(connection.pid)
            if "postgres" not in found.name():
                return found
    return None


def test_airflow_killed_part_by_part_while_readings_stream_loses_and_doubles_none(site, load):
    eventually(lambda: in_lake(site, load.tag_id)[0] > 0, ANSWER_S)
    for part in PARTS:
        if part == "drain":
            kill(eventually(drain_process, ANSWER_S))
        else:
            old = service_process(part)
            for pid in recorded(part).members():
                os.kill(pid, signal.SIGKILL)
            eventually(lambda part=part, pid=old.pid: is_back(part, pid), ANSWER_S)
        sent = load.sent
        eventually(lambda sent=sent: in_lake(site, load.tag_id)[0] > sent, ANSWER_S)

    sent = load.stop()

    whole = (sent, sent, float(sum(range(sent))))
    eventually(lambda: in_lake(site, load.tag_id)[0] >= sent, ANSWER_S)
    eventually(lambda: in_hot(load.tag_id)[0] >= sent, ANSWER_S)
    assert in_lake(site, load.tag_id) == whole
    assert in_hot(load.tag_id) == whole
