"""The platform's payload from a Kafka topic: a second input of the recorder, beside the broker's.

Kafka keeps messages by itself, so no bridge and no outbox stand between: an offset is committed once the segment with
its message is sealed, in order for each partition, and never automatically. What comes again after a crash or a
rebalance meets the recorder's own (store, number).

    HNAI_OT__KAFKA_BROKERS=kafka1:9092,kafka2:9092
    HNAI_OT__KAFKA_TOPIC=ot.readings
"""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from include.errors import OtError
from include.ot.mqtt import Delivery
from include.settings import secret, settings

log = logging.getLogger(__name__)

BATCH = 500  # messages that are taken in one go
TURN_S = 0.1  # longest wait for the next ones
COMMIT_S = 0.5  # between two commits
ASK_S = 2.0  # between two questions whether the brokers answer again
RETRY_S = 1.0  # before messages that were not taken are read again
MOST_OPEN, FEW_OPEN = 20_000, 10_000  # messages without acknowledgement at which reading pauses, and goes on
PASSWORD = "kafka"  # the secret: password of the option sasl.username


class KafkaSubscriber:
    """Takes messages from a topic and commits only what was acknowledged. `problem` tells why nothing comes, or None.

    What is not acknowledged comes again: after `renew`, a restart or a rebalance. An `ack` from before that does
    nothing. `on_message` runs in this subscriber's thread; while it waits, nothing more is read.
    """

    def __init__(self, brokers: str, topic: str, group: str, on_message: Callable[[Delivery], None]) -> None:
        if not topic:
            raise OtError("HNAI_OT__KAFKA_TOPIC is empty; name the topic that carries the platform's payload")
        self.url, self.topic, self.group = f"kafka://{brokers}", topic, group
        self.problem: str | None = f"no answer yet from the Kafka brokers {brokers}"
        self._hand_over = on_message
        self._brokers = brokers
        self._guard = threading.Lock()
        self._read: dict[int, _Partition] = {}  # by number, those assigned to us
        self._has_paused = self._is_refused = False
        self._again_at: float | None = None  # when to read once more what was not acknowledged
        self._asked_at = self._committed_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-input", daemon=True)
        self._consumer = Consumer(_configuration(brokers, group, self._on_error, self._on_commit))

    @property
    def is_connected(self) -> bool:
        return self.problem is None

    @property
    def waiting(self) -> int:
        """Messages that were handed over and not acknowledged."""
        with self._guard:
            return sum(len(partition.open) for partition in self._read.values())

    def start(self) -> None:
        """Read in the background. Returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what is acknowledged and leave the group, so that another may take over at once."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.problem = "stopped"

    def renew(self) -> None:
        """Read once more what was not acknowledged."""
        self._again_at = 0.0

    def _run(self) -> None:
        consumer = self._consumer
        consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not self._stopping.is_set():
                try:
                    self._turn(consumer)
                except KafkaException as error:
                    self._report(_said(error.args[0]))
                    self._stopping.wait(RETRY_S)
        finally:
            self._commit(consumer, is_last=True)
            consumer.close()

    def _turn(self, consumer: Consumer) -> None:
        self._ask(consumer)
        if self._again_at is not None and time.monotonic() >= self._again_at:
            self._go_back(consumer)
        self._hold_or_go_on(consumer)
        for message in consumer.consume(BATCH, TURN_S):
            self._take(message)
        if time.monotonic() - self._committed_at >= COMMIT_S:
            self._commit(consumer)

    def _take(self, message: Message) -> None:
        if error := message.error():
            self._is_refused = error.code() in _REFUSALS
            self._report(f"{self.topic} cannot be read as group {self.group!r}: {_said(error)}")
            return
        number, offset = message.partition(), message.offset()
        with self._guard:
            partition = self._read.get(number)
            if partition is None:  # taken from us
                return
            partition.open.append(offset)
        if self._again_at is not None:  # read again soon, with those before it
            return

        def ack() -> None:
            with self._guard:
                if self._read.get(number) is partition:
                    partition.ack(offset)

        self._is_refused = False
        self._report(None)
        try:
            self._hand_over(Delivery(f"{self.topic}/{number}/{offset}", message.value() or b"", ack))
        except Exception:
            log.exception("Message %d of %s/%d was not taken; it is read again", offset, self.topic, number)
            self._again_at = time.monotonic() + RETRY_S

    def _go_back(self, consumer: Consumer) -> None:
        with self._guard:
            back = {number: partition.open[0] for number, partition in self._read.items() if partition.open}
        for number, offset in back.items():
            consumer.seek(TopicPartition(self.topic, number, offset))
        with self._guard:
            self._read.update({number: _Partition(self._read[number].position) for number in back})
        self._again_at = None

    def _hold_or_go_on(self, consumer: Consumer) -> None:
        """Read no further than the recorder can follow. The heartbeat goes on, so that nobody takes our place."""
        waiting = self.waiting
        if not self._has_paused and waiting >= MOST_OPEN:
            consumer.pause(consumer.assignment())
            self._has_paused = True
        elif self._has_paused and waiting <= FEW_OPEN:
            consumer.resume(consumer.assignment())
            self._has_paused = False

    def _commit(self, consumer: Consumer, *, is_last: bool = False) -> None:
        """Commit how far each partition is acknowledged without a hole."""
        with self._guard:
            due = {n: p.position for n, p in self._read.items() if p.position not in (None, p.committed)}
        self._committed_at = time.monotonic()
        if not due:
            return
        try:
            consumer.commit(
                offsets=[TopicPartition(self.topic, number, offset) for number, offset in due.items()],
                asynchronous=not is_last,
            )
        except KafkaException as error:
            log.warning("Offsets of %s are not committed: %s. They are tried again", self.topic, _said(error.args[0]))
            return
        with self._guard:
            for number, offset in due.items():
                if number in self._read:
                    self._read[number].committed = offset

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error:
            log.warning("Offsets of %s are not committed: %s. They are tried again", self.topic, _said(error))
            with self._guard:
                for partition in self._read.values():
                    partition.committed = None

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._guard:
            self._read = {partition.partition: _Partition() for partition in partitions}
        self._has_paused = self._is_refused = False
        log.info("Reading %s, partitions %s", self.topic, sorted(self._read))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit(consumer, is_last=True)
        self._lost(consumer, partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._guard:
            for partition in partitions:
                self._read.pop(partition.partition, None)

    def _ask(self, consumer: Consumer) -> None:
        """While something is wrong, look whether it still is."""
        if self.problem is None or self._is_refused or time.monotonic() - self._asked_at < ASK_S:
            return
        self._asked_at = time.monotonic()
        try:
            found = consumer.list_topics(self.topic, timeout=ASK_S).topics[self.topic]
        except KafkaException as error:
            self._report(
                f"the Kafka brokers {self._brokers} do not answer: {_said(error.args[0])}. Are they up, and "
                "HNAI_OT__KAFKA_BROKERS right?"
            )
            return
        if found.error:
            self._report(
                f"the topic {self.topic!r} cannot be read: {_said(found.error)}. Is HNAI_OT__KAFKA_TOPIC right, and "
                f"may the group {self.group!r} read it?"
            )
        else:
            self._report(None)

    def _on_error(self, error: KafkaError) -> None:
        if self.problem is None and error.code() in _GRAVE:
            self._report(f"the Kafka brokers {self._brokers}: {_said(error)}")

    def _report(self, problem: str | None) -> None:
        if problem != self.problem:
            if problem is None:
                log.info("Reading %s from %s as group %s", self.topic, self.url, self.group)
            else:
                log.warning("%s", problem[0].upper() + problem[1:])
        self.problem = problem


_REFUSALS = (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_GRAVE = (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._FATAL)


class _Partition:
    """Which offsets of one partition are under way, and how far all are acknowledged."""

    def __init__(self, position: int | None = None) -> None:
        self.open: deque[int] = deque()  # in order
        self.position = position  # the offset to commit: all before it are acknowledged
        self.committed: int | None = None
        self._acked: set[int] = set()  # those that have an open one before them

    def ack(self, offset: int) -> None:
        self._acked.add(offset)
        while self.open and self.open[0] in self._acked:
            first = self.open.popleft()
            self._acked.discard(first)
            self.position = first + 1


def _configuration(
    brokers: str, group: str, on_error: Callable[[KafkaError], None], on_commit: Callable[..., None]
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "group.instance.id": f"recorder-{socket.gethostname()}",  # one that was killed gets its partitions back at once
        "session.timeout.ms": 10_000,
        "log_level": 2,  # `problem` tells what matters; a broker that is away would fill the log
        **settings.ot.kafka_options,
        "bootstrap.servers": brokers,
        "group.id": group,
        "client.id": "recorder",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # a group that is new reads all that the topic still has
        "error_cb": on_error,
        "on_commit": on_commit,
    }
    if "sasl.username" in options:
        options["sasl.password"] = secret(PASSWORD)
    return options


def _said(error: KafkaError) -> str:
    return f"{error.str()} ({error.name()})"
