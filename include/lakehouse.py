"""The one module that opens the Iceberg catalog and the SQL engine, and commits to tables.

Three kinds of commit exist: `append` (logs: raw, ops, quarantine, ot), `commit_many` (several prepared
transactions in one request: publishing, and a batch of the change stream) and the upkeep of
`lakehouse_upkeep`. DuckDB only reads: its DELETE never drops a data file. Tables are of format 2, since
the object store refuses the deletion vectors of format 3.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import pyarrow as pa
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import (
    ArrowScan,
    _dataframe_to_data_files,
    _expression_to_complementary_pyarrow,
    _pyarrow_to_schema_without_ids,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import CommitTableRequest, Table, TableIdentifier, Transaction
from pyiceberg.table.update.snapshot import _SnapshotProducer
from pyiceberg.transforms import parse_transform
from requests import RequestException

from include import lakehouse_access, nessie
from include.errors import CommitConflict, LakehouseError
from include.lakehouse_access import LAKEHOUSE, quoted
from include.settings import settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXTENSIONS = ("avro", "httpfs", "icu", "iceberg", "postgres_scanner")
COMMIT_TAKES = timedelta(hours=1)  # a file may be written that long before the commit that names it
TABLE_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # A log gets a manifest a commit: merged now and then, so that readers and upkeep open few of them.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
}

# pyiceberg's threads share one manifest evaluator, which keeps the manifest it judges in itself: a file that is
# there is then missed now and then. An evaluator for each judgement shares nothing.
_evaluator_of = _SnapshotProducer._build_manifest_evaluator
_SnapshotProducer._build_manifest_evaluator = lambda producer, spec_id: (
    lambda manifest: _evaluator_of(producer, spec_id)(manifest)
)


def catalog() -> RestCatalog:
    """The REST catalog, one client per process (a forked task opens its own)."""
    return _catalog(os.getpid())


@cache
def _catalog(pid: int) -> RestCatalog:
    try:
        return RestCatalog(LAKEHOUSE, **lakehouse_access.client_properties())
    except RequestException as error:
        raise LakehouseError(
            f"The Iceberg catalog at {settings.iceberg_uri} does not answer. Look at: make status"
        ) from error


@cache
def extension_directory() -> Path:
    """A folder in DuckDB's own layout with links to the extension files that the pip wheels carry."""
    import importlib

    with duckdb.connect() as own:  # the shared default connection is not for several threads
        platform = own.execute("pragma platform").fetchone()[0]
    folder = settings.state_dir / "duckdb" / f"v{duckdb.__version__}" / platform
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXTENSIONS:
        package = Path(importlib.import_module(f"duckdb_extension_{name}").__file__).parent
        wheel = package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        link = folder / wheel.name
        if not (link.is_symlink() and link.resolve() == wheel.resolve()):
            fresh = link.with_name(f"{link.name}.{os.getpid()}")
            fresh.symlink_to(wheel)
            fresh.replace(link)
    return settings.state_dir / "duckdb"


def attach_statements() -> tuple[str, ...]:
    """The SQL that makes a DuckDB session see the lakehouse. It holds credentials: never log it."""
    folder = str(extension_directory()).replace("'", "''")
    return (
        f"set extension_directory = '{folder}'",
        "set autoinstall_known_extensions = false",
        *(f"load {name}" for name in EXTENSIONS),
        "set TimeZone = 'UTC'",
        f"set memory_limit = {quoted(settings.engine_memory)}",
        f"set threads = {settings.engine_threads}",
        *lakehouse_access.attach_statements(),
    )


def prepare(con: "DuckDBPyConnection") -> "DuckDBPyConnection":
    """Load the extensions into `con` and attach the lakehouse. The connection must allow unsigned extensions."""
    try:
        for statement in attach_statements():
            con.execute(statement)
    except duckdb.Error as error:
        raise LakehouseError(
            f"DuckDB cannot attach the lakehouse at {settings.iceberg_uri}: {str(error).splitlines()[0]}. "
            "Look at: make status"
        ) from None
    return con


def connect(database: str | Path = ":memory:", *, read_only: bool = False) -> "DuckDBPyConnection":
    """A DuckDB connection on `database` that sees the lakehouse as `lakehouse.<namespace>.<table>`."""
    return prepare(duckdb.connect(str(database), read_only=read_only, config={"allow_unsigned_extensions": "true"}))


def table(identifier: str) -> Table:
    """The table `<namespace>.<name>` as committed now. Raises `LakehouseError` where there is none."""
    try:
        return catalog().load_table(identifier)
    except NoSuchTableError:
        raise LakehouseError(f"The lakehouse has no table {identifier}. Has it been landed or published yet?") from None


