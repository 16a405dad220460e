"""Results of cameras that come by MQTT, put into the inbox as the files of their feeds.

    python -m include.packs.factorypack.camera_messages

A message on `vision/v1/<anything>` is one image as JSON, with the columns of the feeds by name: see
docs/how-to/feed-a-camera.md. It is acknowledged once it is on disk; every minute what came is made into one file of
each feed. Killed anywhere, it goes on from there: a message or a file may come twice, and is the same rows by their
key. What cannot be read is kept with its reason and acknowledged, so that the stream goes on.
"""

import argparse
import csv
import io
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from include.catalog import Feed, feed
from include.errors import HnaiError, PayloadError
from include.ot.mqtt import Delivery, Subscriber
from include.ot.refused import Refused
from include.ot.spool_file import sync_folder, write_half
from include.settings import settings

log = logging.getLogger(__name__)

USER = "cameras"  # the reader's user and client id; cameras themselves are the user `camera`
EVERYTHING = "vision/v1/#"
RESULTS, DEFECTS = "plant_files.vision_results", "plant_files.vision_defects"
FILE_EVERY_S, FILE_IMAGES = 60.0, 5_000  # how long an image waits for others, and how many make a file at once
TURN_S, HEALTH_S, RETRY_S = 0.1, 5.0, 1.0
MOST_WAITING = 10_000  # images in memory while the disk refuses; then the broker waits

Row = dict[str, str]


