"""The packaging line, which publishes by itself: what it samples goes to its own outbox and from there to the broker.

    python -m demo.line_simulator

No bridge reads it: it sends the mirror's payload. Kill it at any moment: what was written to the outbox is sent once
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

import numpy as np

from demo import line
from demo.scada import SECOND, moment
from demo.simulators import Runs, now_us, seconds, simulator_dir
from include.errors import HnaiError
from include.ot.bridge import Bridge, run_until_told
from include.ot.client import Sink
from include.ot.reading import GOOD, Sample
from include.ot.sources import Source, source
from include.ot.tags import Tag

SOURCE = "packaging_line"


class LineClient:
    """In the place of a protocol client: the line's controller, sampled each second, sent when something changed."""

    has_history = False

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source, self.sink = source, sink
        self.tags: dict[str, Tag] = {}
        self.sent: dict[str, Any] = {}

    async def run(self, tags: Sequence[Tag]) -> None:
        await self.retag(tags)
        runs = Runs(simulator_dir() / "line_runs.txt")
        begun = now_us() // SECOND * SECOND
        runs.begin(begun)
        self.sink.state(True, {"tags": len(self.tags)})
        self._sample(begun)
        async for at in seconds(begun, runs, asyncio.Event()):
            self._sample(at)

    async def retag(self, tags: Sequence[Tag]) -> None:
        self.tags = {tag.measurement: tag for tag in tags if tag.measurement in line.NAMES}
        self.sent = {name: value for name, value in self.sent.items() if name in self.tags}

    def _sample(self, at: int) -> None:
        shown = line.at_times(np.array([at]))
        samples = []
        for name, tag in self.tags.items():
            value = shown[name][0]
            value = value if isinstance(value, str) else value.item()
            if name in self.sent and not self._is_news(tag, self.sent[name], value):
                continue
            self.sent[name] = value
            samples.append(Sample(tag.tag_id, value, GOOD, moment(at), None, datetime.now(UTC)))
        if samples:
            self.sink.put(samples)

    def _is_news(self, tag: Tag, old: Any, new: Any) -> bool:
        if tag.deadband is None or isinstance(new, str):
            return old != new
        return abs(new - old) > tag.deadband


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.line_simulator", description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    async def run() -> None:
        await run_until_told(Bridge(source(SOURCE), client=LineClient))

    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(run())
        except HnaiError as error:
            print(f"The line stops: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
