"""A snapshot of the source together with the exact position that it shows.

A temporary replication slot exports it: every transaction whose commit ends at or below `commit_lsn` is visible in
the snapshot, and no other. It waits for the transactions that run when it is made, and goes with its connection.
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


@dataclass(frozen=True)
class ExactSnapshot:
    """`name` goes into SET TRANSACTION SNAPSHOT, while the context that gave it is open."""

    name: str
    commit_lsn: int


@contextmanager
def exact_snapshot(source: Source, timeout_s: float = 60.0) -> Iterator[ExactSnapshot]:
    """Open a snapshot. Raises `LandingError` where a transaction of the source stays open longer than `timeout_s`."""
    slot = f"hnai_snapshot_{os.getpid()}_{time.monotonic_ns()}"
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
        yield ExactSnapshot(answer.get_value(0, 2).decode(), (int(high, 16) << 32) + int(low, 16))
