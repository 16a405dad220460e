"""Sparkplug B: mirror the edge nodes of an MQTT broker. It subscribes and publishes nothing.

    include/ot/sources/plant.yaml
        kind: sparkplug
        url: mqtt://{host}:{mqtt}   # the site's broker; the platform's own if left out
        user: mirror                # its password is the secret mqtt_mirror; "recorder" if left out
        groups: [Mesquite]          # group ids to follow; all if left out
        nodes: [Mesquite/pad_01]    # edge nodes to follow; all if left out

A tag's address is `group/edge:metric` or `group/edge/device:metric`. A message is acknowledged once its values are in
the outbox. What a node means by its messages, and what is told when some are lost, stands in `sparkplug_nodes`.

    python -m include.ot.sparkplug --list SOURCE    # metrics that no tag mirrors yet, as rows for the dictionary
"""

import argparse
import asyncio
import csv
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from include.errors import DeclarationError, HnaiError, OtError
from include.ot.client import Sink
from include.ot.mqtt import RECORDER, Delivery, Subscriber
from include.ot.reading import microseconds
from include.ot.sources import Source, source
from include.ot.sparkplug_memory import Memory, Row
from include.ot.sparkplug_nodes import CONTROLS, NAMESPACE, Nodes
from include.ot.sparkplug_payload import BOOLEAN, MIRRORED, type_name
from include.ot.sparkplug_state import Known, scope_of
from include.ot.tags import COLUMNS, Tag, tags
from include.settings import settings

TICK_S = 0.5
GRACE = timedelta(seconds=10)  # a line that is cut for less is a gap, but no reason to call every tag bad
BATCH = 500  # messages that are taken in one go
WAITING = 100_000  # messages that may wait to be taken; what comes on top stays with the broker, or is lost
DATABASE = "sparkplug.db"
OPTIONS = ("user", "rebirth_user", "groups", "nodes", "trust_aliases", "reorder_s", "keepalive_s", "topic")


