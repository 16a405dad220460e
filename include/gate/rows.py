"""The rows that a gate judges, taken once: every expectation of a run sees the same ones.

Each suite's SQL runs in the profile's engine, against the lakehouse and the close's workspace, and its rows go into a
small DuckDB file of the run's own; Great Expectations reads only that file. So a gate is one query per suite, however
many expectations it holds, and every expectation means the same in both profiles.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb

from include import lakehouse
from include.gate.relations import Relations
from include.gate.suites import Suite
from include.settings import settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.publish.freeze import Close

FUNCTIONS = """
    create or replace temp macro ratio(a, b) as cast(a as double) / nullif(cast(b as double), 0);
    create or replace temp macro median_of(v) as cast(list_aggregate(v, 'median') as double);
    create or replace temp macro least_of(v) as cast(list_min(v) as double);
    create or replace temp macro greatest_of(v) as cast(list_max(v) as double);
    create or replace temp macro joined(v, between_them) as nullif(array_to_string(list_sort(v), between_them), '');
    create or replace temp macro seconds_between(a, b) as epoch(b - a);
"""


class Reader(Protocol):
    """Runs the SQL of suites and puts their rows into the DuckDB file that it was opened for."""

    def take(self, suites: Sequence[Suite]) -> dict[str, str]:
        """Make a table for each suite, named as it, from its rows.

        Gives the message of each suite whose SQL was refused, in one line; its table has no rows.
        """


OpenReader = Callable[["Close", Path], AbstractContextManager[Reader]]


def open_reader(close: "Close", into: Path) -> AbstractContextManager[Reader]:
    """The reader of the profile's engine for the DuckDB file `into`."""
    if settings.is_distributed:
        from include.gate.rows_trino import trino_reader

        return trino_reader(close, into)
    return duckdb_reader(close, into)


def take_rows(close: "Close", suites: Iterable[Suite], into: Path, reader: OpenReader = open_reader) -> dict[str, str]:
    """Fill the DuckDB file `into` with one table per suite; return the message of each suite whose SQL failed."""
    into.parent.mkdir(parents=True, exist_ok=True)
    into.unlink(missing_ok=True)
    with reader(close, into) as reading:
        return reading.take(tuple(suites))


def in_order(sql: str) -> str:
    """The same rows in one order: where a page shows some of many failing rows, they are the same ones again."""
    return f"select * from ({sql}) order by all"


def leave_empty(con: "DuckDBPyConnection", suite: Suite) -> None:
    """Make a table without rows in the place of a suite's."""
    con.execute(f'create or replace table "{suite.table}" (nothing integer)')


@contextmanager
def duckdb_reader(
    close: "Close", into: Path, connect: Callable[[Path], "DuckDBPyConnection"] = lakehouse.connect
) -> Iterator["DuckdbReader"]:
    with connect(into) as con:
        yield DuckdbReader(con, close)


class DuckdbReader:
    """The embedded engine: the workspace is a DuckDB file, attached beside the lakehouse."""

    def __init__(self, con: "DuckDBPyConnection", close: "Close") -> None:
        self._con = con
        self._con.execute(FUNCTIONS)
        self._have = self._attach_workspace(close)
        self._relations = Relations(close, "duckdb", self._exists)

    def take(self, suites: Sequence[Suite]) -> dict[str, str]:
        errors = {}
        for suite in suites:
            try:
                self._take(suite)
            except duckdb.Error as error:
                errors[suite.table] = str(error).splitlines()[0]
                leave_empty(self._con, suite)
        return errors

    def _take(self, suite: Suite) -> None:
        sql = suite.rows or self._relations.window_of(suite)
        for name, query in self._relations.named_in(sql, self._have).items():
            self._con.execute(f'create or replace temp view "{name}" as {query}')
            self._have.add(name)
        self._con.execute(f'create table "{suite.table}" as {in_order(sql)}')

    def _attach_workspace(self, close: "Close") -> set[str]:
        """Make every model of the workspace readable by its bare name; return the names."""
        path = close.workspace
        if not path.is_file():
            return set()
        self._con.execute(f"attach '{path}' (read_only)")  # under the name that dbt built it with: its views say that
        found = self._con.execute("select database_name from duckdb_databases() where path = ?", [str(path)])
        (database,) = found.fetchone()
        relations = self._con.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = $d "
            "union all select schema_name, view_name from duckdb_views() where database_name = $d and not internal",
            {"d": database},
        ).fetchall()
        for schema, name in relations:
            self._con.execute(f'create or replace temp view "{name}" as from "{database}"."{schema}"."{name}"')
        return {name for _, name in relations}

    def _exists(self, identifier: str) -> bool:
        namespace, name = identifier.split(".")
        try:
            self._con.execute(f'describe {lakehouse.LAKEHOUSE}."{namespace}"."{name}"')
        except duckdb.CatalogException:
            return False
        return True
