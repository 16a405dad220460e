"""Carry an outbox to the broker: oldest message first, a window of them under way, each deleted once acknowledged."""

import logging
import queue
import threading
import time
from contextlib import suppress

from include.errors import OtError
from include.ot.mqtt import WINDOW, Publisher
from include.ot.outbox import Outbox

log = logging.getLogger(__name__)

STALL_S = 60  # a broker that holds a connection but acknowledges nothing for so long gets a new one
TICK_S = 1.0


class Courier:
    """A thread beside the one that fills the outbox. What it has not carried when it stops waits for the next start."""

    def __init__(self, outbox: Outbox, client_id: str, user: str = "bridge") -> None:
        self.outbox = outbox
        self._events: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.publisher = Publisher(user, client_id, self._events.put)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=client_id, daemon=True)

    def start(self) -> None:
        self.publisher.start()
        self._thread.start()

    def wake(self) -> None:
        """Say that the outbox has something new."""
        self._events.put(None)

    def stop(self) -> None:
        self._stopped.set()
        self.wake()
        self._thread.join()
        self.publisher.stop()

    def _run(self) -> None:
        last = 0  # number of the last message that was handed over
        under_way: dict[int, tuple[int, int, float]] = {}  # by packet: number, size, when
        while not self._stopped.is_set():
            try:
                if len(under_way) <= WINDOW // 2:
                    for number, topic, payload in self.outbox.unsent(last, WINDOW - len(under_way)):
                        packet, last = self.publisher.publish(topic, payload), number
                        under_way[packet] = (number, len(payload), time.monotonic())
                for packet in self._next_events():
                    if packet in under_way:
                        number, size, _ = under_way.pop(packet)
                        self.outbox.done(number, size)
            except OtError as error:  # the disk is full or gone: what it holds is still there when it is back
                log.error("%s", error)
                self._stopped.wait(TICK_S)
            if under_way and self._has_stalled(next(iter(under_way.values()))[2]):
                log.warning("The broker has acknowledged nothing for %d s; connecting again", STALL_S)
                self.publisher.renew()

    def _next_events(self) -> list[int | None]:
        """What has happened since the last look, or within the next moment."""
        events = []
        with suppress(queue.Empty):
            events.append(self._events.get(timeout=TICK_S))
            while True:
                events.append(self._events.get_nowait())
        return events

    def _has_stalled(self, sent: float) -> bool:
        connected = self.publisher.connected_at
        return connected is not None and time.monotonic() - max(sent, connected) > STALL_S