class SparkplugClient:
    """The `Client` of a source of kind sparkplug."""

    has_history = False

    def __init__(self, source: Source, sink: Sink) -> None:
        options = _options(source)
        self.source, self.sink = source, sink
        self.nodes = Nodes(
            sink,
            groups=options.get("groups", ()),
            nodes=options.get("nodes", ()),
            trusts_aliases=options.get("trust_aliases", False),
            reorder_s=options.get("reorder_s", 2.0),
            keepalive_s=options.get("keepalive_s", 90.0),
        )
        self._user = options.get("user", RECORDER)
        self._commander = options.get("rebirth_user", self._user)
        groups = options.get("groups", ())
        self._filter = f"{NAMESPACE}/{groups[0]}/#" if len(groups) == 1 else f"{NAMESPACE}/#"
        self._line = _Line()
        self._memory: Memory | None = None
        self._unsaved: dict[tuple[str, str], Any] = {}  # rows whose values are in the outbox
        self._unacknowledged: list[Callable[[], None]] = []  # after these rows are written
        self._problem: str | None = None
        self._rebirths: Any = None

    async def run(self, tags: Sequence[Tag]) -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        self._memory = Memory(settings.ot_dir / self.source.name / DATABASE)
        self.nodes.remember(self._memory.rows("node", "recent", "scope", "birth", "value"))
        self.nodes.retag(tags, _now())
        inbox = _Inbox(lambda: loop.call_soon_threadsafe(arrived.set))
        subscriber = Subscriber(
            self._user, f"sparkplug-{self.source.name}", self._filter, inbox.add, url=self.source.url or None
        )
        subscriber.start()
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await arrived.wait()
                arrived.clear()
                while some := inbox.take(BATCH):
                    self._look_at(subscriber)  # after the taking: none of these came over a line not yet looked at
                    for received_at, delivery in some:
                        self._take(delivery, received_at)
                    self._hand_on()
                    await asyncio.sleep(0)
                self._look_at(subscriber)
                self.nodes.tick(_now())
                self._hand_on()
                self._ask_for_births()
                self._tell(subscriber, inbox)
        finally:
            subscriber.stop()
            if self._rebirths:
                self._rebirths.stop()
            self.nodes.stop()
            self._hand_on()

    async def retag(self, tags: Sequence[Tag]) -> None:
        self.nodes.retag(tags, _now())
        self._hand_on()

    def _take(self, delivery: Delivery, received_at: datetime) -> None:
        try:
            self.nodes.take(delivery.topic, delivery.payload, received_at, delivery.ack, is_kept=delivery.qos > 0)
        except Exception as error:  # one message that is not understood must not end the mirror of all others
            self.nodes.counts["failed"] += 1
            self.nodes.problem = f"{delivery.topic}: {error!r}"

    def _look_at(self, subscriber: Subscriber) -> None:
        """Notice a line that was cut, and one that is there again."""
        line, now, connected_at = self._line, _now(), subscriber.connected_at
        if subscriber.has_session and (connected_at is None or connected_at != line.connected_at):
            self.nodes.resumed(now)  # what is kept for a session comes even before it is told that the line stands
        if connected_at is None:
            if line.seen_at and not line.is_told and now - line.seen_at > GRACE:
                self.nodes.cut(now)
                line.is_told = True
        else:
            if line.seen_at and connected_at != line.connected_at:
                self.nodes.back(line.seen_at, now, has_session=subscriber.has_session)
            line.seen_at, line.is_told = now, False
        line.connected_at = connected_at

    def _hand_on(self) -> None:
        """Once the values are in the outbox, write the memory; after that, acknowledge."""
        rows, acks = self.nodes.changes()
        if rows or acks:
            self.sink.written(lambda: self._settle(rows, acks))

    def _settle(self, rows: list[Row], acks: list[Callable[[], None]]) -> None:
        if not self._unsaved and not self._unacknowledged:
            asyncio.get_running_loop().call_soon(self._save)
        self._unsaved.update({(kind, name): state for kind, name, state in rows})
        self._unacknowledged += acks

    def _save(self) -> None:
        try:
            self._memory.keep((kind, name, state) for (kind, name), state in self._unsaved.items())
        except OtError as error:
            self._problem = str(error)
            asyncio.get_running_loop().call_later(1.0, self._save)
            return
        self._problem = None
        acks, self._unacknowledged, self._unsaved = self._unacknowledged, [], {}
        for ack in acks:
            ack()

    def _ask_for_births(self) -> None:
        if not settings.ot.may_request_rebirth:
            return
        if self._rebirths is None:
            from include.ot.sparkplug_rebirth import Rebirths  # the one that writes: only where it is allowed

            self._rebirths = Rebirths(self.source, self._commander)
        self._rebirths.ask(self.nodes.births_needed(), microseconds(_now()))

    def _tell(self, subscriber: Subscriber, inbox: "_Inbox") -> None:
        line = self._line
        if line.told_at is not None and _now() - line.told_at < timedelta(seconds=1) and not inbox.overflown:
            return
        line.told_at = _now()
        detail = {
            "url": subscriber.url,
            "topics": self._filter,
            "problem": subscriber.problem or self._problem,
            "messages_refused": inbox.overflown,
            "may_request_rebirth": settings.ot.may_request_rebirth,
            **self.nodes.state(),
        }
        self.sink.state(subscriber.is_connected, detail)


class _Line:
    """The connection to the broker, as it was last looked at."""

    connected_at: float | None = None
    seen_at: datetime | None = None  # up to when it was seen to stand
    is_told = False  # that it is cut
    told_at: datetime | None = None  # when the state was


