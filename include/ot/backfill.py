"""Fill a gap from the source's own history, as far as it has one.

It goes tag by tag, or some tags together: their readings and the word that the gap is filled for them are one commit,
so what was killed goes on with the tags that are left. A reading that `ot.readings` has already is left out. A drain
may commit at any time: who loses the race looks at what came meanwhile and commits again.

    python -m include.ot.backfill GAP      # now, whatever became of it before; see include.ot.gaps
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual

from include import lakehouse
from include.errors import CommitConflict, HnaiError, NoHistory, OtError
from include.ops.lease import Lease, hold
from include.ot import columns, gaps, lake, tables
from include.ot.gaps import OpenGap
from include.ot.known import unknown, without_repetitions
from include.ot.reading import Message, Reading, Sample, Sequencer
from include.ot.sources import Source, source
from include.ot.tags import Tag, tags
from include.settings import settings

log = logging.getLogger(__name__)

LEASE = "ot:backfill"
CHUNK_ROWS = 100_000  # in memory, and in one commit
CHUNK_TAGS = 500
A_RUN = 4  # gaps that one run of mirror_ot tries
TRIES = 50  # of a commit that loses against a drain


@dataclass
class Outcome:
    """What became of one gap."""

    gap: OpenGap
    recovered: int = 0  # readings that were missing
    filled: int = 0  # tags
    lost: int = 0
    left: int = 0  # tags for which time was too short; the next run goes on with them

    def __str__(self) -> str:
        told = f"{self.gap}: {self.recovered:,} readings recovered, {self.filled} tags filled"
        for count, what in ((self.lost, "without history"), (self.left, "left to the next run")):
            told += f", {count} {what}" if count else ""
        return told


def budget_s() -> float:
    """How long a gap may take in one run: all those of a run are done before the drain after next begins."""
    return 60 * settings.ot.drain_minutes / A_RUN


def backfill(gap_id: str, run_id: str, try_number: int = 1, *, lasts_s: float | None = None) -> Outcome | None:
    """Fill a gap; None where it is settled already. After `lasts_s` no further tags are begun.

    Raises `OtError` where the source does not answer. That is written to the gap, which stays open.
    """
    until = time.monotonic() + lasts_s if lasts_s is not None else None
    with hold(LEASE, f"{run_id} {gap_id}", try_number) as lease:
        gap = gaps.one(gap_id)
        return gap and Backfill(gap, lease).run(until)


class _NoAnswer(OtError):
    """The source does not answer, or not with a history."""


class Backfill:
    """One gap under its lease."""

    def __init__(self, gap: OpenGap, lease: Lease) -> None:
        self._gap, self._lease = gap, lease
        self._done = Outcome(gap)
        self._asked = self._read = 0  # tags, and the readings that their history had

    def run(self, until: float | None) -> Outcome:
        if reason := gaps.why_not(self._gap.source):
            self._lose(dict.fromkeys(self._gap.tag_ids, reason))
            log.info("%s: %s", self._done, reason)
            return self._done
        asked = source(self._gap.source)
        declared = {tag.tag_id: tag for tag in tags(asked.name)}
        self._lose({t: "not in the dictionary any more" for t in self._gap.tag_ids if t not in declared})
        wanted = [declared[tag_id] for tag_id in self._gap.tag_ids if tag_id in declared]
        while wanted and (until is None or time.monotonic() < until):
            count = self._fitting(wanted)
            self._try(asked, wanted[:count])
            wanted = wanted[count:]
        self._done.left = len(self._gap.tag_ids) - self._done.filled - self._done.lost
        log.info("%s", self._done)
        return self._done

    def _fitting(self, wanted: Sequence[Tag]) -> int:
        """How many of the tags have about `CHUNK_ROWS` readings: as those before them had, at first by their sampling.

        Most servers keep far less than every sample, and each group costs a commit.
        """
        lasts_ms = (self._gap.to_at - self._gap.from_at).total_seconds() * 1000
        rows = 0.0
        for count, tag in enumerate(wanted[:CHUNK_TAGS]):
            expected = lasts_ms / (tag.sampling_ms or 1000)
            rows += min(expected, 2 * self._read / self._asked + 1) if self._asked else expected
            if rows > CHUNK_ROWS:
                return max(1, count)
        return min(len(wanted), CHUNK_TAGS)

    def _try(self, asked: Source, group: Sequence[Tag]) -> None:
        try:
            asyncio.run(self._fill(asked, group))
        except _NoAnswer as error:
            gaps.settle(gaps.state_rows(self._gap, [tag.tag_id for tag in group], "open", str(error)))
            raise OtError(
                f"The gap {self._gap.gap_id} ({self._gap}) cannot be filled now: {error}. It stays open and is tried "
                "again by itself"
            ) from error

    async def _fill(self, asked: Source, group: Sequence[Tag]) -> None:
        """Read the history of some tags and commit it; the last commit says that the gap is filled for them."""
        by_id = {tag.tag_id: tag for tag in group}
        ordinals, waiting, without = Sequencer(), [], {}
        try:
            async for sample in _history(asked, group, self._gap):
                self._read += 1
                if reading := ordinals.of(sample, by_id[sample.tag_id]):
                    waiting.append(reading)
                if len(waiting) >= CHUNK_ROWS:
                    await asyncio.to_thread(self._commit, waiting)
                    waiting = []
        except NoHistory as error:
            without = error.reasons or dict.fromkeys(by_id, str(error))
        self._asked += len(group)
        await asyncio.to_thread(self._commit, waiting, [tag_id for tag_id in by_id if tag_id not in without])
        self._lose(without)

    def _commit(self, found: Sequence[Reading], filled: Sequence[str] = ()) -> None:
        """Commit the readings that the table lacks, and for the last of them the state of their tags."""
        rows = columns.table([columns.of(Message(self._gap.source, "", 0, datetime.now(UTC), tuple(found)))])
        rows, above = without_repetitions(rows), 0
        segment_id = f"backfill-{self._gap.gap_id}"
        for tried in range(1, TRIES + 1):
            readings = lakehouse.table(tables.READINGS_TABLE)
            at = lake.position(readings)
            rows = unknown(readings, rows, above)
            above = at.ordinal
            states = self._filled(readings, rows, filled, segment_id) if filled else []
            if not rows.num_rows and not states:
                return
            try:
                stamped = lake.stamped(rows, segment_id)
                lake.commit(readings, at, [stamped], states, guard=self._lease.guard(), rows_first=True)
                break
            except CommitConflict:
                if tried == TRIES:
                    raise
        self._done.recovered += rows.num_rows
        self._done.filled += len(filled)
        if rows.num_rows:
            _to_hot_store(rows)

    def _filled(self, readings, rows: pa.Table, filled: Sequence[str], segment_id: str) -> list[dict]:
        """The state of the tags, with all that was recovered of each: by commits before as well."""
        recovered = Counter(rows["tag_id"].to_pylist())
        within = And(
            EqualTo("_segment_id", segment_id),
            GreaterThanOrEqual("observed_at", self._gap.from_at.isoformat()),
            LessThanOrEqual("observed_at", self._gap.to_at.isoformat()),
        )
        for batch in lake.batches(readings, within, ("tag_id",)):
            recovered.update(batch["tag_id"].to_pylist())
        return gaps.state_rows(self._gap, filled, "backfilled", recovered=recovered)

    def _lose(self, reasons: dict[str, str]) -> None:
        if reasons:
            gaps.settle([row for t, why in reasons.items() for row in gaps.state_rows(self._gap, [t], "lost", why)])
            self._done.lost += len(reasons)


async def _history(asked: Source, group: Sequence[Tag], gap: OpenGap) -> AsyncIterator[Sample]:
    """The source's history. Raises `NoHistory`, and `_NoAnswer` for whatever may be better another time."""
    from asyncua.ua.uaerrors import UaError

    from include.ot.opcua_history import history

    try:
        async for sample in history(asked, group, gap.from_at, gap.to_at):
            yield sample
    except NoHistory:
        raise
    except (OtError, UaError, OSError, TimeoutError) as error:
        raise _NoAnswer(str(error) or f"{asked.url}: {type(error).__name__}") from error


def _to_hot_store(rows: pa.Table) -> None:
    """What is recent goes to the hot store as well. Where that is away the lake alone has it."""
    from include.ot.hot import open_store, part_of
    from include.ot.spool import Segment, SpoolReader

    now = datetime.now(UTC)
    number = time.time_ns() // 1000
    segment = Segment("backfill", number, Path(), rows.num_rows, "", None, None, now, ())
    part = part_of(segment, rows, now)
    if not part.readings.num_rows:
        return
    try:
        store = open_store(SpoolReader(settings.ot_dir / "spool"))
        try:
            store.store([part])
        finally:
            store.close()
    except (HnaiError, OSError) as error:
        log.warning("%d readings of a gap are in the lake and not in the hot store: %s", part.readings.num_rows, error)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.ot.backfill", description=__doc__.partition("\n\n")[0])
    parser.add_argument("gap", metavar="GAP", help="its id, as python -m include.ot.gaps list shows it")
    a = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if backfill(a.gap, f"by hand {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}") is None:
            print(f"No gap {a.gap!r} is open", file=sys.stderr)
            return 1
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
