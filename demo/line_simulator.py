"""The plant's lines that publish by themselves: what they sample goes to their own outbox, then to the broker.

    python -m demo.line_simulator

No bridge reads them: they send the mirror's payload. Kill it at any moment: what was written to the outbox is sent once
it runs again, no message twice under a new number, and the time in which it did not run is told as a gap.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from demo.plant_line import SECOND, STATIONS
from demo.plant_shown import MEASUREMENTS, Shown, shown
from demo.scada import moment
from demo.scada_tags import PLANT_SOURCE
from demo.simulators import Runs, now_us, seconds, simulator_dir
from include.errors import HnaiError
from include.ot.bridge import Bridge, run_until_told
from include.ot.client import Sink
from include.ot.reading import GOOD, Sample
from include.ot.sources import Source, source
from include.ot.tags import Tag

NEVER = object()  # no value was sent yet


def news(sent: dict[str, Any], tags: Sequence[Tag], seen: Shown) -> Iterator[tuple[Tag, Any]]:
    """The tags of a station whose value differs from the one sent last, by more than a deadband if there is one."""
    for tag in tags:
        value, before = getattr(seen, tag.measurement), sent.get(tag.tag_id, NEVER)
        if value == before:
            continue
        is_step = tag.deadband and None not in (value, before) and before is not NEVER
        if not is_step or abs(value - before) > tag.deadband:
            sent[tag.tag_id] = value
            yield tag, value


def of_stations(tags: Sequence[Tag]) -> dict[str, list[Tag]]:
    """The tags that the plant can show, by station."""
    known = [tag for tag in tags if tag.asset_id in STATIONS and tag.measurement in MEASUREMENTS]
    return {station: found for station in STATIONS if (found := [tag for tag in known if tag.asset_id == station])}


class LineClient:
    """In the place of a protocol client: the controllers, sampled each second, sent when something changed."""

    has_history = False

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source, self.sink = source, sink
        self.tags: dict[str, list[Tag]] = {}  # by station
        self.sent: dict[str, Any] = {}

    async def run(self, tags: Sequence[Tag]) -> None:
        await self.retag(tags)
        runs = Runs(simulator_dir() / "line_runs.txt")
        begun = now_us() // SECOND * SECOND
        runs.begin(begun)
        self.sink.state(True, {"tags": sum(map(len, self.tags.values()))})
        self._sample(begun)
        async for at in seconds(begun, runs, asyncio.Event()):
            self._sample(at)

    async def retag(self, tags: Sequence[Tag]) -> None:
        self.tags = of_stations(tags)
        known = {tag.tag_id for found in self.tags.values() for tag in found}
        self.sent = {tag_id: value for tag_id, value in self.sent.items() if tag_id in known}

    def _sample(self, at: int) -> None:
        observed_at, now = moment(at), datetime.now(UTC)
        samples = [
            Sample(tag.tag_id, value, GOOD, observed_at, None, now)
            for station, tags in self.tags.items()
            for tag, value in news(self.sent, tags, shown(station, observed_at))
        ]
        if samples:
            self.sink.put(samples)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.line_simulator", description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    async def run() -> None:
        await run_until_told(Bridge(source(PLANT_SOURCE), client=LineClient))

    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(run())
        except HnaiError as error:
            print(f"The lines stop: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
