"""Real brokers for trials: started, killed and started again on the same folder."""

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from include.ot.mqtt import RECORDER, Delivery, Subscriber
from include.ot.topics import EVERYTHING
from stack import mosquitto, nats
from tests.ot.tools import debian_program

DEADLINE_S = 180
ACK_WAIT_S = 5  # the embedded broker sends again after it, and not before


def eventually(holds: Callable[[], object], what: str = "it") -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true within {DEADLINE_S} s"
        time.sleep(0.02)


def settle(subscriber: Subscriber) -> None:
    """Wait until the broker has read all that was acknowledged: it answers what comes after it."""
    answers = []
    subscriber._client.on_unsubscribe = lambda *_: answers.append(True)
    subscriber._client.unsubscribe("nothing")
    eventually(lambda: answers, "the broker answers")


@dataclass
class Taken:
    """A recorder that keeps what it was given; it acknowledges by itself unless told not to."""

    url: str
    acknowledges: bool = True
    deliveries: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscriber = Subscriber(RECORDER, RECORDER, EVERYTHING, self.take, url=self.url)
        self.subscriber.start()

    def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self.acknowledges:
            delivery.ack()

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    def has(self, count: int) -> bool:
        return len(set(self.payloads)) >= count

    def __enter__(self) -> "Taken":
        return self

    def __exit__(self, *_) -> None:
        settle(self.subscriber)
        self.subscriber.stop()


class Broker:
    """A broker as the platform configures it."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.folder, self.tls = folder, tls  # certificate and key
        self.folder.mkdir(parents=True)
        self.port, self.other_port = nats._free_ports(2)
        self.url = f"mqtts://127.0.0.1:{self.other_port}" if tls else f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None
        self._prepare()

    def _prepare(self) -> None: ...

    def _start(self) -> subprocess.Popen: ...

    def start(self) -> None:
        self._process = self._start()
        eventually(self.is_listening, f"{self.url} answers")

    def is_listening(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", urlsplit(self.url).port), timeout=5):
            return True
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


class Nats(Broker):
    """The embedded profile's."""

    def _prepare(self) -> None:
        nats.make_session(self.folder, ACK_WAIT_S)
        port, other_port = (self.other_port, self.port) if self.tls else (self.port, self.other_port)
        self._configuration = nats.configure(self.folder, port, other_port, ack_wait_s=ACK_WAIT_S, tls=self.tls)

    def _start(self) -> subprocess.Popen:
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(nats.command(self._configuration), stdout=log, stderr=log)


class Mosquitto(Broker):
    """The distributed profile's."""

    def _prepare(self) -> None:
        self._program = debian_program("mosquitto")
        tls = self.tls and mosquitto.Tls(self.other_port, *map(str, self.tls), host="127.0.0.1")
        self._configuration = mosquitto.write(self.folder, port=self.port, tls=tls)
        self.start()
        plain = f"mqtt://127.0.0.1:{self.port}"
        recorder = Subscriber(RECORDER, RECORDER, EVERYTHING, lambda _: None, url=plain)
        recorder.start()
        eventually(lambda: recorder.is_connected, "the recorder's session")
        recorder.stop()
        self.stop()

    def _start(self) -> subprocess.Popen:
        return self._program.start("-c", str(self._configuration), log=self.folder / "log")
