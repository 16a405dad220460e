"""One running capture: Debezium's batches through the stream to raw, acknowledged only after the commit.

No offset is kept beside the data: the source's slot knows what was acknowledged, the raw tables know what is in.
A crash between the two brings transactions again, and those that are in already are recognised by their position.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from include.catalog import Table
from include.catalog import source as declared
from include.errors import HnaiError
from include.land.source_schema import Column, read_columns, read_identity
from include.land.source_setup import HEARTBEAT, captured_tables
from include.land.worker.jvm import Engine
from include.land.worker.landing_table import LandingTable
from include.land.worker.stream import Name, Stream
from include.land.worker.writer import Writer
from include.land.zones import Zones
from include.settings import settings

log = logging.getLogger(__name__)
_OURS = "hnai."
_UNDECLARED_FOR_S = 5.0
_IDLE_COMMIT_S = 15.0  # heartbeats alone are committed this often, unless somebody asked for one
_ASKED_FOR = 2  # the id of a heartbeat that somebody waits for
_FIXED = {
    "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
    "offset.flush.interval.ms": "0",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
}


class Capture:
    """Runs one connector's engine. `config` is without secrets, `resolved` with them."""

    def __init__(self, config: dict[str, str], resolved: dict[str, str], on_running: Callable[[], None]) -> None:
        self._source = config["hnai.source"]
        self._epoch = int(config["hnai.epoch"])
        self._dsn = make_conninfo(
            host=resolved["database.hostname"],
            port=resolved["database.port"],
            dbname=resolved["database.dbname"],
            user=resolved["database.user"],
            password=resolved["database.password"],
            connect_timeout=10,
            application_name="hnai-connect",
        )
        self._tables: dict[Name, LandingTable] = {}
        self._undeclared: dict[Name, float] = {}
        self._lock = threading.Lock()
        self._zones = Zones(self._source, self._query)
        self._open_known()
        self._stream = Stream(self._epoch, settings.state_dir / "connect" / "spool" / config["name"], self._table)
        self._writer = Writer(self._epoch, HEARTBEAT, self._table)
        self._last_commit = 0.0
        self._rows, self._commits = 0, 0
        self._acknowledge: Callable[[], None] = lambda: None  # up to the last transaction that has ended
        self._error: BaseException | None = None
        self._closed = False
        properties = {k: v for k, v in resolved.items() if not k.startswith(_OURS)}
        self._engine = Engine({**properties, **_FIXED}, self._consume, on_running)

    def run(self) -> None:
        """Run until closed. Raises what stopped it."""
        if self._closed:
            return
        reason = self._engine.run()
        if self._error is not None:
            raise self._error
        if reason and not self._closed:
            raise HnaiError(f"Debezium stopped: {reason}")

    def close(self) -> None:
        self._closed = True
        self._engine.close()

    def refresh(self) -> None:
        """Look again for tables that were not declared before, and at what the source says of the others."""
        self._undeclared.clear()
        for table in list(self._tables.values()):
            table.is_stale = True

    def report(self) -> dict[str, Any]:
        """What is known without asking anybody."""
        tables = [t for t in list(self._tables.values())]
        beat = self._tables.get(HEARTBEAT)
        return {
            "landed": {"epoch": beat.mark.epoch, "commit_lsn": beat.mark.commit_lsn} if beat else None,
            "rows": self._rows,
            "commits": self._commits,
            "trouble": self._writer.trouble,
            "waiting_rows": self._stream.ready.count,
            "ignored_columns": {t.table.name: sorted(t.ignored) for t in tables if t.ignored},
            "set_aside": {t.table.name: sum(t.refused.values()) for t in tables if t.refused},
            "undeclared": sorted(".".join(n) for n in list(self._undeclared)),
            "unknown_zones": self._zones.unknown,
        }

    def _consume(self, payload: bytes, acknowledge: Callable[[int], None]) -> None:
        if self._error is not None or self._closed:
            raise RuntimeError("the capture has stopped")
        try:
            last_end = self._stream.feed(payload)
            if last_end is not None:
                self._acknowledge = partial(acknowledge, last_end)
            if self._is_due():
                ready = self._stream.take()
                self._writer.commit(ready)
                self._rows += ready.count
                self._commits += 1
                self._last_commit = time.monotonic()
                self._acknowledge()
        except BaseException as error:
            if not self._closed:  # a stop interrupts whatever waits in Java: what was not acknowledged comes again
                self._error = error
                log.exception("A batch could not be landed")
            raise

    def _is_due(self) -> bool:
        ready, waited = self._stream.ready, time.monotonic() - self._last_commit
        if not ready.count:
            return False
        beats = ready.parts.get(HEARTBEAT, ())
        if any(_ASKED_FOR in p.table["id"].to_pylist() for p in beats if p.table is not None):
            return True
        if ready.count == sum(p.count for p in beats):
            return waited >= _IDLE_COMMIT_S
        return waited >= settings.landing.commit_every_s or ready.count >= settings.landing.commit_rows

    def _table(self, name: Name) -> LandingTable | None:
        found = self._tables.get(name)
        if found is not None:
            return found
        if time.monotonic() - self._undeclared.get(name, -_UNDECLARED_FOR_S) < _UNDECLARED_FOR_S:
            return None
        for table in captured_tables(declared(self._source)):
            if (table.schema, table.name) == name:
                return self._open(table)
        self._undeclared[name] = time.monotonic()
        return None

    def _open(self, table: Table) -> LandingTable:
        name = (table.schema, table.name)
        with self._lock:
            if name not in self._tables:
                self._tables[name] = LandingTable(table, self._describe, self._zones.of)
            self._undeclared.pop(name, None)
            return self._tables[name]

    def _open_known(self) -> None:
        for table in captured_tables(declared(self._source)):
            if (table.schema, table.name) == HEARTBEAT:
                self._open(table)

    def _describe(self, table: Table) -> tuple[tuple[Column, ...], frozenset[str] | None]:
        name = (table.schema, table.name)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            return read_columns(connection, [name]).get(name, ()), read_identity(connection, *name)

    def _query(self, sql: str) -> list[tuple]:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            return connection.execute(sql).fetchall()
