"""The payload from a Kafka topic, against the mock cluster that librdkafka brings: commits, crashes, rebalances.

HNAI_TEST_KAFKA=host:port runs the same trials against a real one.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from include.errors import OtError
from include.ot.kafka_input import KafkaSubscriber
from include.ot.mqtt import Delivery
from include.ot.reading import GOOD, Message, Reading, encode
from include.ot.recorder import Recorder
from include.ot.spool import SpoolReader, SpoolWriter
from include.settings import ROOT, settings
from tests.ot.brokers import eventually

pytestmark = pytest.mark.platform

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


REAL = os.environ.get("HNAI_TEST_KAFKA")
# The mock cluster lets the next member wait for the session of one that has left, longer where it comes back by name.
QUICK = {} if REAL else {"session.timeout.ms": "4000", "heartbeat.interval.ms": "300", "group.instance.id": ""}


class Cluster:
    """Two brokers inside this process, which live as long as their producer; or a real one."""

    def __init__(self) -> None:
        mock = {} if REAL else {"test.mock.num.brokers": 2}
        self._producer = Producer({"bootstrap.servers": REAL or "mock", **mock})
        self.brokers = ",".join(f"{b.host}:{b.port}" for b in self._producer.list_topics(timeout=30).brokers.values())

    def send(self, topic: str, *payloads: bytes, partition: int | None = None) -> None:
        for payload in payloads:
            self._producer.produce(topic, payload, partition=-1 if partition is None else partition)
        assert self._producer.flush(30) == 0

    def committed(self, topic: str, partition: int = 0) -> int:
        """The offset from which the group, named as the topic, would go on; negative where it has none."""
        asking = Consumer({"bootstrap.servers": self.brokers, "group.id": topic})
        try:
            return asking.committed([TopicPartition(topic, partition)], timeout=30)[0].offset
        finally:
            asking.close()


@pytest.fixture(autouse=True)
def options(monkeypatch) -> None:
    monkeypatch.setattr(settings.ot, "kafka_options", {**QUICK})


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def topic() -> str:
    return f"ot.{uuid4().hex[:8]}"


class Taken:
    """Keeps deliveries; acknowledges when told."""

    def __init__(self, cluster: Cluster, topic: str, *, acknowledges: bool = True, host: str = "one") -> None:
        self.deliveries: list[Delivery] = []
        self.acknowledges = acknowledges
        if REAL:
            settings.ot.kafka_options["group.instance.id"] = f"recorder-{host}"
        self.subscriber = KafkaSubscriber(cluster.brokers, topic, topic, self.take)

    def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self.acknowledges:
            delivery.ack()

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    def __enter__(self) -> "Taken":
        self.subscriber.start()
        return self

    def __exit__(self, *_) -> None:
        self.subscriber.stop()


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(first, first + count)]


def test_what_is_not_acknowledged_comes_again_after_a_restart(cluster, topic):
    cluster.send(topic, *numbered(3), partition=0)
    with Taken(cluster, topic, acknowledges=False) as first:
        eventually(lambda: first.payloads == numbered(3))
        first.deliveries[0].ack()
    assert cluster.committed(topic) == 1

    with Taken(cluster, topic) as second:
        eventually(lambda: second.payloads == numbered(3)[1:])
    assert cluster.committed(topic) == 3


def test_an_offset_waits_for_those_before_it(cluster, topic):
    cluster.send(topic, *numbered(4), partition=0)
    with Taken(cluster, topic, acknowledges=False) as taken:
        eventually(lambda: len(taken.deliveries) == 4)
        for number in (1, 3, 2):
            taken.deliveries[number].ack()
        assert taken.subscriber.waiting == 4
    assert cluster.committed(topic) < 0

    with Taken(cluster, topic, acknowledges=False) as taken:
        eventually(lambda: len(taken.deliveries) == 4)
        for number in (2, 0, 1):
            taken.deliveries[number].ack()
        assert taken.subscriber.waiting == 1
    assert cluster.committed(topic) == 3


def test_offsets_are_committed_while_it_runs(cluster, topic):
    cluster.send(topic, *numbered(5), partition=0)
    with Taken(cluster, topic) as taken:
        eventually(lambda: cluster.committed(topic) == 5)
        cluster.send(topic, *numbered(5), partition=0)
        eventually(lambda: cluster.committed(topic) == 10)
    assert len(taken.deliveries) == 10


def test_every_partition_is_read_and_committed_by_itself(cluster, topic):
    for partition in range(3):
        cluster.send(topic, *numbered(10, 10 * partition), partition=partition)
    with Taken(cluster, topic) as taken:
        eventually(lambda: sorted(taken.payloads, key=int) == numbered(30))
    assert [cluster.committed(topic, partition) for partition in range(3)] == [10, 10, 10]


def test_a_renewal_reads_again_what_was_not_acknowledged(cluster, topic):
    cluster.send(topic, *numbered(3), partition=0)
    cluster.send(topic, b"other", partition=1)
    with Taken(cluster, topic, acknowledges=False) as taken:
        eventually(lambda: len(taken.deliveries) == 4)
        of_the_first_time = taken.deliveries[:]
        next(d for d in of_the_first_time if d.payload == b"0").ack()
        taken.acknowledges = True
        taken.subscriber.renew()
        eventually(lambda: sorted(taken.payloads[4:]) == [b"1", b"2", b"other"])
        for delivery in of_the_first_time:  # too late: these are other deliveries now
            delivery.ack()
    assert (cluster.committed(topic), cluster.committed(topic, 1)) == (3, 1)


def test_a_message_that_was_not_taken_is_read_again_and_nothing_overtakes_it(cluster, topic):
    cluster.send(topic, *numbered(5), partition=0)
    cluster.send(topic, b"other", partition=1)
    taken, failures = Taken(cluster, topic), []

    def take(delivery: Delivery) -> None:
        if delivery.payload == b"2" and not failures:
            failures.append(delivery)
            raise RuntimeError("the disk was full for a moment")
        Taken.take(taken, delivery)

    taken.subscriber._hand_over = take
    with taken:
        eventually(lambda: [p for p in taken.payloads if p != b"other"] == numbered(5) and b"other" in taken.payloads)
    assert (cluster.committed(topic), cluster.committed(topic, 1)) == (5, 1)


def test_two_recorders_share_the_partitions_and_nothing_is_lost(cluster, topic):
    everything: set[bytes] = set()
    for partition in range(4):
        cluster.send(topic, *numbered(50, 50 * partition), partition=partition)
    with Taken(cluster, topic) as first:
        eventually(lambda: len(set(first.payloads)) == 200)
        with Taken(cluster, topic, host="two") as second:

            def both_read() -> bool:
                for partition in range(4):
                    cluster.send(topic, f"{partition} {len(everything)}".encode(), partition=partition)
                    everything.add(f"{partition} {len(everything)}".encode())
                return bool(second.deliveries)

            eventually(both_read, "the second gets a share")
        last = [f"last {partition}".encode() for partition in range(4)]
        for partition in range(4):
            cluster.send(topic, last[partition], partition=partition)
        eventually(lambda: set(last) <= set(first.payloads), "the first goes on alone")


def test_an_acknowledgement_of_a_partition_that_was_taken_away_does_nothing(cluster, topic):
    for partition in range(4):
        cluster.send(topic, b"early", partition=partition)
    with Taken(cluster, topic, acknowledges=False) as first:
        eventually(lambda: len(first.deliveries) == 4)
        with Taken(cluster, topic, acknowledges=False, host="two") as second:
            eventually(lambda: second.deliveries, "the second gets a share")
            for delivery in first.deliveries[:4]:
                delivery.ack()
    assert {cluster.committed(topic, partition) for partition in range(4)} == {-1001}


def test_it_reads_no_further_than_the_recorder_can_follow(cluster, topic, monkeypatch):
    monkeypatch.setattr("include.ot.kafka_input.MOST_OPEN", 100)
    monkeypatch.setattr("include.ot.kafka_input.FEW_OPEN", 50)
    monkeypatch.setattr("include.ot.kafka_input.BATCH", 10)
    cluster.send(topic, *numbered(1000), partition=0)
    with Taken(cluster, topic, acknowledges=False) as taken:
        eventually(lambda: len(taken.deliveries) >= 100)
        eventually(lambda: taken.subscriber._has_paused)
        assert len(taken.deliveries) <= 110
        taken.acknowledges = True
        for delivery in taken.deliveries[:]:
            delivery.ack()
        eventually(lambda: taken.payloads == numbered(1000))


def test_brokers_that_do_not_answer_are_told_by_name():
    subscriber = KafkaSubscriber("127.0.0.1:1", "ot", "recorder", lambda _: None)
    subscriber.start()
    try:
        eventually(lambda: "HNAI_OT__KAFKA_BROKERS" in subscriber.problem)
        assert not subscriber.is_connected
    finally:
        subscriber.stop()


def test_it_is_connected_once_the_topic_can_be_read(cluster, topic):
    cluster.send(topic, b"x")
    with Taken(cluster, topic) as taken:
        eventually(lambda: taken.subscriber.is_connected)
    assert taken.subscriber.problem == "stopped"


def test_an_empty_topic_is_refused():
    with pytest.raises(OtError, match="HNAI_OT__KAFKA_TOPIC"):
        KafkaSubscriber("127.0.0.1:1", "", "recorder", lambda _: None)


# With the recorder


def payload(number: int, store: str = "a") -> bytes:
    at = NOON + timedelta(seconds=number)
    reading = Reading(f"tag.{number % 7}", float(number), None, None, GOOD, at, "source", None, at, 0, "bar")
    return encode(Message("plant", store, number, at, (reading,)))


def rows(folder: Path) -> list[float]:
    reader = SpoolReader(folder)
    return [v for segment in reader.sealed(0) for v in reader.read(segment)["value_double"].to_pylist()]


class Recording:
    """A recorder on a Kafka topic, as `python -m include.ot.recorder` runs it."""

    def __init__(self, brokers: str, topic: str, folder: Path) -> None:
        self.writer = SpoolWriter(folder)
        self.recorder = Recorder(self.writer)
        self.subscriber = KafkaSubscriber(brokers, topic, topic, self.recorder.take)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Recording":
        self.subscriber.start()
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.recorder.wait()
            self.recorder.turn()

    def __exit__(self, *_) -> None:
        self._stopping.set()
        self._thread.join()
        self.recorder.stop()
        self.subscriber.stop()
        self.writer.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def test_an_offset_is_committed_once_its_segment_is_sealed(cluster, topic, folder):
    cluster.send(topic, *(payload(n) for n in range(1, 101)), partition=0)
    with Recording(cluster.brokers, topic, folder) as recording:
        eventually(lambda: recording.recorder.readings == 100)
        eventually(lambda: cluster.committed(topic) == 100)
        assert recording.writer.waiting == 0
    assert sorted(rows(folder)) == [float(n) for n in range(1, 101)]


def test_what_nobody_can_read_is_kept_with_its_reason_and_does_not_stop_the_rest(cluster, topic, folder):
    cluster.send(topic, payload(1), b"\xff no JSON", b'{"v": 99}', b"", payload(2), partition=0)
    with Recording(cluster.brokers, topic, folder) as recording:
        eventually(lambda: cluster.committed(topic) == 5)
        assert recording.recorder.refused.count == 3
        assert f"{topic}/0/3" in recording.recorder.refused.last
    assert sorted(rows(folder)) == [1.0, 2.0]
    assert len(list((folder / "refused").glob("*.json"))) == 3


def test_messages_that_come_over_both_roads_are_stored_once(cluster, topic, folder):
    cluster.send(topic, *(payload(n) for n in range(1, 11)), *(payload(n) for n in range(1, 11)), partition=0)
    with Recording(cluster.brokers, topic, folder) as recording:
        recording.recorder.take(Delivery("ot/v1/plant", payload(3), lambda: None))
        eventually(lambda: cluster.committed(topic) == 20)
    assert sorted(rows(folder)) == [float(n) for n in range(1, 11)]


@pytest.fixture
def process(cluster, topic, folder) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts the recorder as a process of its own."""
    started: list[subprocess.Popen] = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HNAI_OT__KAFKA_OPTIONS": json.dumps(QUICK)}

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.ot.test_kafka_input", cluster.brokers, topic, str(folder)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
            one.wait()


def test_a_killed_recorder_loses_nothing_and_stores_nothing_twice(cluster, topic, folder, process):
    sent, is_enough = itertools.count(1), threading.Event()

    def send() -> None:
        while not is_enough.wait(0.002):
            number = next(sent)
            cluster.send(topic, payload(number), partition=number % 3)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        for _ in range(3):
            segments = len(list(folder.glob("segment-*.parquet")))
            running = process()
            eventually(lambda n=segments: len(list(folder.glob("segment-*.parquet"))) > n + 1, "two more segments")
            running.send_signal(signal.SIGKILL)
            running.wait()
    finally:
        is_enough.set()
        sending.join()
    count = next(sent) - 1
    process()
    eventually(lambda: sum(cluster.committed(topic, partition) for partition in range(3)) == count)

    assert sorted(rows(folder)) == [float(n) for n in range(1, count + 1)]


def main() -> None:
    brokers, topic, folder = sys.argv[1:]
    with Recording(brokers, topic, Path(folder)):
        threading.Event().wait()


if __name__ == "__main__":
    main()
