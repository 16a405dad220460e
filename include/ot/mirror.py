"""From sealed segments to `ot.readings`: every reading once, however often a drain is killed, cleared or doubled.

A drain goes on for some minutes, committing every few seconds, and ends early where nothing comes. The table itself
says which segments are in; a reading that it has under the same key is left out. A segment that cannot be read becomes
a gap, is told to on-call, and does not hold up the others.

    python -m include.ot.mirror            # one drain, as a run of mirror_ot makes it
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyiceberg.exceptions import RESTError
from pyiceberg.table import Table
from requests import RequestException

from include import lakehouse
from include.errors import CommitConflict, HnaiError, LakehouseError, OtError, SpoolError
from include.ops.lease import Lease, hold
from include.ot import gaps, lake, tables
from include.ot.known import LatestKeys
from include.ot.reading import Gap
from include.ot.spool import Segment, SpoolReader
from include.ot.waiting import CONSUMER, LEASE
from include.settings import settings

log = logging.getLogger(__name__)

COMMIT_ROWS = 250_000  # in one commit, and in memory, while catching up
LOOK_S = 0.2
IDLE_S = 30.0  # a drain to which nothing comes for so long ends
REPORT_S = 30.0
PATIENCE_S = 60.0  # with a lakehouse that does not answer
AWAY = (LakehouseError, RequestException, RESTError, SpoolError, OSError)


@dataclass
class Drained:
    """What a drain, or a part of it, did."""

    rows: int = 0
    repeated: int = 0  # readings that the table had under the same key
    segments: int = 0
    commits: int = 0
    gaps: int = 0
    corrupt: int = 0
    ages_s: list[np.ndarray] = field(default_factory=list, repr=False)  # of the readings when their commit was in

    def __add__(self, other: "Drained") -> "Drained":
        return Drained(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def age_s(self, percent: float) -> float | None:
        return round(float(np.percentile(np.concatenate(self.ages_s), percent)), 1) if self.ages_s else None

    def figures(self) -> dict[str, int | float | None]:
        """What a log line or Airflow can hold."""
        counts = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "ages_s"}
        return {**counts, "age_p50_s": self.age_s(50), "age_p95_s": self.age_s(95)}

    def __str__(self) -> str:
        told = f"{self.rows:,} readings of {self.segments:,} segments in {self.commits:,} commits"
        if self.ages_s:
            told += f", observed {self.age_s(50)} s before (P95 {self.age_s(95)} s)"
        for count, what in ((self.repeated, "known before"), (self.gaps, "gaps"), (self.corrupt, "corrupt segments")):
            told += f", {count:,} {what}" if count else ""
        return told


def drain(
    run_id: str,
    try_number: int = 1,
    *,
    minutes: float | None = None,
    idle_s: float = IDLE_S,
    spool: Path | None = None,
) -> Drained:
    """Commit what is sealed for `minutes` (a setting unless given), or until nothing came for `idle_s`.

    Waits for another drain to end first. Raises `LeaseLost` where a later try of the same run took over, and `OtError`
    where the lakehouse does not take readings for a minute; whatever was committed stays, and the next drain goes on.
    """
    lasts_s = 60 * (settings.ot.drain_minutes if minutes is None else minutes)
    with hold(LEASE, run_id, try_number, wait_s=lasts_s + settings.lease_s) as lease:
        return Drain(SpoolReader(spool or settings.ot_dir / "spool"), lease).run(lasts_s, idle_s)


class Drain:
    """One drain under its lease."""

    def __init__(self, reader: SpoolReader, lease: Lease) -> None:
        self._reader, self._lease = reader, lease
        self._keys = LatestKeys()
        self._readings: Table | None = None  # as it stands after the last commit of ours
        self._snapshot: int | None = None  # whose rows `_keys` knows
        self._position = lake.Position()
        self._told: set[str] = set()  # what on-call was told

    def run(self, lasts_s: float, idle_s: float) -> Drained:
        started = news_at = reported_at = time.monotonic()
        total, part = Drained(), Drained()
        self._patiently(tables.ensure)
        while True:
            begun = time.monotonic()
            is_over = begun - started >= lasts_s
            done = self._patiently(self.take)
            part += done
            if done.segments:
                news_at = time.monotonic()
            if time.monotonic() - reported_at >= REPORT_S and part.segments:
                log.info("%s", part)
                total, part, reported_at = total + part, Drained(), time.monotonic()
            if is_over or time.monotonic() - news_at >= idle_s:
                total += part
                log.info("Drained: %s", total)
                return total
            if done.rows + done.repeated < COMMIT_ROWS // 2:  # else it is behind
                due = begun + settings.ot.commit_every_s if done.segments else 0.0
                time.sleep(max(LOOK_S, due - time.monotonic()))

    def take(self) -> Drained:
        """Commit the next segments, where there are any. Raises what `_patiently` waits out."""
        if (spool := self._reader.spool_id()) is None:
            return Drained()
        self._look()
        after = self._position.segments.get(spool, 0)
        segments = self._reader.sealed(after, COMMIT_ROWS)
        if not segments:
            if self._reader.progress(CONSUMER) != after:
                self._reader.taken(CONSUMER, after)
            return Drained()
        self._tell_of_missing(after, segments[0])
        done = self._commit(segments)
        self._reader.taken(CONSUMER, segments[-1].number)
        return done

    def _look(self) -> None:
        """Read where the table is, after somebody else committed to it (or it is the first time)."""
        if self._readings is None:
            self._readings = lakehouse.table(tables.READINGS_TABLE)
            self._position = lake.position(self._readings)
            if not lake.has_only_upkeep_since(self._readings, self._snapshot):
                self._keys.forget()
            self._snapshot = self._readings.metadata.current_snapshot_id

    def _commit(self, segments: Sequence[Segment]) -> Drained:
        parts, told = [], []
        for segment in segments:
            told += segment.gaps
            try:
                parts.append(lake.stamped(self._reader.read(segment), segment.segment_id))
            except SpoolError as error:
                told += self._set_aside(segment, str(error))
        rows = pa.concat_tables(parts) if parts else None
        news = self._keys.news(self._readings, rows) if rows is not None else None
        opened = gaps.news(told)
        committed, self._position = lake.commit(
            self._readings,
            self._position,
            [] if news is None else [news],
            opened,
            {segments[-1].spool: segments[-1].number},
            self._lease.guard(),
        )
        self._readings, self._snapshot = committed, committed.metadata.current_snapshot_id
        done = Drained(segments=len(segments), commits=1, gaps=len({g["gap_id"] for g in opened}))
        done.corrupt = len(segments) - len(parts)
        if news is not None:
            self._keys.took(news)
            done.rows, done.repeated = news.num_rows, rows.num_rows - news.num_rows
            done.ages_s = [_ages_s(news)] if news.num_rows else []
        return done

    def _patiently(self, step: Callable[[], Drained | None]) -> Drained:
        """Run a step until it gets through, for a minute; where it stopped half-way, the table says what is in."""
        since, pause_s = time.monotonic(), 0.05
        while True:
            try:
                return step() or Drained()
            except CommitConflict:
                self._readings = None
                if time.monotonic() - since > PATIENCE_S:
                    raise
            except AWAY as error:
                self._readings = None
                if time.monotonic() - since > PATIENCE_S:
                    raise OtError(
                        f"No reading could be committed for {PATIENCE_S:.0f} s: {error}. The spool keeps them. "
                        "Look at: make status"
                    ) from error
                log.warning("%s. Trying again", error)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)

    def _set_aside(self, segment: Segment, reason: str) -> tuple[Gap, ...]:
        found = self._reader.set_aside(segment, reason)
        lost = f"{segment.rows:,} readings become a gap" if found else "What it held is not known"
        self._tell(
            segment.segment_id,
            f"A segment of the spool is corrupt: {reason}",
            {"segment": segment.segment_id, "rows": segment.rows, "gaps": [gap.gap_id for gap in found]},
            f"Nothing to clear. {lost}; a source with history is asked for it",
        )
        return found

    def _tell_of_missing(self, after: int, first: Segment) -> None:
        if first.number == after + 1:
            return
        self._tell(
            f"before {first.segment_id}",
            f"Segments {after + 1} to {first.number - 1} are neither in ot.readings nor in the spool any more",
            {"spool": first.spool, "in the table": after, "oldest in the spool": first.number},
            "Nothing to clear. Was the lakehouse put back to an older copy? The hot store may have what is missing",
        )

    def _tell(self, what_for: str, what: str, detail: dict, hint: str) -> None:
        """Tell on-call, once a drain."""
        from include.ops.alerts import Alert, raise_alert

        if what_for not in self._told:
            self._told.add(what_for)
            runbook = "See docs/runbooks/mirror_ot.md"
            raise_alert(
                Alert(
                    "mirror_ot", "drain", self._lease.holder, self._lease.try_number, what, detail, f"{hint}. {runbook}"
                )
            )


def _ages_s(rows: pa.Table) -> np.ndarray:
    now_us = datetime.now(UTC).timestamp() * 1e6
    observed_us = rows["observed_at"].cast(pa.int64()).to_numpy()
    return ((now_us - observed_us) / 1e6).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.ot.mirror", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, help="how long it goes on; drain_minutes of the settings unless given")
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds without a segment after which it ends")
    a = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        drain(f"by hand {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", minutes=a.minutes, idle_s=a.idle)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