class _Inbox:
    """Messages on their way from the network thread to the event loop."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.overflown = 0
        self._on_first = on_first
        self._messages: deque[tuple[datetime, Delivery]] = deque()
        self._guard = threading.Lock()

    def add(self, delivery: Delivery) -> None:
        with self._guard:
            if len(self._messages) >= WAITING:
                self.overflown += 1  # its number will be missed
                return
            self._messages.append((_now(), delivery))
            is_first = len(self._messages) == 1
        if is_first:
            self._on_first()

    def take(self, limit: int) -> list[tuple[datetime, Delivery]]:
        with self._guard:
            return [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]


def _options(source: Source) -> dict[str, Any]:
    options = source.options

    def refuse(what: str) -> None:
        raise DeclarationError(f"{source.name}.yaml: {what}")

    if unknown := sorted(set(options) - set(OPTIONS)):
        refuse(f"{', '.join(unknown)} is none of {', '.join(OPTIONS)}")
    for name in ("groups", "nodes"):
        found = options.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
            refuse(f"{name} must be a list of names")
    for name in ("reorder_s", "keepalive_s"):
        if not isinstance(options.get(name, 0), int | float) or options.get(name, 0) < 0:
            refuse(f"{name} must be a number of seconds")
    if not isinstance(options.get("trust_aliases", False), bool):
        refuse("trust_aliases must be true or false")
    if not all(isinstance(options.get(name, ""), str) for name in ("user", "rebirth_user")):
        refuse("user and rebirth_user must be names of users of the broker")
    return options


def _now() -> datetime:
    return datetime.now(UTC)


# Rows for the dictionary


def seed_rows(source: str, metrics: dict[str, Known], declared: Sequence[Tag]) -> list[dict[str, Any]]:
    """A row of the tag dictionary for each metric that can be mirrored and is not; its path and unit want a look."""
    known = {tag.address for tag in declared}
    rows = []
    for address, metric in sorted(metrics.items()):
        scope, name = scope_of(address)
        if address in known or name.startswith(CONTROLS) or metric.datatype not in MIRRORED:
            continue
        asset = scope.rpartition("/")[2]
        measurement = _plain(name)
        rows.append(
            {
                **dict.fromkeys(COLUMNS, ""),
                "tag_id": f"{asset}.{measurement}",
                "path": f"{scope}/{measurement}",
                "asset_id": asset,
                "measurement": measurement,
                "source": source,
                "address": address,
                "data_type": _data_type(metric.datatype),
                "unit": metric.unit or "1",
                "range_low": "" if metric.low is None else metric.low,
                "range_high": "" if metric.high is None else metric.high,
                "description": metric.description or f"{name}, a {type_name(metric.datatype)} of {scope}.",
            }
        )
    return rows


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "value"


def _data_type(datatype: int) -> str:
    if datatype == BOOLEAN:
        return "boolean"
    if datatype in (9, 10):
        return "double"
    return "text" if datatype in (12, 14, 15) else "long"


def known_metrics(source: Source) -> dict[str, Known]:
    """What the births that the source's bridge has seen tell, by address."""
    path = settings.ot_dir / source.name / DATABASE
    if not path.is_file():
        raise OtError(
            f"The bridge of {source.name} has seen no birth yet. Let it run (python -m include.ot.bridge "
            f"{source.name}) until the edge nodes have told theirs; health.json lists the nodes"
        )
    memory = Memory(path, may_write=False)
    try:
        births = memory.rows("birth")
    finally:
        memory.close()
    return {f"{scope}:{m}": Known(*known) for _, scope, state in births for m, known in state[0].items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.ot.sparkplug",
        description="Print the metrics of a Sparkplug source that no tag mirrors yet, as rows for the tag dictionary.",
    )
    parser.add_argument("--list", metavar="SOURCE", required=True, help="a source of kind sparkplug")
    try:
        plant = source(parser.parse_args().list)
        if plant.kind != "sparkplug":
            raise DeclarationError(f"{plant.name} is of kind {plant.kind}; there are no births to list")
        metrics = known_metrics(plant)
        out = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(seed_rows(plant.name, metrics, tags(plant.name)))
        for address, metric in sorted(metrics.items()):
            if metric.datatype not in MIRRORED:
                print(f"{address} is a {type_name(metric.datatype)}, which is not mirrored", file=sys.stderr)
    except HnaiError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
