"""Where a close builds, and how what it built is read back: all that differs between the two profiles' engines.

    embedded      a DuckDB file of the run
    distributed   a namespace of the run in the lakehouse, filled by Trino (include/engine_trino.py)

Either way a workspace is read through a DuckDB connection that knows every table by its bare name, so whoever
publishes, traces or restores need not know which engine built it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from include.errors import PublishError
from include.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from include.publish.freeze import Close


class Engine(Protocol):
    """What closes ask of the engine that builds them."""

    target: str  # of dbt/profiles.yml

    def workspace(self, close: "Close") -> Path | str:
        """What dbt builds in: a file, or a namespace."""

    def prepare(self, close: "Close") -> None:
        """Make the workspace where it is missing; what an earlier try built in it stays until it is built again."""

    def row_counts(self, close: "Close") -> dict[str, int]:
        """Rows of each table that the workspace holds; none where it was not built."""

    def failing_rows(self, close: "Close", test_sql: str, limit: int) -> list[dict[str, Any]]:
        """Some rows that the SQL of a data test finds; none where it cannot be asked again."""

    def opened(self, close: "Close") -> Any:
        """A context: the workspace to read from. Raises `PublishError` where the close was not built."""

    def fill(self, close: "Close", tables: Mapping[str, "pa.Table"]) -> None:
        """Make the workspace anew with these tables in it."""

    def drop(self, close: "Close") -> None:
        """Forget the workspace and all that is in it."""


def engine(profile: str | None = None) -> Engine:
    """The engine that closes are built by; of the platform's own profile unless one is named."""
    if (profile or settings.profile) == "distributed":
        from include.engine_trino import TrinoNamespace

        return TrinoNamespace()
    return DuckdbFile()


class DuckdbFile:
    """A DuckDB file of the run alone, with the lakehouse attached while it is built."""

    target = "embedded"

    def workspace(self, close: "Close") -> Path:
        return close.workspace

    def prepare(self, close: "Close") -> None:
        close.workspace.parent.mkdir(parents=True, exist_ok=True)

    def row_counts(self, close: "Close") -> dict[str, int]:
        import duckdb

        if not close.workspace.is_file():
            return {}  # dbt stopped before it opened the workspace
        with duckdb.connect(str(close.workspace), read_only=True) as con:
            names = [name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()]
            return {name: con.execute(f'select count(*) from "{name}"').fetchone()[0] for name in names}

    def failing_rows(self, close: "Close", test_sql: str, limit: int) -> list[dict[str, Any]]:
        import duckdb

        try:
            with duckdb.connect() as con:
                con.execute(f"attach '{close.workspace}' as workspace (read_only)")
                return as_dicts(con.execute(f"select * from ({test_sql}) limit {limit}"))
        except duckdb.Error:
            return []

    @contextmanager
    def opened(self, close: "Close") -> Iterator["DuckDBPyConnection"]:
        import duckdb

        if not close.workspace.is_file():
            raise not_built(close, close.workspace)
        try:
            connection = duckdb.connect(str(close.workspace), read_only=True)
        except duckdb.Error as error:
            raise PublishError(
                f"The workspace of {close.label} is in use: {str(error).splitlines()[0]}. "
                "Wait for the build, then clear"
            ) from error
        try:
            connection.execute("set TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()

    def fill(self, close: "Close", tables: Mapping[str, "pa.Table"]) -> None:
        import duckdb

        self.prepare(close)
        self.drop(close)
        with duckdb.connect(str(close.workspace)) as con:
            for name, rows in tables.items():
                con.register("given", rows)
                con.execute(f'create table "{name}" as select * from given')
                con.unregister("given")

    def drop(self, close: "Close") -> None:
        close.workspace.unlink(missing_ok=True)


def not_built(close: "Close", where: object) -> PublishError:
    """What is said of a close whose workspace is missing."""
    return PublishError(f"{close.label} has no workspace ({where}). Clear the run from its first build task")


def as_dicts(found: "DuckDBPyConnection") -> list[dict[str, Any]]:
    """The rows of an executed query by column name."""
    names: Sequence[str] = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
