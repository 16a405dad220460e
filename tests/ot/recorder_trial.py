"""A recorder to be killed: fed by a stream that, like a broker, sends again whatever was not acknowledged.

    python -m tests.ot.recorder_trial FOLDER MESSAGES POINT SEAL

It ends by itself once everything is acknowledged. At the seal number SEAL of its life it kills itself at POINT: in
the middle of the file (half), before its rename (written), before the index knows it (renamed), before anything is
acknowledged (recorded), after some of it is (acking); never at all (none).
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from include.ot.mqtt import Delivery
from include.ot.reading import encode
from include.ot.recorder import Recorder
from include.ot.spool import SpoolWriter
from tests.ot.spool_samples import NOON, SECOND, a_gap, message, reading

POINTS = ("half", "written", "renamed", "recorded", "acking")
READINGS = 7  # in a message


def payload(number: int) -> bytes:
    """Message `number`: one of two stores, seven readings of its own, now and then a gap."""
    rows = [reading(number * READINGS + i, sequence=i) for i in range(READINGS)]
    gaps = [a_gap(cause=f"cause {number}")] if number % 10 == 0 else []
    sent_at = NOON + number * SECOND
    return encode(message(number // 2 + 1, *rows, store="ab"[number % 2], gaps=gaps, sent_at=sent_at))


class Mortal(SpoolWriter):
    def __init__(self, folder: Path, point: str, seal: int) -> None:
        super().__init__(folder)
        self.point, self.seals_to_live = point, seal

    def seal(self):
        self.seals_to_live -= self.waiting > 0
        segment = super().seal()
        if segment:
            self.die_at("recorded")
        return segment

    def die_at(self, point: str) -> None:
        if self.point == point and self.seals_to_live <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self, path, data):
        if self.point in ("half", "written") and self.seals_to_live <= 0:
            share = len(data) // 2 if self.point == "half" else len(data)
            path.with_name(f"{path.name}.tmp").write_bytes(data[:share])
            self.die_at(self.point)
        super()._write(path, data)
        self.die_at("renamed")


class Stream:
    """The broker: what is acknowledged is known to a file that outlives the recorder."""

    def __init__(self, path: Path, messages: int) -> None:
        self._log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        acked = os.pread(self._log, 1 << 24, 0).decode().split()
        self.waiting = dict.fromkeys(sorted(set(range(messages)) - set(map(int, acked))))

    def ack(self, number: int) -> None:
        os.write(self._log, f"{number}\n".encode())
        self.waiting.pop(number, None)


def main(folder: str, messages: str, point: str, seal: str) -> None:
    writer = Mortal(Path(folder) / "spool", point, int(seal))
    stream = Stream(Path(folder) / "acked", int(messages))
    recorder = Recorder(writer)
    acked = 0

    def deliver(number: int) -> None:
        def ack() -> None:
            nonlocal acked
            stream.ack(number)
            acked += 1
            if acked % 5 == 3:
                writer.die_at("acking")

        recorder.take(Delivery("ot/v1/x", payload(number), ack))

    numbers = list(stream.waiting)
    for at, number in enumerate(numbers):
        deliver(number)
        if random.random() < 0.2:
            deliver(numbers[random.randrange(at + 1)])  # again, as after a lost connection
        if random.random() < 0.3:
            recorder.turn()
    while stream.waiting:
        recorder.turn()
        time.sleep(0.01)
    recorder.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