def exists(identifier: str) -> bool:
    """Whether the table `<namespace>.<name>` exists."""
    return catalog().table_exists(identifier)


def table_at(identifier: str, snapshot_id: int) -> Table | None:
    """The table with that snapshot in its history, to be scanned at it; None where it has expired."""
    if (now := table(identifier)).snapshot_by_id(snapshot_id):
        return now
    name = name_at(identifier, snapshot_id)
    return table(name) if name else None


def name_at(identifier: str, snapshot_id: int) -> str | None:
    """The identifier under which the catalog itself shows the table as it was: `<namespace>.<name>#<commit>` in Nessie.

    None where the catalog does not remember it, or has no such names: the table's own snapshots tell it there.
    """
    if settings.cluster.catalog != "nessie":
        return None
    return nessie.name_at(catalog(), identifier, snapshot_id)


def remembered(identifier: str, since: datetime, until: datetime) -> list[Table]:
    """What the table was at `since` and after each commit from then on to `until`, where only the catalog knows that.

    Empty for catalogs other than Nessie: a table's own snapshots tell it there.
    """
    found: list[Table] = []
    if settings.cluster.catalog != "nessie":
        return found
    for state in nessie.states(catalog(), identifier):
        if state.committed_at <= max(since, until + COMMIT_TAKES):
            found.append(table(f"{identifier}#{state.commit}"))
        if state.committed_at <= since:
            break
    return found


def other_references() -> list[str]:
    """Branches and tags beside the one that the platform works on; only Nessie has such."""
    return nessie.other_references(catalog()) if settings.cluster.catalog == "nessie" else []


def relation_at(identifier: str, snapshot_id: int, dialect: Literal["duckdb", "trino"] = "duckdb") -> str:
    """The table at that snapshot, as what follows `from` in SQL of either engine."""
    namespace, name = identifier.rsplit(".", 1)
    if settings.cluster.catalog == "nessie":
        if not (found := name_at(identifier, snapshot_id)):
            raise LakehouseError(f"Nessie does not remember {identifier} at snapshot {snapshot_id}")
        return f'{LAKEHOUSE}."{namespace}"."{found.rsplit(".", 1)[1]}"'
    version = f"at (version => {int(snapshot_id)})" if dialect == "duckdb" else f"for version as of {int(snapshot_id)}"
    return f'{LAKEHOUSE}."{namespace}"."{name}" {version}'


def ensure_table(
    identifier: str,
    schema: pa.Schema,
    *,
    partition_by: Sequence[tuple[str, str]] = (),
    required: Iterable[str] = (),
    properties: Mapping[str, str] | None = None,
) -> Table:
    """The table, created where it is missing and given the columns of `schema` that it lacks.

    `partition_by` holds pairs of column and transform, e.g. `("production_date", "month")`; it counts at
    creation only. Existing columns are never retyped or dropped. `required` names columns that may not be null.
    """
    if not exists(identifier):
        namespace = identifier.rsplit(".", 1)[0]
        with suppress(NamespaceAlreadyExistsError):
            catalog().create_namespace(namespace)
        iceberg = _iceberg_schema(schema, frozenset(required))
        try:
            return catalog().create_table(
                identifier,
                schema=iceberg,
                partition_spec=_partition_spec(iceberg, partition_by),
                properties={**TABLE_PROPERTIES, **(properties or {})},
            )
        except TableAlreadyExistsError:
            pass
    found = table(identifier)
    known = {f.name for f in found.schema().fields}
    if missing := [f for f in schema if f.name not in known]:
        with found.update_schema() as update:
            update.union_by_name(pa.schema(missing))
        found = table(identifier)
    return found


def _iceberg_schema(schema: pa.Schema, required: frozenset[str]) -> Schema:
    fresh = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(schema, format_version=2))
    return Schema(*(f.model_copy(update={"required": f.name in required}) for f in fresh.fields))


def _partition_spec(schema: Schema, partition_by: Sequence[tuple[str, str]]) -> PartitionSpec:
    if not partition_by:
        return UNPARTITIONED_PARTITION_SPEC
    return PartitionSpec(
        *(
            PartitionField(
                source_id=schema.find_field(column).field_id,
                field_id=1000 + i,
                transform=parse_transform(transform),
                name=column if transform == "identity" else f"{column}_{transform.split('[')[0]}",
            )
            for i, (column, transform) in enumerate(partition_by)
        )
    )


def conform(rows: pa.Table, to: Table) -> pa.Table:
    """`rows` with the columns, order and types of the table; a column that is absent becomes null."""
    target = to.schema().as_arrow()
    columns = []
    for f in target:
        if f.name in rows.column_names:
            columns.append(rows[f.name].cast(f.type))
        else:
            columns.append(pa.nulls(rows.num_rows, f.type))
    return pa.table(columns, schema=target)


