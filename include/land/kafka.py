"""What Kafka keeps of a source's stream: its topics, which commits of the sink are whole, and where transactions ended.

The topics are named by the epoch, so a new replication slot, or a Kafka that was set up anew, never meets what an
older stream left behind.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from include.errors import LandingError
from include.settings import settings

T = TypeVar("T")
TIMEOUT_S = 20.0
_QUIET = {"log_level": 0, "error_cb": lambda _: None}
_HOUR_MS = 3_600_000
_STEP = 2_000  # transactions that are looked through at once, from the newest backwards
WAKE_S = 0.2
_NOT_YET = (  # a topic made just now, or a broker that has just come back
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)


def prefix(source: str, epoch: int) -> str:
    """What the names of all topics of one epoch begin with."""
    return f"hnai.{source}.{epoch}"


def changes_topic(source: str, epoch: int) -> str:
    """Every change of a source, in the order of delivery: one topic with one partition."""
    return f"{prefix(source, epoch)}.changes"


def transactions_topic(source: str, epoch: int) -> str:
    """Where each transaction began and ended, as Debezium tells it."""
    return f"{prefix(source, epoch)}.transaction"


def control_topic(source: str, epoch: int) -> str:
    """On it the sink's writer tells its committer of the files that it wrote."""
    return f"{prefix(source, epoch)}.control"


def highest_epoch(source: str) -> int:
    """The newest epoch that Kafka has topics of; 0 where there is none. A new one must not meet what is left of it."""
    with _explained():
        topics = _admin().list_topics(timeout=TIMEOUT_S).topics
    found = (re.fullmatch(rf"hnai\.{re.escape(source)}\.(\d+)\.changes", topic) for topic in topics)
    return max((int(match[1]) for match in found if match), default=0)


def group(source: str, epoch: int) -> str:
    """The sink's consumer group; that of its committer is called the same with `-coord` behind it."""
    return f"{prefix(source, epoch)}.sink"


def ensure_topics(source: str, epoch: int) -> bool:
    """Make the epoch's topics where they are missing. False where the sink's place in them was lost.

    The sink's place is put at the beginning of each, before anything is in it. Left to itself the committer would
    begin at the *end*, and pass by files that were written before it first committed; and a writer that may begin
    anywhere would pass in silence what Kafka deleted before it was read.
    """
    wanted = {
        changes_topic(source, epoch): {},
        transactions_topic(source, epoch): {"retention.ms": str(6 * _HOUR_MS)},
        control_topic(source, epoch): {},
    }
    with _explained():
        admin = _admin()
        have = admin.list_topics(timeout=TIMEOUT_S).topics
        new = [NewTopic(name, 1, -1, config=config) for name, config in wanted.items() if name not in have]
        for made in admin.create_topics(new, request_timeout=TIMEOUT_S).values() if new else ():
            try:
                made.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        for of, topic in ((group(source, epoch), changes_topic(source, epoch)), _committer(source, epoch)):
            if _place(of, topic) is None:
                if _end(topic):
                    return False
                _patiently(lambda of=of, topic=topic: _put(of, topic))
    return True


def committed_up_to(source: str, epoch: int) -> int | None:
    """Up to which place of the control topic every file is committed, in *all* tables.

    The committer notes it after it committed the last table of a round, and only where none failed.
    """
    with _explained():
        return _place(*_committer(source, epoch))


def _committer(source: str, epoch: int) -> tuple[str, str]:
    return f"{group(source, epoch)}-coord", control_topic(source, epoch)


def _place(of: str, topic: str) -> int | None:
    """A consumer group's place in a topic, None where it has none.

    Not asked of an admin client, which may hang for good once its broker has died and come back.
    """
    consumer = Consumer({"bootstrap.servers": settings.kafka_brokers, "group.id": of, **_QUIET})
    try:
        (found,) = _patiently(lambda: consumer.committed([TopicPartition(topic, 0)], timeout=TIMEOUT_S))
    finally:
        consumer.close()
    return None if found.error or found.offset == OFFSET_INVALID else found.offset


def _put(of: str, topic: str) -> None:
    """Put a consumer group's place at the beginning of a topic."""
    admin = _admin()
    asked = [ConsumerGroupTopicPartitions(of, [TopicPartition(topic, 0, 0)])]
    for done in admin.alter_consumer_group_offsets(asked, request_timeout=TIMEOUT_S).values():
        done.result()


def _end(topic: str) -> int:
    """How much was ever written to a topic."""
    at = TopicPartition(topic, 0)

    def ask() -> int:
        admin = _admin()
        return admin.list_offsets({at: OffsetSpec.latest()}, request_timeout=TIMEOUT_S)[at].result().offset

    return _patiently(ask)


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again while Kafka says that it is not ready yet."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise
            time.sleep(WAKE_S)


def last_commit_below(source: str, epoch: int, lsn: int, timeout_s: float) -> int:
    """Where the last transaction ended that PostgreSQL committed at or below `lsn`.

    Waits until a later one has ended, since only then is it known to be the last. Raises `LandingError` after
    `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    topic = transactions_topic(source, epoch)
    options = {"bootstrap.servers": settings.kafka_brokers, "group.id": f"hnai-reader-{uuid.uuid4()}", **_QUIET}
    with _explained():
        consumer = Consumer({**options, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        try:
            first, start = _bounds(consumer, topic, deadline)
            while True:
                start = max(first, start - _STEP)
                consumer.assign([TopicPartition(topic, 0, start)])
                last = None
                for ended in _ends(consumer, deadline):
                    if ended > lsn:
                        break
                    last = ended if last is None else max(last, ended)
                else:
                    raise LandingError(
                        f"The stream of {source!r} did not pass {lsn} within {timeout_s:.0f} s. Does its connector run?"
                    )
                if last is not None:
                    return last
                if start == first:
                    raise LandingError(f"{topic} does not reach back to {lsn}. Clear this task: it takes a newer one.")
        finally:
            consumer.close()


def _bounds(consumer: Consumer, topic: str, deadline: float) -> tuple[int, int]:
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=TIMEOUT_S)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)  # Kafka is away for a moment


def _ends(consumer: Consumer, deadline: float) -> Iterator[int]:
    while time.monotonic() < deadline:
        message = consumer.poll(WAKE_S)
        if message is None or message.error() or message.value() is None:
            continue
        event = json.loads(message.value())
        if event.get("status") == "END":
            yield int(event["id"].rpartition(":")[2])


def _admin() -> AdminClient:
    """A client of its own for each question; it has to be held until the answer is there."""
    return AdminClient({"bootstrap.servers": settings.kafka_brokers, **_QUIET})


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise LandingError(
            f"Kafka at {settings.kafka_brokers} refused or did not answer: {error.args[0]}. Look at: make status"
        ) from error
