"""What a Sparkplug bridge must not forget over a restart: births, where each node stands, the last value of each tag.

Births are told once and not kept by the broker, and a bridge that only reads cannot ask for them. What is written here
follows the outbox and goes before the acknowledgement: whatever is killed, the memory is never ahead of the outbox, and
what the broker sends again is never behind the memory.
"""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from include.errors import OtError

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
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._db.execute("pragma journal_mode = wal")
                self._db.execute("pragma synchronous = normal")
                self._db.execute(_SCHEMA)
            else:
                self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise self._trouble(error) from error

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
            f"{self.path} cannot be used: {error}. Is the disk full or gone? If the file is damaged, stop the bridge, "
            "remove it, and have the edge nodes tell their births again"
        )
