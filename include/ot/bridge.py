"""Read one source, keep what it says on disk, and send it to the broker: `python -m include.ot.bridge SOURCE`.

    protocol client ──put──> ordinals ──> outbox (disk) ──courier, MQTT QoS 1──> broker

It reads and never writes to the plant. It may be killed at any moment: on the next start it tells the interval in
which it saw nothing as a gap, and sends what the outbox still holds. `health.json` beside the outbox tells its state.
"""

import asyncio
import importlib
import json
import logging
import os
import signal
import sqlite3
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from include.errors import DeclarationError, HnaiError, OtError
from include.ot import tags as dictionary
from include.ot.client import Client, Sink
from include.ot.courier import Courier
from include.ot.outbox import Outbox
from include.ot.reading import Gap, Reading, Sample, gap
from include.ot.sources import Source, source, sources
from include.ot.tags import Tag
from include.ot.topics import LEVELS, topic_of
from include.settings import settings

log = logging.getLogger(__name__)

CLIENTS = {  # by kind of source: module and class
    "opcua": ("include.ot.opcua", "OpcUaClient"),
    "modbus": ("include.ot.modbus", "ModbusClient"),
    "mtconnect": ("include.ot.mtconnect", "MtConnectClient"),
    "shdr_files": ("include.ot.shdr_files", "ShdrFilesClient"),
    "sparkplug": ("include.ot.sparkplug", "SparkplugClient"),
}
TICK_S = 2.0  # health is written and the dictionary looked at this often
FLUSH_AT = 5_000  # samples that are written at once
BUFFER = 200_000  # samples kept in memory while the disk does not take them
OVERLAP = timedelta(seconds=30)  # samples may be this long on their way: a gap begins so much earlier


