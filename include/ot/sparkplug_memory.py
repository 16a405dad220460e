"""What a Sparkplug bridge must not forget over a restart: births, where each node stands, the last value of each tag.

Births are told once and not kept by the broker, and a bridge that only reads cannot ask for them. What is written here
follows the outbox and goes before the acknowledgement: whatever is killed, the memory is never ahead of the outbox, and
what the broker sends again is never behind the memory.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from include.errors import OtError

log = logging.getLogger(__name__)

Row = tuple[str, str, Any]  # kind, name, state as JSON values

_SCHEMA = """
create table if not exists kept (kind text, name text, state text not null, primary key (kind, name)) without rowid
"""


class Memory:
    """`sparkplug.db` in the bridge's folder. Not synced at each write: what a power cut takes back is only older."""

    def __init__(self, path: Path, *, may_write: bool = True) -> None:
        self.path = path
        try:
            if may_write:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._db = self._open()
            else:
                self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def _open(self) -> sqlite3.Connection:
        """Open the file for writing. One that is damaged is put aside: births come again, an outbox would not."""
        try:
            return _ready(self.path)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # a disk that is full or cannot be reached is no damage
                raise
            aside = self.path.with_suffix(f".damaged-{int(time.time())}")
            log.error("%s is damaged (%s); put aside as %s. Aliases wait for births", self.path, error, aside.name)
            self.path.rename(aside)
            for more in ("-wal", "-shm"):
                self.path.with_name(self.path.name + more).unlink(missing_ok=True)
            return _ready(self.path)

    def rows(self, *kinds: str) -> list[Row]:
        """All that is kept of some kinds."""
        marks = ",".join("?" * len(kinds))
        try:
            found = self._db.execute(f"select kind, name, state from kept where kind in ({marks})", kinds).fetchall()
            return [(kind, name, json.loads(state)) for kind, name, state in found]
        except (sqlite3.Error, ValueError) as error:
            raise self._trouble(error) from error

    def keep(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction, each in place of the one before it."""
        written = [(kind, name, json.dumps(state)) for kind, name, state in rows]
        try:
            self._db.execute("begin")
            self._db.executemany("insert or replace into kept values (?, ?, ?)", written)
            self._db.execute("commit")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise self._trouble(error) from error

    def close(self) -> None:
        self._db.close()

    def _trouble(self, error: Exception) -> OtError:
        return OtError(
            f"{self.path} cannot be used: {error}. Is the disk full or gone? If the file is damaged, start the bridge "
            "again: it puts it aside"
        )


def _ready(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute(_SCHEMA)
        if db.execute("pragma quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("its check found faults")
    except sqlite3.Error:
        db.close()
        raise
    return db
