"""A bridge without a plant: a real one from `Sink.put` on, whose client changes each of its tags once a second.

python -m benchmarks._ot_load NAME TAGS SECONDS     # prints what it sent as its last line, once the broker has it
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from include.errors import OtError
from include.ot.bridge import Bridge
from include.ot.reading import GOOD, Reading, Sample
from include.ot.sources import Source
from include.ot.tags import Tag

STEPS = 10  # a second


def readings(tag_id: str, number: int) -> tuple[datetime, tuple[Reading, ...]]:
    """One reading of one tag, and when it was sent."""
    now = datetime.now(UTC)
    return now, (Reading(tag_id, float(number), None, None, GOOD, now, "source", now, now, 0, "1"),)


class Load:
    """A client that changes a tenth of its tags ten times a second, and ends when its time is over."""

    has_history = False

    def __init__(self, source: Source, sink: Bridge) -> None:
        self.sink, self.seconds = sink, float(source.options["seconds"])
        self.rows, self.total = 0, 0.0

    async def run(self, tags: Sequence[Tag]) -> None:
        self.sink.state(True, {})
        shares = [[tag.tag_id for tag in tags[n::STEPS]] for n in range(STEPS)]
        begun, step = time.monotonic(), 0
        while time.monotonic() - begun < self.seconds:
            now = datetime.now(UTC)
            value = float(step % 1000)
            share = shares[step % STEPS]
            self.sink.put([Sample(tag_id, value, GOOD, now, now, now) for tag_id in share])
            self.rows += len(share)
            self.total += value * len(share)
            step += 1
            await asyncio.sleep(max(0.0, begun + step / STEPS - time.monotonic()))
        self.took_s = time.monotonic() - begun

    async def retag(self, tags: Sequence[Tag]) -> None:
        """The dictionary of a load does not change."""


class LoadBridge(Bridge):
    def __init__(self, source: Source, count: int) -> None:
        self._made = tuple(
            Tag(
                tag_id=f"{source.name}.tag_{n:05}",
                path=f"bench/site/{source.name}/unit_{n % 50:02}/tag_{n:05}",
                asset_id=f"unit_{n % 50:02}",
                measurement=f"tag_{n:05}",
                source=source.name,
                address="",
                data_type="double",
                unit="1",
            )
            for n in range(count)
        )
        super().__init__(source, Load)

    def _dictionary(self) -> tuple[Tag, ...]:
        return self._made


async def run(name: str, count: int, seconds: float) -> dict:
    bridge = LoadBridge(Source(name, "payload", "", {"seconds": seconds}), count)
    with suppress(OtError):  # a bridge whose client ends by itself says so; here it is meant
        await bridge.run()
    return {"rows": bridge.client.rows, "sum": bridge.client.total, "seconds": bridge.client.took_s}


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    name, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    told = asyncio.run(run(name, count, seconds))
    asyncio.run(send_the_rest(name))
    print(json.dumps(told))


async def send_the_rest(name: str) -> None:
    """Bridges may be stopped with a full outbox; the next start sends it. So does this."""
    from include.ot.courier import Courier
    from include.ot.outbox import Outbox
    from include.settings import settings

    outbox = Outbox(settings.ot_dir / name, name, settings.ot.outbox_mb)
    courier = Courier(outbox, f"bridge-{name}")
    courier.start()
    while outbox.waiting:
        await asyncio.sleep(0.1)
    courier.stop()
    outbox.close()


if __name__ == "__main__":
    main()