class Bridge:
    """One source's bridge: the `Sink` of its client, and all that comes after it."""

    def __init__(self, source: Source, client: Callable[[Source, Sink], Client] | None = None) -> None:
        self.source, self.folder = source, settings.ot_dir / source.name
        level = source.options.get("topic", "area")
        if level not in LEVELS:
            raise DeclarationError(f"{source.name}.yaml: topic is {level!r}; it must be one of {', '.join(LEVELS)}")
        self.topic_level: str = level
        self.outbox = Outbox(self.folder, source.name, settings.ot.outbox_mb)
        self.courier = Courier(self.outbox, f"bridge-{source.name}")
        self.client = (client or client_of(source.kind))(source, self)
        self.counts: Counter[str] = Counter(samples=0, readings=0, repeats=0, refused=0)
        self.problems: dict[str, str] = {}  # by what they are about
        self._tags: dict[str, tuple[Tag, str]] = {}  # with the topic of each
        self._samples: list[Sample] = []
        self._gaps: list[Gap] = []
        self._then: list[Callable[[], None]] = []  # to be called once what is there so far is written
        self._unwritten: list[tuple[str, Reading]] = []  # have their ordinals, wait for the disk
        self._introduced: tuple[str, ...] | None = None  # tags to remember as known with the next write
        self._known = self.outbox.known_tags()
        self._stopped_at = self.outbox.active_at
        self._is_connected, self._detail = False, {}
        self._overflown_at: datetime | None = None  # since when samples were given up because the buffer was full
        self._writer = ThreadPoolExecutor(1, "outbox")
        self._written_at = datetime.now(UTC)
        self._wake = asyncio.Event()
        if self.outbox.damaged_since:
            self.gap(
                sorted(tag.tag_id for tag in self._dictionary()),
                self.outbox.damaged_since,
                datetime.now(UTC),
                "spool_corrupt",
            )

    # What the client calls

    def put(self, samples: Sequence[Sample]) -> None:
        if len(self._samples) + len(self._unwritten) > BUFFER:
            self._overflown_at = self._overflown_at or datetime.now(UTC) - OVERLAP
            return
        self._samples.extend(samples)
        if len(self._samples) >= FLUSH_AT:
            self._wake.set()

    def gap(self, tag_ids: Sequence[str], from_at: datetime, to_at: datetime, cause: str) -> None:
        self._gaps.append(gap(self.source.name, tag_ids, from_at, to_at, cause))

    def written(self, then: Callable[[], None]) -> None:
        self._then.append(then)

    async def settle(self) -> None:
        done = asyncio.get_running_loop().create_future()
        self.written(lambda: done.done() or done.set_result(None))
        self._wake.set()
        await done
        while self.outbox.waiting_bytes > self.outbox.limit / 2:
            await asyncio.sleep(settings.ot.flush_s)

    def state(self, is_connected: bool, detail: Mapping[str, Any]) -> None:
        came_back = is_connected and not self._is_connected
        self._is_connected, self._detail = is_connected, dict(detail)
        if came_back:
            self._catch_up()

    # What runs

    async def run(self) -> None:
        """Run until cancelled. Raises what the client raises: a bridge that is started again is as good as new."""
        seen = dictionary.fingerprint()
        begun = self._dictionary()
        self._take_over(begun)
        self.courier.start()
        jobs = [
            asyncio.create_task(job, name=name)
            for name, job in {
                "client": self.client.run(begun),
                "flush": self._flush_for_ever(),
                "dictionary": self._watch_dictionary(seen),
                "health": self._tell_health(),
            }.items()
        ]
        try:
            ended, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in ended:
                job.result()
                raise OtError(f"The {job.get_name()} of {self.source.name} has ended by itself; start the bridge again")
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await self._flush()
            self.courier.stop()
            self.outbox.close()

    async def _flush_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.ot.flush_s):  # wait_for may swallow a cancellation (3.11)
                    await self._wake.wait()
            self._wake.clear()
            await self._flush()

    async def _flush(self) -> None:
        """Write what has come since the last time, on another thread: a slow disk must not hold up the client."""
        now = datetime.now(UTC)
        is_due = self._samples or self._gaps or self._introduced is not None or self._unwritten or self._then
        if is_due or (now - self._written_at).total_seconds() > TICK_S:
            samples, self._samples = self._samples, []
            gaps, self._gaps = self._gaps, []
            introduced, self._introduced = self._introduced, None
            then, self._then = self._then, []
            write = partial(self._write, samples, self._tags, gaps, introduced, now)
            try:  # shielded: samples that were taken are written, whoever is cancelled
                await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, write))
            except asyncio.CancelledError:
                self._then[:0] = then
                raise
            if "outbox" in self.problems:  # not written yet
                self._then[:0] = then
            else:
                for call in then:
                    call()

    def _write(
        self,
        samples: list[Sample],
        tags: dict[str, tuple[Tag, str]],
        gaps: list[Gap],
        introduced: tuple[str, ...] | None,
        now: datetime,
    ) -> None:
        readings = [*self._unwritten, *self._in_order(samples, tags)]
        active_at = now if self._is_connected else None
        overflown_at, self._overflown_at = self._overflown_at, None
        if overflown_at:
            self.outbox.dropped(overflown_at)
        try:
            self.outbox.add(readings, gaps, active_at=active_at, tags=introduced)
        except OtError as error:
            self.problems["outbox"] = str(error)
            log.error("%s", error)
            self._unwritten = readings
            self._gaps[:0] = gaps
            self._introduced = self._introduced if introduced is None else introduced
            return
        self._unwritten, self._written_at = [], now
        self.problems.pop("outbox", None)
        if readings or gaps:
            self.courier.wake()

    def _in_order(self, samples: list[Sample], tags: dict[str, tuple[Tag, str]]) -> list[tuple[str, Reading]]:
        """Samples as readings, each with its topic. One that cannot be used is counted and named; the rest go on."""
        readings, of = [], self.outbox.sequencer.of
        for sample in samples:
            try:
                tag, topic = tags[sample.tag_id]
                reading = of(sample, tag)
            except Exception as error:
                self.counts["refused"] += 1
                self.problems["sample"] = f"{sample!r:.300}: {error!r}"
                continue
            if reading:
                readings.append((topic, reading))
            else:
                self.counts["repeats"] += 1
        self.counts["samples"] += len(samples)
        self.counts["readings"] += len(readings)
        return readings

    # Tags and gaps

    def _dictionary(self) -> tuple[Tag, ...]:
        return dictionary.tags(self.source.name)

    def _take_over(self, tags: Sequence[Tag]) -> None:
        self._tags = {tag.tag_id: (tag, topic_of(tag.path, self.topic_level)) for tag in tags}
        if self._is_connected:
            self._catch_up()

    def _catch_up(self) -> None:
        """From now on everything is seen: tell what was not since the last stop, and what came before a new tag."""
        now, current = datetime.now(UTC), set(self._tags)
        keeps_all = getattr(self.client, "keeps_all", False)
        if self._stopped_at and not keeps_all and (seen := current & self._known):
            self.gap(sorted(seen), self._stopped_at - OVERLAP, now, "bridge_stopped")
        self._stopped_at = None
        if current != self._known:
            new = sorted(current - self._known)
            if new and self.client.has_history and settings.ot.history_hours:
                self.gap(new, now - timedelta(hours=settings.ot.history_hours), now, "first_seen")
            self._known, self._introduced = current, tuple(current)

    async def _watch_dictionary(self, seen: tuple) -> None:
        """Take over a changed dictionary. One that cannot be used changes nothing and is told in health.json."""
        now = seen
        while True:
            await asyncio.sleep(TICK_S)
            before, now = now, dictionary.fingerprint()
            if now == seen or now != before:  # unchanged, or perhaps still being written
                continue
            seen = now
            try:
                tags = self._dictionary()
                if self._tags and not tags:
                    raise DeclarationError(f"no tag of {self.source.name} is declared any more in {dictionary.SEEDS}")
            except (DeclarationError, OSError) as error:
                self.problems["dictionary"] = str(error)
                log.error("The dictionary has changed but cannot be used; the old one stays: %s", error)
                continue
            self.problems.pop("dictionary", None)
            if tags != tuple(tag for tag, _ in self._tags.values()):
                log.info("The dictionary has changed: %d tags", len(tags))
                await self._flush()  # what has come so far may be of tags that go
                self._take_over(tags)
                await self.client.retag(tags)

    async def _tell_health(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._write_health)
            except (OSError, sqlite3.Error) as error:  # the disk is full: reading goes on all the same
                log.error("%s cannot be written: %s", self.folder / "health.json", error)
            await asyncio.sleep(TICK_S)

    def _write_health(self) -> None:
        publisher, outbox = self.courier.publisher, self.outbox
        health = {
            "source": self.source.name,
            "kind": self.source.kind,
            "at": datetime.now(UTC).isoformat(),
            "pid": os.getpid(),
            "is_connected": self._is_connected,
            "detail": self._detail,
            "tags": len(self._tags),
            "broker": {"url": publisher.url, "is_connected": publisher.is_connected, "problem": publisher.problem},
            "outbox": {
                "store": outbox.store,
                "number": outbox.number,
                "waiting": outbox.waiting,
                "bytes": outbox.waiting_bytes,
                "limit_bytes": outbox.limit,
                "oldest_at": (oldest := outbox.oldest_at) and oldest.isoformat(),
                "is_full": outbox.is_full,
            },
            "counts": dict(self.counts),
            "problems": dict(self.problems),
        }
        half = self.folder / f".health.{os.getpid()}"
        half.write_text(json.dumps(health, indent=1, default=str))
        half.replace(self.folder / "health.json")


def client_of(kind: str) -> Callable[[Source, Sink], Client]:
    """The protocol client of a kind of source; only what it needs is imported."""
    if kind not in CLIENTS:
        raise DeclarationError(f"A source of kind {kind!r} publishes by itself; there is no bridge to run")
    module, name = CLIENTS[kind]
    return getattr(importlib.import_module(module), name)


async def run_until_told(bridge: Bridge) -> None:
    """Run a bridge until SIGTERM or SIGINT."""
    running = asyncio.create_task(bridge.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def main() -> None:
    parser = ArgumentParser(prog="python -m include.ot.bridge", description=__doc__.splitlines()[0])
    parser.add_argument(
        "source", metavar="SOURCE", help=f"one of: {', '.join(s.name for s in sources() if s.can_be_read)}"
    )
    name = parser.parse_args().source
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    async def start() -> None:
        await run_until_told(Bridge(source(name)))

    try:
        asyncio.run(start())
    except HnaiError as error:
        sys.exit(f"The bridge of {name} stops: {error}")


if __name__ == "__main__":
    main()