def read(payload: bytes) -> tuple[Row, list[Row]]:
    """The row of an image and the rows of its defects, by the columns that the feeds declare; others are left out.

    Numbers keep every digit. Raises `PayloadError`, which names what is wrong.
    """
    try:
        said = json.loads(payload, parse_float=Decimal)
    except ValueError as error:
        raise PayloadError(f"It is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise PayloadError("It is no JSON object")
    defects = said.get("defects") or []
    if not isinstance(defects, list) or not all(isinstance(one, dict) for one in defects):
        raise PayloadError("defects is no list of objects")
    image = _row(_declared(RESULTS), said)
    try:
        has_offset = datetime.fromisoformat(image["inspected_at"]).tzinfo is not None
    except ValueError as error:
        raise PayloadError(f"inspected_at is {image['inspected_at']!r}, no ISO 8601 time") from error
    if not has_offset:
        raise PayloadError(f"inspected_at is {image['inspected_at']!r}: it must say its offset, as Z does")
    numbered = ({"defect_number": n, **one} for n, one in enumerate(defects, start=1))
    own = {"inspection_id": said["inspection_id"]}
    return image, [_row(_declared(DEFECTS), one | own) for one in numbered]


@cache
def _declared(full_name: str) -> Feed:
    return feed(full_name)  # dear: asked for every message


def _row(declared: Feed, said: Mapping[str, Any]) -> Row:
    row = {}
    for column in declared.columns:
        value = said.get(column.name)
        if isinstance(value, dict | list):
            raise PayloadError(f"{column.name} is no single value")
        row[column.name] = "" if value is None else str(value)
        if not row[column.name] and (column.required or column.name in declared.key):
            raise PayloadError(f"{column.name} is missing")
    return row


class CameraMessages:
    """Takes deliveries (any thread); `turn` makes them durable and into files (one thread)."""

    def __init__(self, folder: Path, inbox: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.inbox, self.path = inbox, folder / "open.jsonl"
        self.refused = Refused(folder / "refused")
        self.images = 0  # since the start
        self.problem: str | None = None
        self._guard = threading.Condition()
        self._waiting: list[tuple[bytes, Callable[[], None]]] = []
        self._is_stopping = False
        self._kept = self._whole_lines()
        self._since = time.monotonic()

    def take(self, delivery: Delivery) -> None:
        """Take one message. Returns at once, unless the disk refuses: then the broker must wait."""
        try:
            image, defects = read(delivery.payload)
        except PayloadError as error:
            self._refuse(delivery, str(error))
            return
        line = json.dumps([image, defects]).encode() + b"\n"
        with self._guard:
            self._guard.wait_for(lambda: len(self._waiting) < MOST_WAITING or self._is_stopping)
            if not self._is_stopping:
                self._waiting.append((line, delivery.ack))

    def turn(self, file_every_s: float = FILE_EVERY_S) -> None:
        """Make durable what waits, acknowledge it, and make files where they are due."""
        try:
            self._keep()
            if self._kept and (self._kept >= FILE_IMAGES or time.monotonic() - self._since >= file_every_s):
                self._file()
        except OSError as error:
            if self.problem is None:
                log.error("Results of cameras cannot be written: %s", error)
            self.problem = f"Results of cameras cannot be written: {error}"
            time.sleep(RETRY_S)
        else:
            self.problem = None

    def stop(self) -> None:
        """Take no more and put what came into the inbox. What is not on disk stays with the broker."""
        with self._guard:
            self._is_stopping = True
            self._guard.notify_all()
        self.turn(file_every_s=0)

    def _keep(self) -> None:
        with self._guard:
            taken = list(self._waiting)
        if not taken:
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as out:
                out.write(b"".join(line for line, _ in taken))
                out.flush()
                os.fsync(out.fileno())
            sync_folder(self.path.parent)
        except OSError:
            with suppress(OSError):
                os.truncate(self.path, size)  # half a line would join the next one
            raise
        if not self._kept:
            self._since = time.monotonic()
        self._kept += len(taken)
        self.images += len(taken)
        with self._guard:
            del self._waiting[: len(taken)]
            self._guard.notify_all()
        for _, ack in taken:
            ack()

    def _file(self) -> None:
        """Defects go first, so that no image is ever landed without its own."""
        rows = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        name = f"mqtt_{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.csv"
        self.inbox.mkdir(parents=True, exist_ok=True)
        defects = [defect for _, found in rows for defect in found]
        for full_name, found in ((DEFECTS, defects), (RESULTS, [image for image, _ in rows])):
            if not found:
                continue  # a file without rows is none to its feed
            declared = _declared(full_name)
            half = self.inbox / f".{declared.name}_{name}.part"
            write_half(half, _csv(declared, found))
            half.replace(self.inbox / f"{declared.name}_{name}")
        sync_folder(self.inbox)
        self.path.unlink()
        self._kept = 0
        log.info("%d images and %d defects put into the inbox as …_%s", len(rows), len(defects), name)

    def _whole_lines(self) -> int:
        """Cut off a line that a crash left half written: nobody was told that it is kept. Gives the number of lines."""
        if not self.path.exists():
            return 0
        kept = self.path.read_bytes()
        os.truncate(self.path, kept.rfind(b"\n") + 1)
        return kept.count(b"\n")

    def _refuse(self, delivery: Delivery, reason: str) -> None:
        while not self._is_stopping:
            try:
                self.refused.keep(delivery, reason)
            except OSError as error:
                self.problem = f"A refused message cannot be kept in {self.refused.folder}: {error}"
                time.sleep(RETRY_S)
            else:
                delivery.ack()
                return


def _csv(declared: Feed, rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in declared.columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def run(stop: threading.Event) -> None:
    """Take messages until told to stop."""
    folder = settings.ot_dir / "cameras"
    messages = CameraMessages(folder, settings.inbox_dir)
    subscriber = Subscriber(USER, USER, EVERYTHING, messages.take)
    subscriber.start()
    log.info("Taking results of cameras from %s into %s", subscriber.url, settings.inbox_dir)
    told_at = 0.0
    try:
        while not stop.wait(TURN_S):
            messages.turn()
            if time.monotonic() - told_at >= HEALTH_S:
                told_at = time.monotonic()
                _tell(folder / "health.json", messages, subscriber)
    finally:
        messages.stop()
        subscriber.stop()


def _tell(path: Path, messages: CameraMessages, subscriber: Subscriber) -> None:
    said = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pid": os.getpid(),
        "broker": {"url": subscriber.url, "is_connected": subscriber.is_connected, "problem": subscriber.problem},
        "spool": {"problem": messages.problem},
        "images": messages.images,
        "refused": {"count": messages.refused.count, "last": messages.refused.last},
    }
    half = path.with_name("health.json.half")
    try:
        half.write_text(json.dumps(said, indent=2))
        half.replace(path)
    except OSError as error:
        log.error("The state of the cameras' messages cannot be told: %s", error)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.packs.factorypack.camera_messages", description=__doc__.partition("\n\n")[0]
    )
    parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(stop)
    except HnaiError as error:
        sys.exit(f"Results of cameras are not taken: {error}")


if __name__ == "__main__":
    main()
