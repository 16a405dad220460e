"""The plant's lines, which publish by themselves: what they sample goes to their own outbox, then to the broker.

    python -m demo.line_simulator

No bridge reads them: they send the mirror's payload. Kill it at any moment: what was written to the outbox is sent once
it runs again, no message twice under a new number, and the time in which it did not run is told as a gap.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from demo import plant_line
from demo.plant_line import SECOND
from demo.scada import moment
from demo.scada_tags import PLANT_SOURCE
from demo.simulators import Runs, now_us, seconds, simulator_dir
from include.errors import HnaiError
from include.ot.bridge import Bridge, run_until_told
from include.ot.client import Sink
from include.ot.reading import GOOD, Sample
from include.ot.sources import Source, source
from include.ot.tags import Tag


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
        known = [t for t in tags if t.asset_id in plant_line.STATIONS and t.measurement in plant_line.MEASUREMENTS]
        self.tags = {station: [t for t in known if t.asset_id == station] for station in plant_line.STATIONS}
        self.sent = {t.tag_id: self.sent[t.tag_id] for t in known if t.tag_id in self.sent}

    def _sample(self, at: int) -> None:
        observed_at, now = moment(at), datetime.now(UTC)
        samples = []
        for station, tags in self.tags.items():
            shown = plant_line.shown(station, observed_at)
            for tag in tags:
                value = getattr(shown, tag.measurement)
                if self.sent.get(tag.tag_id) != value:
                    self.sent[tag.tag_id] = value
                    samples.append(Sample(tag.tag_id, value, GOOD, observed_at, None, now))
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
