"""A bridge whose source is made up here, for trials that kill it: `python -m tests.ot.fake_plant SOURCE FOLDER`.

Each life of the process counts its samples from 0 and gives them the life's number, so that what arrives shows which
samples of a life are missing. What it has handed to the bridge stands in `FOLDER/lives/<life>`.
"""

import asyncio
import csv
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from include.ot import tags
from include.ot.bridge import Bridge, run_until_told
from include.ot.client import Sink
from include.ot.reading import GOOD, Sample
from include.ot.sources import Source
from include.ot.tags import COLUMNS, Tag

TAGS = 40
BATCH = 50  # samples at one time
PAUSE_S = 0.01


def write_seed(folder: Path, source: str, count: int = TAGS) -> Path:
    """A dictionary of tags in two areas."""
    path = folder / "plant" / "plant_tags.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name("half")
    with half.open("w", newline="") as lines:
        rows = csv.DictWriter(lines, COLUMNS, restval="")
        rows.writeheader()
        for number in range(count):
            unit = f"w-{number // 4:02d}"
            rows.writerow(
                {
                    "tag_id": f"{source}.t{number}",
                    "path": f"hnai/field/pad_{number % 2}/{unit}/t{number}",
                    "asset_id": unit,
                    "measurement": f"t{number}",
                    "source": source,
                    "data_type": "text",
                    "unit": "1",
                }
            )
    half.replace(path)
    return path


class Plant:
    """The client of the made-up source."""

    has_history = False
    folder: Path

    def __init__(self, source: Source, sink: Sink) -> None:
        self.sink = sink

    async def run(self, tags: Sequence[Tag]) -> None:
        lives = self.folder / "lives"
        lives.mkdir(exist_ok=True)
        life = len(list(lives.iterdir()))
        self.sink.state(True, {"life": life})
        count = 0
        with (lives / str(life)).open("w") as put:
            while True:
                now = datetime.now(UTC)
                some = range(count, count + BATCH)
                self.sink.put([Sample(tags[n % len(tags)].tag_id, f"{life} {n}", GOOD, now, now, now) for n in some])
                count += BATCH
                put.write(f"{count}\n")
                put.flush()
                await asyncio.sleep(PAUSE_S)

    async def retag(self, tags: Sequence[Tag]) -> None: ...


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    tags.SEEDS = folder
    Plant.folder = folder
    logging.basicConfig(level=logging.INFO)

    async def start() -> None:
        await run_until_told(Bridge(Source(name, "fake", "fake://"), Plant))

    asyncio.run(start())


if __name__ == "__main__":
    main()
