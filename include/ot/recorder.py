"""The recorder: takes every message of the bridges from the broker, once, and makes it durable.

Broker → `take` → spool → acknowledged; hot store and lake then read the spool, each at its own pace. What nobody can
read is kept with its reason and acknowledged, so that the stream goes on. Where the disk refuses, nothing is
acknowledged and no more is taken: the broker keeps it. A Kafka topic is a second input, where settings name one.

    python -m include.ot.recorder
"""

import argparse
import logging
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from include.errors import HnaiError, PayloadError, SpoolError
from include.ot.columns import read_message
from include.ot.hot import HotConsumer
from include.ot.mqtt import RECORDER, Delivery, Subscriber
from include.ot.recorder_health import Health, Input
from include.ot.refused import Refused
from include.ot.spool import SpoolReader, SpoolWriter
from include.ot.topics import EVERYTHING
from include.settings import settings

log = logging.getLogger(__name__)

TURN_S = 0.1  # how often the recorder looks around
EXPIRE_S, EXPIRE_FILES = 5.0, 200  # how often old segments go, and how many at one time
RETRY_S = 1.0  # between two tries to seal on a disk that refuses
OPEN_FACTOR = 4  # of settings.ot.seal_rows: readings that may wait while the disk refuses


class Recorder:
    """Takes deliveries (any thread) and seals segments (`turn`, from one thread)."""

    def __init__(self, writer: SpoolWriter, on_sealed: Callable[[], None] = lambda: None) -> None:
        self.writer = writer
        self.refused = Refused(writer.folder / "refused")
        self.readings = self.repetitions = 0  # since the start
        self._problems: dict[str, str] = {}  # by what does not work, while it does not
        self._on_sealed = on_sealed
        self._turn = threading.Condition()  # guards the writer
        self._acks: list[Callable[[], None]] = []  # of the messages that wait to be sealed
        self._try_again_at = self._expired_at = 0.0
        self._is_stopping = False

    @property
    def problem(self) -> str | None:
        return "; ".join(list(self._problems.values())) or None

    def take(self, delivery: Delivery) -> None:
        """Take one message. Returns at once, unless the disk refuses: then the broker must wait.

        A message that cannot be read is acknowledged once it is kept. One that is durable already is so at once.
        """
        try:
            message = read_message(delivery.payload)
        except PayloadError as error:
            self._refuse(delivery, error)
            return
        with self._turn:
            self._turn.wait_for(lambda: self._has_room() or self._is_stopping)
            if self._is_stopping:
                return
            was = self.writer.add(message, len(delivery.payload))
            self.repetitions += was != "new"
            if was == "new":
                self.readings += message.rows
            if was != "sealed":
                self._acks.append(delivery.ack)
            ready = [delivery.ack] if was == "sealed" else self._seal_if_due()
        _acknowledge(ready)

    def turn(self) -> None:
        """Seal what is due, and let old segments go."""
        with self._turn:
            ready = self._seal_if_due()
        _acknowledge(ready)
        if time.monotonic() - self._expired_at >= EXPIRE_S:
            self._expired_at = time.monotonic()
            self.expire()

    def expire(self) -> None:
        keep, deleted = timedelta(hours=settings.ot.spool_hours), EXPIRE_FILES
        try:
            while deleted == EXPIRE_FILES:
                with self._turn:
                    deleted = self.writer.expire(keep, limit=EXPIRE_FILES)
        except (OSError, sqlite3.Error) as error:
            self._trouble("expire", f"Old segments cannot be deleted: {error}")
        else:
            self._well("expire")

    def totals(self) -> tuple[int, int, int]:
        """Segments kept, their bytes, and how many of them are corrupt."""
        with self._turn:
            return self.writer.totals()

    def missing(self) -> int:
        with self._turn:
            return self.writer.seen.missing()

    def wait(self) -> None:
        """Return when something may be due."""
        with self._turn:
            due_in = self.writer.due_in()
        time.sleep(TURN_S if due_in is None or self._problems else min(TURN_S, due_in))

    def stop(self) -> None:
        """Seal what is open and take no more. What cannot be sealed stays with the broker."""
        with self._turn:
            self._is_stopping = True
            self._turn.notify_all()
            ready = self._seal(self.writer.waiting > 0)
        _acknowledge(ready)

    def _seal_if_due(self) -> list[Callable[[], None]]:
        return self._seal(self.writer.due_in() == 0.0 and time.monotonic() >= self._try_again_at)

    def _seal(self, is_due: bool) -> list[Callable[[], None]]:
        """Seal, and give what may now be acknowledged; outside the lock, since the broker's thread needs both."""
        if not is_due:
            return []
        try:
            self.writer.seal()
        except SpoolError as error:
            self._try_again_at = time.monotonic() + RETRY_S
            self._trouble("seal", str(error))
            return []
        self._well("seal")
        ready, self._acks = self._acks, []
        self._turn.notify_all()
        self._on_sealed()
        return ready

    def _has_room(self) -> bool:
        return "seal" not in self._problems or self.writer.rows < OPEN_FACTOR * settings.ot.seal_rows

    def _refuse(self, delivery: Delivery, error: PayloadError) -> None:
        while not self._is_stopping:
            try:
                self.refused.keep(delivery, str(error))
            except OSError as trouble:
                self._trouble("refuse", f"A refused payload cannot be kept in {self.refused.folder}: {trouble}")
                time.sleep(RETRY_S)
            else:
                self._well("refuse")
                delivery.ack()
                return

    def _trouble(self, what: str, problem: str) -> None:
        if problem != self._problems.get(what):
            log.error("%s", problem)
        self._problems[what] = problem

    def _well(self, what: str) -> None:
        if self._problems.pop(what, None):
            log.info("The spool is well again (%s)", what)


def _acknowledge(acks: list[Callable[[], None]]) -> None:
    for ack in acks:
        ack()


def run(stop: threading.Event) -> None:
    """Record until told to stop."""
    folder = settings.ot_dir / "spool"
    writer = SpoolWriter(folder)
    reader = SpoolReader(folder)
    hot = HotConsumer(reader)
    recorder = Recorder(writer, on_sealed=hot.wake)
    inputs = _inputs(recorder)
    health = Health(recorder, reader, inputs, hot)
    hot.start()
    for each in inputs.values():
        each.start()
    log.info("Recording from %s into %s", ", ".join(each.url for each in inputs.values()), folder)
    try:
        while not stop.is_set():
            recorder.wait()
            recorder.turn()
            health.write_if_due()
    finally:
        recorder.stop()
        for each in inputs.values():
            each.stop()
        hot.stop()
        health.write()
        writer.close()


def _inputs(recorder: Recorder) -> dict[str, Input]:
    inputs: dict[str, Input] = {"broker": Subscriber(RECORDER, RECORDER, EVERYTHING, recorder.take)}
    if settings.ot.kafka_brokers:
        from include.ot.kafka_input import KafkaSubscriber  # librdkafka: where it is used only

        ot = settings.ot
        inputs["kafka"] = KafkaSubscriber(ot.kafka_brokers, ot.kafka_topic, ot.kafka_group, recorder.take)
    return inputs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m include.ot.recorder", description=__doc__.partition("\n\n")[0])
    parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(stop)
    except HnaiError as error:
        sys.exit(f"The recorder does not start: {error}")


if __name__ == "__main__":
    main()