def append(identifier: str, rows: pa.Table, summary: Mapping[str, str] | None = None) -> int:
    """Append `rows` in one commit, again after conflicts with other writers; give the new snapshot id.

    An append never depends on what others appended meanwhile, so repeating it against the newer table is
    safe; pyiceberg recognises an attempt whose answer was lost by its snapshot id. Where the rows do depend
    on the table (an ordinal, a high-water mark), use `commit_many` and read again on `CommitConflict`.
    """
    target = table(identifier)
    try:
        target.append(conform(rows, target), snapshot_properties=dict(summary or {}))
    except CommitFailedException as error:
        raise CommitConflict(f"{identifier}: other writers were always faster; clear the task to try again") from error
    return target.metadata.current_snapshot_id


def appended(target: Table, rows: pa.Table, summary: Mapping[str, str] | None = None) -> Transaction:
    """A transaction that appends `rows`, prepared (its files are written) but not committed."""
    tx = target.transaction()
    tx.append(conform(rows, target), snapshot_properties=dict(summary or {}))
    return tx


def replaced(
    target: Table, rows: pa.Table, window: BooleanExpression, summary: Mapping[str, str] | None = None
) -> Transaction:
    """A transaction that puts `rows` in the place of all rows in `window`, prepared but not committed.

    Copy-on-write and one snapshot: no delete file is made. What a file that overlaps the window holds outside it
    is written again together with `rows`, so replacing a window again and again adds no file.
    """
    bound = bind(target.schema(), window, case_sensitive=True)
    outside = _expression_to_complementary_pyarrow(bound, target.schema())
    reader = ArrowScan(target.metadata, target.io, target.schema(), AlwaysTrue())
    gone, new = [], [conform(rows, target)]
    for task in target.scan(row_filter=window).plan_files():
        held = reader.to_table([task])
        kept = held.filter(outside)
        if kept.num_rows < held.num_rows:
            gone.append(task.file)
            new.append(conform(kept, target))
    tx = target.transaction()
    with tx.update_snapshot(snapshot_properties=dict(summary or {})).overwrite() as swap:
        for old in gone:
            swap.delete_data_file(old)
        for written in _dataframe_to_data_files(table_metadata=target.metadata, df=pa.concat_tables(new), io=target.io):
            swap.append_data_file(written)
    return tx


def planned_snapshot(tx: Transaction) -> int | None:
    """The snapshot id that the table will have once `tx` is committed."""
    return tx.table_metadata.current_snapshot_id


def commit_many(transactions: Sequence[Transaction], before_commit: Callable[[], None] | None = None) -> None:
    """Commit prepared transactions of several tables by one request to the catalog.

    `before_commit` runs at the last moment (a lease is checked there). Raises `CommitConflict` where another
    writer was first: nothing is changed then. Raises `LakehouseError` where the answer was lost: the commit
    may be in, so look for the planned snapshots before trying again.
    """
    post_commit(commit_requests(transactions), before_commit)


def commit_requests(transactions: Iterable[Transaction]) -> dict[str, str]:
    """What the catalog is asked for each prepared transaction that changes something: table -> JSON.

    Kept as text, it can be asked again by another process: the files it names are written already.
    """
    return {
        ".".join(tx._table.name()): CommitTableRequest(
            identifier=TableIdentifier(namespace=tx._table.name()[:-1], name=tx._table.name()[-1]),
            requirements=tx._requirements,
            updates=tx._updates,
        ).model_dump_json()
        for tx in transactions
        if tx._updates
    }


def post_commit(requests: Mapping[str, str], before_commit: Callable[[], None] | None = None) -> None:
    """Send the changes of several tables as one request; errors as in `commit_many`."""
    from requests import HTTPError

    if not requests:
        return
    body = '{"table-changes":[' + ",".join(requests.values()) + "]}"
    names = ", ".join(requests)
    client = catalog()
    if before_commit:
        before_commit()
    try:
        answer = client._session.post(client.url("transactions/commit"), data=body.encode(), timeout=120)
        answer.raise_for_status()
    except HTTPError as error:
        if error.response.status_code == 409:
            raise CommitConflict(f"Another writer changed one of {names}; nothing was committed") from error
        raise LakehouseError(f"The catalog answered {error.response.status_code} to the commit of {names}") from error
    except RequestException as error:
        raise LakehouseError(f"The catalog did not answer the commit of {names}; it may or may not be in") from error


def is_committed(transactions: Iterable[Transaction]) -> list[bool]:
    """For each prepared transaction, whether its planned snapshot is in the table's history."""
    return [
        planned is None or table(".".join(tx._table.name())).snapshot_by_id(planned) is not None
        for tx in transactions
        for planned in [planned_snapshot(tx)]
    ]
