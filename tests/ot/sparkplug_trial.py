"""A Sparkplug bridge as a process of its own, an edge node at a real broker, and a look at the wire between them.

python -m tests.ot.sparkplug_trial NAME SEEDS {"kind": "sparkplug", "url": …}
"""

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from include.ot import tags as dictionary
from include.ot.mqtt import RECORDER, Delivery, Subscriber
from include.ot.reading import Gap, Reading, decode
from include.ot.sources import Source
from include.ot.tags import COLUMNS, OPTIONAL, Tag
from include.ot.topics import EVERYTHING
from include.settings import ROOT, secret, settings
from tests.ot.brokers import Broker, eventually
from tests.ot.sparkplug_edge import Edge

PUBLISH = 3  # the type of an MQTT packet


class Trial:
    """One source with its dictionary; its bridge is started, stopped and killed at will."""

    def __init__(self, broker: Broker, folder: Path, name: str, *tags: Tag, **options: Any) -> None:
        self.broker, self.name, self.options = broker, name, options
        self.health_file = settings.ot_dir / name / "health.json"
        self.seeds = folder / "seeds"
        self.declare(*tags)
        self.process: subprocess.Popen | None = None

    def declare(self, *tags: Tag) -> None:
        path = self.seeds / "plant" / "plant_tags.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        with half.open("w", newline="") as out:
            rows = csv.DictWriter(out, (*COLUMNS, *OPTIONAL))
            rows.writeheader()
            rows.writerows({**asdict(tag), "source": self.name} for tag in tags)
        half.replace(path)

    def start(self, **environment: str) -> None:
        """Start the bridge and wait until it listens."""
        self.health_file.unlink(missing_ok=True)
        source = {"url": self.broker.url, **self.options}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ot.sparkplug_trial", self.name, str(self.seeds), json.dumps(source)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HNAI_OT__BROKER_URL": self.broker.url, **environment},
        )
        eventually(lambda: self.health().get("is_connected"), f"the bridge listens: {self.health()}")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def health(self) -> dict[str, Any]:
        assert self.process.poll() is None, "the bridge has ended"
        try:
            return json.loads(self.health_file.read_text())
        except FileNotFoundError:
            return {}

    def count(self, name: str) -> int:
        return self.health().get("detail", {}).get("counts", {}).get(name, 0)


class Recorded:
    """What reaches the recorder."""

    def __init__(self, broker: Broker) -> None:
        self.readings: list[Reading] = []
        self.gaps: list[Gap] = []
        self._seen: set[tuple[str, int]] = set()
        self._subscriber = Subscriber(RECORDER, RECORDER, EVERYTHING, self._take, url=broker.url)
        self._subscriber.start()

    def _take(self, delivery: Delivery) -> None:
        message = decode(delivery.payload)
        if (message.store, message.number) not in self._seen:
            self._seen.add((message.store, message.number))
            self.readings += message.readings
            self.gaps += message.gaps
        delivery.ack()

    def values(self, tag_id: str) -> list[Any]:
        return [reading.value_double for reading in self.readings if reading.tag_id == tag_id]

    def stop(self) -> None:
        self._subscriber.stop()


class LiveEdge(Edge):
    """An edge node at a broker. Its last will is its death; `vanish` lets the broker tell it."""

    def __init__(self, broker: Broker, node: str = "G/E", bd: int = 0, qos: int = 0) -> None:
        super().__init__(node, bd)
        self.qos = qos
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"edge-{node}-{bd}", clean_session=True)
        self._client.username_pw_set("bridge", secret("mqtt_bridge"))
        topic, payload = self.ndeath()
        self._client.will_set(topic, payload, qos=1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        eventually(self._client.is_connected, "the edge node is connected")

    def tell(self, message: tuple[str, bytes]) -> None:
        sent = self._client.publish(*message, qos=self.qos)
        sent.wait_for_publish(60)
        assert sent.is_published()

    def vanish(self) -> None:
        """Cut the line without a word."""
        self._client.socket().shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Wire:
    """Lies between a client and a broker and keeps the kind of every packet that the client sends."""

    def __init__(self, port: int) -> None:
        self.sent: list[tuple[int, bytes]] = []  # type and the whole rest of each packet
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listening.getsockname()[1]}"
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def kinds(self) -> set[int]:
        return {kind for kind, _ in self.sent}

    def cut(self) -> None:
        """Break every line, as a network does."""
        while self._lines:
            line = self._lines.pop()
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                line.close()

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._lines += [client, server]
            threading.Thread(target=self._carry, args=(client, server, self._packets()), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, None), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, packets: Any) -> None:
        try:
            while data := one.recv(65536):
                if packets:
                    packets.send(data)
                other.sendall(data)
        except OSError:
            pass
        for line in (one, other):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                line.close()

    def _packets(self) -> Iterator[None]:
        """Cut what it is sent into packets."""
        packets = self._cut_up()
        next(packets)
        return packets

    def _cut_up(self) -> Any:
        buffer = b""
        while True:
            buffer += yield
            while len(buffer) >= 2:
                length, at = 0, 1
                while at < len(buffer) and at < 5:
                    length |= (buffer[at] & 0x7F) << 7 * (at - 1)
                    at += 1
                    if not buffer[at - 1] & 0x80:
                        break
                else:
                    break
                if len(buffer) < at + length:
                    break
                self.sent.append((buffer[0] >> 4, buffer[at : at + length]))
                buffer = buffer[at + length :]


@contextmanager
def running(trial: Trial, **environment: str) -> Iterator[Trial]:
    trial.start(**environment)
    try:
        yield trial
    finally:
        if trial.process.poll() is None:
            trial.process.terminate()
            trial.process.wait(60)


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    from include.ot.bridge import Bridge, run_until_told

    name, seeds, entry = sys.argv[1:]
    dictionary.SEEDS = Path(seeds)
    options = json.loads(entry)

    async def start() -> None:
        await run_until_told(Bridge(Source(name, "sparkplug", options.pop("url"), options)))

    asyncio.run(start())


if __name__ == "__main__":
    main()
