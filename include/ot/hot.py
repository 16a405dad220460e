"""The hot store: sealed segments into a time series store within seconds, in order and exactly once.

It is a consumer of the spool with a pace of its own: away, it holds up neither recorder nor lake, and back, it catches
up from the segment it stopped at, a bounded number of readings at a time. A reading older than `settings.ot.hot_days`,
or of a time that has not come, is left to the lake and counted.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from include.errors import OtError, SpoolError
from include.ot.spool import Segment, SpoolReader
from include.settings import settings

log = logging.getLogger(__name__)

BATCH_ROWS = 50_000  # readings in memory, and in one transaction, while catching up
LOOK_S = 1.0  # how often it looks without being woken
RETRY_S = (0.2, 5.0)  # first and longest pause while the store is away
EXPIRE_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """A segment on its way into the store: the readings that belong there, and how many do not."""

    segment: Segment
    readings: pa.Table
    too_old: int = 0
    too_early: int = 0
    corrupt: str | None = None  # why nothing of it can be read


class HotStore(Protocol):
    """A time series store. Every method raises `OtError` where the store is away; the call is then made again."""

    name: str

    def progress(self, spool: str) -> int:
        """Up to which segment of a spool it has everything."""

    def store(self, parts: Sequence[Part]) -> dict[str, int]:
        """Take whole segments, in order; one that it has already changes nothing. Counts, for health.json."""

    def expire(self, first_day: datetime) -> None:
        """Let go of what is older than a day."""

    def close(self) -> None: ...


def window(now: datetime) -> tuple[datetime, datetime]:
    """The times that the hot store keeps: from the start of a day until the end of tomorrow, UTC."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=settings.ot.hot_days), today + timedelta(days=2)


def part_of(segment: Segment, readings: pa.Table, now: datetime) -> Part:
    first, end = (pa.scalar(at, readings.schema.field("observed_at").type) for at in window(now))
    is_new_enough = pc.greater_equal(readings["observed_at"], first)
    is_due = pc.less(readings["observed_at"], end)
    kept = readings.filter(pc.and_(is_new_enough, is_due))
    too_early = readings.num_rows - (pc.sum(is_due).as_py() or 0)
    return Part(segment, kept, readings.num_rows - kept.num_rows - too_early, too_early)


def open_store(reader: SpoolReader) -> HotStore:
    """The store that `settings.ot.hot` names, connected."""
    if settings.ot.hot == "influx":
        from include.ot.hot_influx import InfluxStore

        return InfluxStore(reader)
    from include.ot.hot_postgres import PostgresStore

    return PostgresStore()


class HotConsumer:
    """Feeds the hot store from the spool, in a thread of its own, for ever."""

    def __init__(self, reader: SpoolReader) -> None:
        self._reader = reader
        self._store: HotStore | None = None
        self._spool: str | None = None
        self._number = 0
        self._expired_at = -EXPIRE_S
        self._figures: dict[str, int] = {}
        self._wake = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hot", daemon=True)
        self.problem: str | None = None  # why it does not get on, while it does not

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Tell that a segment was sealed."""
        self._wake.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Take what is sealed, once, and end. A store that does not answer is not waited for."""
        self._is_stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def figures(self) -> dict[str, Any]:
        """Since the start: readings stored, and those left to the lake alone."""
        return {"store": settings.ot.hot, **self._figures}

    def _run(self) -> None:
        pause = RETRY_S[0]
        while True:
            is_last = self._is_stopping.is_set()
            try:
                self.take_all()
                pause = RETRY_S[0]
            except Exception as error:  # whatever it is, spool and lake go on, and this consumer tries again
                self._report(error)
                self._let_go()
                if not is_last:
                    self._is_stopping.wait(pause)
                pause = min(pause * 2, RETRY_S[1])
            else:
                if not is_last:
                    self._wake.wait(LOOK_S)
            if is_last:
                self._let_go()
                return
            self._wake.clear()

    def take_all(self) -> None:
        """Bring the store up to the newest segment. Raises `OtError` where the store is away."""
        spool = self._reader.spool_id()
        if spool is None:
            return
        if self._store is None or spool != self._spool:
            self._store = self._store or open_store(self._reader)
            self._spool, self._number = spool, self._store.progress(spool)
            self._reader.taken("hot", self._number)
        while segments := self._reader.sealed(self._number, BATCH_ROWS):
            now = datetime.now(UTC)
            counts = self._store.store([self._part(segment, now) for segment in segments])
            for name, count in counts.items():
                self._figures[name] = self._figures.get(name, 0) + count
            self._number = segments[-1].number
            self._reader.taken("hot", self._number)
            self._is_well()
        self._is_well()
        if time.monotonic() - self._expired_at >= EXPIRE_S:
            self._store.expire(window(datetime.now(UTC))[0])
            self._expired_at = time.monotonic()

    def _part(self, segment: Segment, now: datetime) -> Part:
        try:
            readings = self._reader.read(segment)
        except SpoolError as error:
            self._reader.set_aside(segment, str(error))  # the lake tells the gaps
            return Part(segment, pa.table({}), corrupt=str(error))
        return part_of(segment, readings, now)

    def _let_go(self) -> None:
        store, self._store = self._store, None
        if store:
            store.close()

    def _report(self, error: Exception) -> None:
        problem = str(error)
        if problem != self.problem:
            if isinstance(error, OtError):
                log.error("%s", problem)
            else:
                log.exception("The hot store does not get on")
        self.problem = problem

    def _is_well(self) -> None:
        if self.problem:
            log.info("The hot store gets on again, from segment %d", self._number)
        self.problem = None
