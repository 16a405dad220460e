"""Whether sealed segments wait that nobody commits to the lake: what wakes a drain."""

from dataclasses import dataclass
from pathlib import Path

import psycopg

from include.ops.lease import is_held
from include.ot.spool import SpoolReader
from include.settings import postgres_dsn, settings

LEASE = "ot:mirror"  # held by the one that drains
CONSUMER = "lake"


@dataclass(frozen=True)
class Waiting:
    """What one look found."""

    progress: int  # the last segment that is in the lake
    segments: int  # that are not
    is_drained: bool  # whether somebody is at it


class Watch:
    """Looks, as often as it is asked. Keeps one database session open; a broken one is replaced at the next look."""

    def __init__(self, spool: Path | None = None) -> None:
        self._reader = SpoolReader(spool or settings.ot_dir / "spool")
        self._connection: psycopg.Connection | None = None

    def look(self) -> Waiting:
        """Raises `SpoolError` or `psycopg.Error` where spool or database do not answer; ask again later."""
        progress = self._reader.progress(CONSUMER)
        segments = max(0, self._reader.newest() - progress)
        return Waiting(progress, segments, is_drained=bool(segments) and self._is_held())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_held(self) -> bool:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                postgres_dsn("hnai", "hnai"),
                autocommit=True,
                connect_timeout=5,
                application_name="mirror_ot watcher",
                options="-c statement_timeout=5000",
            )
        try:
            return is_held(self._connection, LEASE)
        except psycopg.Error:
            self.close()
            raise
