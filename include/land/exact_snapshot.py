"""A snapshot of the source together with the exact position that it shows.

A temporary replication slot exports it: every transaction whose commit ends at or below its position is visible in
the snapshot, and no other. It waits for the transactions that run when it is made, and goes with its connection.

In raw, rows at or below `commit_lsn` are those of the visible transactions. The embedded worker files rows by the
commit of their own transaction, so that is the slot's position. Kafka Connect files them by the commit before (see
`RawRow` in `connect-smt/`): there the cut is just below the commit of the last visible transaction.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from include.catalog import Source
from include.errors import LandingError
from include.land.source_setup import dsn
from include.settings import settings


@dataclass(frozen=True)
class ExactSnapshot:
    """`name` goes into SET TRANSACTION SNAPSHOT, while the context that gave it is open."""

    name: str
    commit_lsn: int


@contextmanager
def exact_snapshot(source: Source, timeout_s: float = 60.0) -> Iterator[ExactSnapshot]:
    """Open a snapshot. Raises `LandingError` where a transaction of the source stays open longer than `timeout_s`."""
    slot = f"hnai_snapshot_{os.getpid()}_{time.monotonic_ns()}"
    if settings.is_distributed:
        from include.land.connect import beat

        beat(source.name)  # at least one transaction of the stream lies below the snapshot
    try:
        connection = psycopg.connect(dsn(source, replication="database"), autocommit=True)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise LandingError(f"Source {source.name!r} gives no replication connection: {reason}") from None
    with connection:
        timer = threading.Timer(timeout_s, connection.cancel)
        timer.daemon = True
        timer.start()
        answer = connection.pgconn.exec_(
            f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')".encode()
        )
        timer.cancel()
        if answer.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise LandingError(
                f"The source gave no snapshot within {timeout_s:.0f} s: {answer.error_message.decode().strip()}. "
                "A transaction may be open for long: select pid, xact_start, query from pg_stat_activity order by 2"
            )
        high, low = answer.get_value(0, 1).decode().split("/")
        lsn = (int(high, 16) << 32) + int(low, 16)
        name = answer.get_value(0, 2).decode()
        yield ExactSnapshot(name, _cut_below(source, lsn) if settings.is_distributed else lsn)


def _cut_below(source: Source, lsn: int) -> int:
    from include.land.connect import beat, source_position
    from include.land.kafka import last_commit_below

    epoch = source_position(source.name)["epoch"]
    beat(source.name)  # the next transaction, which shows that the one before was the last
    return last_commit_below(source.name, epoch, lsn, settings.landing.catch_up_timeout_s) - 1
