"""What the simulators of the plant share: their seconds, the truth of each, and what they leave behind to be checked.

In `<state>/ot/simulator/`: `<simulator>_runs.txt`, the spans in which it was up; `<simulator>_requests.json`, what
clients have asked of it.
"""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from demo.scada import DAY, SECOND, microseconds, moment, operators, snapshot
from include.settings import settings

log = logging.getLogger("demo.simulators")
LATE = 30 * SECOND  # a machine that slept longer goes on with the present instead of catching up


class Instruments:
    """The truth of a set of tags second by second, computed a minute at a time."""

    BLOCK = 60

    def __init__(self, tag_ids: Sequence[str]) -> None:
        self.tag_ids = list(tag_ids)
        self._first, self._values, self._quality, self._told = 0, None, None, ()

    def at(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and qualities at a whole second."""
        told = operators()
        n = (at - self._first) // SECOND
        if self._values is None or not 0 <= n < self.BLOCK or told != self._told:
            self._first, self._told, n = at, told, 0
            self._values, self._quality = snapshot(self.tag_ids, at + np.arange(self.BLOCK) * SECOND)
        return self._values[n], self._quality[n]


def simulator_dir() -> Path:
    return settings.ot_dir / "simulator"


def now_us() -> int:
    return microseconds(datetime.now(UTC))


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def seconds(at: int, runs: "Runs", stop: asyncio.Event) -> AsyncIterator[int]:
    """Each whole second after `at`, when it has come, until `stop`; one that is late is not left out."""
    while True:
        at += SECOND
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(at - now_us(), 0) / SECOND)
        if stop.is_set():
            return
        if now_us() - at > LATE:
            at = now_us() // SECOND * SECOND
            runs.begin(at)
            log.warning("This machine slept; going on at %s", moment(at))
        runs.reach(at)
        yield at


_told_requests: dict[str, dict] = {}


def tell_requests(simulator: str, writes: int, requests: Mapping[str, int]) -> None:
    """Write what clients have asked to `<simulator>_requests.json`, when there is news."""
    news = {"writes": writes, "requests": dict(sorted(requests.items()))}
    if _told_requests.get(simulator) != news:
        _told_requests[simulator] = news
        path = simulator_dir() / f"{simulator}_requests.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(news, indent=1))
        new.replace(path)


class Runs:
    """The spans in which a simulator was up, to the second, on disk: known after any kill.

    A line a run, of fixed width: `<first> <last>`. The last second is written before anything of it is served.
    """

    WIDTH = 16
    KEPT = 60 * DAY

    def __init__(self, path: Path) -> None:
        self.path, self._spans = path, list(read_runs(path))
        self._file = None

    def begin(self, at: int) -> None:
        self._spans = [(first, last) for first, last in self._spans if last > at - self.KEPT]
        self._spans.append((at, at))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text("".join(self._line(*span) for span in self._spans))
        if self._file is not None:
            self._file.close()
        self._file = new.open("r+b", buffering=0)
        new.replace(self.path)

    def reach(self, at: int) -> None:
        self._spans[-1] = (self._spans[-1][0], at)
        line = self._line(*self._spans[-1]).encode()
        self._file.seek((len(self._spans) - 1) * len(line))
        self._file.write(line)

    def all(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._spans)

    @property
    def last(self) -> int:
        return self._spans[-1][1]

    def _line(self, first: int, last: int) -> str:
        return f"{first:0{self.WIDTH}d} {last:0{self.WIDTH}d}\n"


def read_runs(path: Path) -> Iterator[tuple[int, int]]:
    if path.exists():
        for line in path.read_text().splitlines():
            first, last = line.split()
            yield int(first), int(last)
