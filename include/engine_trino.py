"""The distributed profile's engine: a close is a namespace of its own in the lakehouse, filled by Trino.

Trino sees the lakehouse as the catalog `lakehouse`, like every engine. The namespace is made before dbt starts and is
dropped some days later by upkeep; its tables are ordinary Iceberg tables, so DuckDB and pyiceberg read them as well.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchNamespaceError, NoSuchTableError

from include import lakehouse
from include.engine import not_built
from include.errors import BadSetting
from include.settings import has_secret, in_environment, secret, settings, trusted_certificates

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from trino.dbapi import Connection

    from include.publish.freeze import Close

WORKSPACES = "ws_"  # what the name of every such namespace begins with
PASSWORD = "trino_password"  # the secret of a Trino that asks for one
CATALOG_CALLS = 8  # at one time: a workspace has dozens of tables, and each answer is awaited


def connect(schema: str | None = None) -> "Connection":
    """A connection to Trino's catalog `lakehouse`; instants come in UTC. Raises `BadSetting` as `address` does."""
    from trino.auth import BasicAuthentication
    from trino.dbapi import connect as trino_connect

    host, port, scheme = address()
    return trino_connect(
        host=host,
        port=port,
        http_scheme=scheme,
        user=settings.cluster.trino_user,
        auth=BasicAuthentication(settings.cluster.trino_user, secret(PASSWORD)) if has_secret(PASSWORD) else None,
        verify=trusted_certificates(),
        catalog=lakehouse.LAKEHOUSE,
        schema=schema,
        source="hnai",
        timezone="UTC",
    )


def address() -> tuple[str, int, str]:
    """Where the coordinator is: host, port, scheme. Raises `BadSetting` where a password would cross the net open."""
    where = urlsplit(settings.trino_uri)
    if has_secret(PASSWORD) and where.scheme != "https":
        raise BadSetting(
            f"Trino is given the secret {PASSWORD!r}, but its address {settings.trino_uri} is not https://. "
            f"Set HNAI_CLUSTER__TRINO_URL to its TLS address, or remove {settings.secrets_dir / PASSWORD}"
        )
    return str(where.hostname), where.port or (443 if where.scheme == "https" else 8080), where.scheme


@contextmanager
def dbt_profile() -> Iterator[dict[str, Any]]:
    """What `dbt/profiles.yml` reads as the variable `trino`; the password is in dbt's environment meanwhile.

    dbt keeps no variable of that prefix in its files or logs. Its adapter checks no certificate unless told to.
    """
    host, port, scheme = address()
    password = secret(PASSWORD) if has_secret(PASSWORD) else ""
    with in_environment(DBT_ENV_SECRET_TRINO_PASSWORD=password):
        yield {
            "method": "ldap" if password else "none",  # so dbt calls any user with a password
            "host": host,
            "port": port,
            "http_scheme": scheme,
            "cert": trusted_certificates(),
            "user": settings.cluster.trino_user,
            "threads": settings.cluster.trino_threads,
        }


class TrinoNamespace:
    """A namespace of the run alone; two closes never share a table, so they never wait for each other."""

    target = "distributed"

    def workspace(self, close: "Close") -> str:
        return close.namespace

    def prepare(self, close: "Close") -> None:
        with suppress(NamespaceAlreadyExistsError):
            lakehouse.catalog().create_namespace(
                close.namespace,
                {"hnai.pack": close.pack, "hnai.run-id": close.run_id, "hnai.made-at": datetime.now(UTC).isoformat()},
            )

    def row_counts(self, close: "Close") -> dict[str, int]:
        with ThreadPoolExecutor(CATALOG_CALLS) as calls:
            return dict(calls.map(lambda name: (name, _rows(close.namespace, name)), tables(close.namespace)))

    def failing_rows(self, close: "Close", test_sql: str, limit: int) -> list[dict[str, Any]]:
        from trino.exceptions import Error

        with connect(close.namespace) as connection:
            cursor = connection.cursor()
            try:
                cursor.execute(f"select * from ({test_sql}) limit {limit}")
                rows = cursor.fetchall()
            except Error:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in rows]

    @contextmanager
    def opened(self, close: "Close") -> Iterator["DuckDBPyConnection"]:
        built = tables(close.namespace)
        if not built:
            raise not_built(close, close.namespace)
        with lakehouse.connect() as connection:
            for name in built:
                connection.execute(f'create view "{name}" as from {lakehouse.LAKEHOUSE}."{close.namespace}"."{name}"')
            yield connection

    def fill(self, close: "Close", tables: Mapping[str, "pa.Table"]) -> None:
        self.drop(close)
        self.prepare(close)
        for name, rows in tables.items():
            identifier = f"{close.namespace}.{name}"
            lakehouse.ensure_table(identifier, rows.schema)
            lakehouse.append(identifier, rows)

    def drop(self, close: "Close") -> None:
        drop(close.namespace)


def tables(namespace: str) -> list[str]:
    """The tables of a namespace; none where it does not exist."""
    try:
        return sorted(name[-1] for name in lakehouse.catalog().list_tables(namespace))
    except NoSuchNamespaceError:
        return []


def workspaces_before(limit: datetime) -> list[str]:
    """The workspaces to which nothing was written since `limit`."""
    found = [name[-1] for name in lakehouse.catalog().list_namespaces() if name[-1].startswith(WORKSPACES)]
    return [name for name in found if _last_written(name) < limit]


def drop(namespace: str) -> int:
    """Drop a workspace with its tables and their files; give the number of tables. One that is gone is no error."""
    catalog, names = lakehouse.catalog(), tables(namespace)
    for name in names:
        with suppress(NoSuchTableError):
            catalog.purge_table(f"{namespace}.{name}")
    with suppress(NoSuchNamespaceError):
        catalog.drop_namespace(namespace)
    return len(names)


def _rows(namespace: str, name: str) -> int:
    snapshot = lakehouse.table(f"{namespace}.{name}").metadata.current_snapshot()
    return int(snapshot.summary.additional_properties["total-records"]) if snapshot else 0


def _last_written(namespace: str) -> datetime:
    """When the workspace was made, or the last of its tables was written."""
    try:
        made = lakehouse.catalog().load_namespace_properties(namespace).get("hnai.made-at")
    except NoSuchNamespaceError:
        return datetime.max.replace(tzinfo=UTC)  # dropped meanwhile
    written = [lakehouse.table(f"{namespace}.{name}").metadata.last_updated_ms for name in tables(namespace)]
    instants = [datetime.fromtimestamp(ms / 1000, UTC) for ms in written]
    return max([*instants, *([datetime.fromisoformat(made)] if made else [])], default=datetime.max.replace(tzinfo=UTC))
