"""The fast road for whole tables: DuckDB's PostgreSQL reader to Parquet files, one Iceberg commit a table.

Rows are filed as `_op` r at the exact position that their snapshot shows. The slot exists before that, so every later
change also arrives by the stream and sorts after them. A row `t` (as of a TRUNCATE) leads them: what raw knew before is
superseded, and a row deleted while nobody watched does not live on.

A load can be killed at any instant. Its plan (position, key ranges of the chunks) is kept on the raw table; a chunk is
one file, which exists whole or not at all, so a second run reads only the chunks that are missing and then commits
all of them at once, together with the note that the load is done. What it reads then is newer than the position, which
does no harm: the stream brings the changes in between again.
"""

import json
import logging
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow.fs import FileSelector, FileType
from pyiceberg.io.pyarrow import (
    PyArrowFileIO,
    _dataframe_to_data_files,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from include import lakehouse
from include.catalog import Source, Table
from include.catalog import source as declared
from include.errors import CommitConflict, LakehouseError, LandingError
from include.land import local_time, raw_table
from include.land.exact_snapshot import ExactSnapshot, exact_snapshot
from include.land.source_schema import Column, quoted, read_columns, to_json
from include.land.source_setup import HEARTBEAT, LOAD_WANTED, captured_tables, connect_source, dsn, why_refused
from include.land.zones import Zones
from include.settings import settings

log = logging.getLogger(__name__)
PLAN, LOADED, LOADED_AT = "hnai.load_plan", "hnai.loaded", "hnai.loaded_at"
CHUNK_ROWS = 250_000
STALE_AFTER_S = 12 * 3600  # an older unfinished plan is dropped: upkeep may have taken its files
COMMIT_TRIES = 20


@dataclass(frozen=True)
class Plan:
    """One load of one table. `bounds` are the keys at which chunks end; the last chunk is open."""

    load_id: str
    epoch: int
    position: int
    made_at: float
    columns: str
    key: tuple[str, ...] = ()
    bounds: tuple[tuple[str, ...], ...] = field(default=())

    @property
    def chunks(self) -> int:
        return len(self.bounds) + 1


@dataclass(frozen=True)
class Loaded:
    table: str
    rows: int
    seconds: float
    chunks_reused: int
    reason: str


def load_missing(source: str) -> list[Loaded]:
    """Load every captured table that was never loaded in this epoch, or that has to be loaded again."""
    found = declared(source)
    done = []
    with connect_source(found) as connection:
        epoch = _epoch(found, connection)
        tables = [
            t for t in captured_tables(found) if (t.schema, t.name) != HEARTBEAT
        ]  # the stream alone writes the heartbeat
        wanted = [(t, reason) for t in tables if (reason := why_load(t, epoch)) and not why_refused(connection, t)]
    for table, reason in wanted:
        done.append(load_table(source, table.name, reason))
    return done


def why_load(table: Table, epoch: int) -> str | None:
    """Why a table has to be loaded, or None where raw has it whole."""
    identifier = f"raw.{table.identifier}"
    if not lakehouse.exists(identifier):
        return "raw does not have it yet"
    properties = lakehouse.table(identifier).properties
    if reason := properties.get(LOAD_WANTED):
        return reason
    if LOADED not in properties:
        return "raw does not have it yet"
    if int(properties[LOADED]) != epoch:
        return "the replication slot is new"
    return None


def load_table(source: str, name: str, reason: str = "asked for") -> Loaded:
    """Load one table whole, or go on with a load of it that was interrupted. The stream keeps running meanwhile."""
    from include.land.connect import ensure_known

    began = time.monotonic()
    found = declared(source)
    table = next((t for t in captured_tables(found) if t.name == name), None) or found.table(name)
    with connect_source(found) as connection:
        if why := why_refused(connection, table):
            raise LandingError(why)
        seen = read_columns(connection, [(table.schema, table.name)])[(table.schema, table.name)]
        target = raw_table.ensure(table, seen)
        if settings.is_distributed:
            ensure_known(found, table, seen, target)
        columns = tuple(c for c in seen if c.name in {f.name for f in target.schema().fields})
        zones = Zones(source, lambda query: connection.execute(query).fetchall())
        known = zones.known(table) if table.zone == "@field" and table.local_times else {}
        with exact_snapshot(found) as snapshot:
            plan, target = _plan(found, table, target, connection, snapshot, to_json(columns))
            files = _Files(target, plan)
            have = files.existing()
            missing = [n for n in range(plan.chunks) if n not in have]
            job = _Job(dsn(found), table, columns, target, plan, known, snapshot.name)
            with ThreadPoolExecutor(settings.engine_threads, thread_name_prefix="load") as pool:
                paths = have | dict(zip(missing, pool.map(lambda n: job.copy(n, files.new(n)), missing), strict=True))
    data_files = [f for f in (_data_file(target, paths[n]) for n in range(plan.chunks)) if f.record_count]
    rows = sum(f.record_count for f in data_files)
    _commit(table, plan, data_files, to_json(seen))
    log.info("loaded %s: %s rows (%s)", table.identifier, rows, reason)
    return Loaded(name, rows, time.monotonic() - began, len(have), reason)


def _epoch(source: Source, connection: psycopg.Connection) -> int:
    from include.land.connect import source_position

    return source_position(source.name)["epoch"]


def _plan(
    source: Source,
    table: Table,
    target: IcebergTable,
    connection: psycopg.Connection,
    snapshot: ExactSnapshot,
    columns: str,
) -> tuple[Plan, IcebergTable]:
    """The plan to follow: the unfinished one of this epoch and these columns, else a new one, kept on the table."""
    from include.land.connect import source_position

    epoch = source_position(source.name)["epoch"]
    if kept := target.properties.get(PLAN):
        values = json.loads(kept)
        values["key"], values["bounds"] = tuple(values["key"]), tuple(map(tuple, values["bounds"]))
        plan = Plan(**values)
        is_same = (plan.epoch, plan.columns) == (epoch, columns)
        if is_same and time.time() - plan.made_at < STALE_AFTER_S and LOAD_WANTED not in target.properties:
            return plan, target
    key, bounds = _bounds(table, connection)
    plan = Plan(f"{epoch}-{snapshot.commit_lsn}", epoch, snapshot.commit_lsn, time.time(), columns, key, bounds)
    tx = target.transaction()
    tx.set_properties(**{PLAN: json.dumps(asdict(plan))})
    if LOAD_WANTED in target.properties:
        tx.remove_properties(LOAD_WANTED)
    tx.commit_transaction()
    return plan, lakehouse.table(f"raw.{table.identifier}")


def _bounds(table: Table, connection: psycopg.Connection) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Keys that cut the table into chunks of about `CHUNK_ROWS`. Cut by key, not by place: rows move when updated."""
    name = sql.Identifier(table.schema, table.name)
    pages = connection.execute(
        sql.SQL("select pg_relation_size({}) / 8192").format(
            sql.Literal(f"{quoted(table.schema)}.{quoted(table.name)}")
        )
    ).fetchone()[0]
    if pages < 2_000:  # 16 MB: one chunk whatever its rows
        return table.key, ()
    key = sql.SQL(", ").join(map(sql.Identifier, table.key))
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(k)) for k in table.key)
    rows = connection.execute(
        sql.SQL(
            "select {} from (select {}, row_number() over (order by {}) as place from {}) as numbered "
            "where place % {} = 0 order by place"
        ).format(texts, key, key, name, sql.Literal(CHUNK_ROWS))
    ).fetchall()
    return table.key, tuple(tuple(row) for row in rows)


class _Files:
    """The files of a load, beside the table's other data: `<chunk>-<attempt>.parquet`.

    No attempt writes to the file of another, so a task that was given up but lives on cannot change what is committed.
    """

    def __init__(self, target: IcebergTable, plan: Plan) -> None:
        self._folder = f"{target.location().rstrip('/')}/data/load-{plan.load_id}"
        self._io = target.io

    def new(self, chunk: int) -> str:
        return f"{self._folder}/{chunk:05d}-{uuid.uuid4().hex}.parquet"

    def existing(self) -> dict[int, str]:
        """One whole file for each chunk that has been read."""
        assert isinstance(self._io, PyArrowFileIO)
        scheme, netloc, path = self._io.parse_location(self._folder)
        listed = self._io.fs_by_scheme(scheme, netloc).get_file_info(FileSelector(path, allow_not_found=True))
        names = sorted(f.base_name for f in listed if f.type == FileType.File and f.size)
        return {int(name.split("-")[0]): f"{self._folder}/{name}" for name in names if name.endswith(".parquet")}


class _Job:
    """Copies chunks. Each chunk has a DuckDB session of its own, so chunks run side by side."""

    def __init__(
        self,
        dsn: str,
        table: Table,
        columns: Sequence[Column],
        target: IcebergTable,
        plan: Plan,
        zones: dict[str, str],
        snapshot: str,
    ) -> None:
        self._dsn = dsn
        self._table, self._columns, self._plan = table, columns, plan
        self._target, self._snapshot = target, snapshot
        self._zones = pa.table(
            {"value": pa.array(list(zones), pa.string()), "zone": pa.array(list(zones.values()), pa.string())}
        )
        names = set(zones.values()) if table.zone == "@field" else {table.zone or "UTC"}
        self._offsets = local_time.offsets_table(sorted(names))
        self._landed_at = datetime.now(UTC)

    def copy(self, chunk: int, path: str) -> str:
        """Write one chunk to `path` and give it back. The file appears when it is whole."""
        connection = lakehouse.connect()
        try:
            connection.execute("set threads = 1")
            connection.execute(f"attach {_literal(self._dsn)} as source (type postgres, read_only)")
            connection.register("zones", self._zones)
            connection.register("offsets", self._offsets)
            connection.execute("begin")
            connection.execute(
                f"call postgres_execute('source', {_literal(f'set transaction snapshot {_literal(self._snapshot)}')})"
            )
            ids = ", ".join(f"{quoted(f.name)}: {f.field_id}" for f in self._target.schema().fields)
            connection.execute(
                f"copy ({self._query(chunk)}) to {_literal(path)} "
                f"(format parquet, compression zstd, field_ids {{{ids}}}, row_group_size 122880)"
            )
            connection.execute("commit")
            return path
        except duckdb.Error as error:
            message = str(error).replace(self._dsn, "…").splitlines()[0]
            raise LandingError(
                f"Chunk {chunk} of {self._table.identifier} could not be read: {message}. Clear this task: it goes on."
            ) from None
        finally:
            connection.close()

    def _query(self, chunk: int) -> str:
        plan = self._plan
        columns = {c.name: c for c in self._columns}
        local = [name for name in self._table.local_times if name in columns]
        position = {
            "_op": "'r'",
            "_epoch": f"{plan.epoch}::bigint",
            "_commit_lsn": f"{plan.position}::bigint",
            "_lsn": f"{plan.position}::bigint",
            "_seq": f"{chunk * 100 * CHUNK_ROWS + 1}::bigint + row_number() over ()",
            "_unchanged": "null::varchar",
            "_source_at": f"{_literal(self._landed_at.isoformat())}::timestamptz",
            "_landed_at": f"{_literal(self._landed_at.isoformat())}::timestamptz",
            "_batch_id": _literal(f"load-{plan.load_id}"),
        }
        selected, joins = [], []
        if local and self._table.zone == "@field":
            lookup = quoted(self._table.zone_lookup["column"])
            joins.append(f"left join zones on zones.value = s.{lookup}::varchar")
        for i, name in enumerate(local):
            zone = "zones.zone" if self._table.zone == "@field" else _literal(self._table.zone or "UTC")
            joins.append(f"asof left join offsets o{i} on o{i}.zone = {zone} and s.{quoted(name)} >= o{i}.local_from")
        for f in self._target.schema().fields:
            if f.name in columns:
                selected.append(f"s.{quoted(f.name)}")
            elif f.name in position:
                selected.append(f"{position[f.name]} as {quoted(f.name)}")
            elif (base := f.name.removesuffix("_utc")) in local and f.name.endswith("_utc"):
                instant = f"epoch_us(s.{quoted(base)}) - o{local.index(base)}.offset_us"
                selected.append(f"make_timestamptz({instant}) as {quoted(f.name)}")
            else:
                selected.append(f"null::{_duckdb_type(f)} as {quoted(f.name)}")
        source = f"postgres_query('source', {_literal(self._source_sql(chunk))}) s"
        return f"select {', '.join(selected)} from {source} {' '.join(joins)}"

    def _source_sql(self, chunk: int) -> str:
        chosen = ", ".join(f"{c.select()} as {quoted(c.name)}" for c in self._columns)
        key = ", ".join(map(quoted, self._plan.key))
        conditions = []
        if chunk > 0:
            conditions.append(f"({key}) > ({', '.join(map(_literal, self._plan.bounds[chunk - 1]))})")
        if chunk < len(self._plan.bounds):
            conditions.append(f"({key}) <= ({', '.join(map(_literal, self._plan.bounds[chunk]))})")
        where = f" where {' and '.join(conditions)}" if conditions else ""
        return f"select {chosen} from {quoted(self._table.schema)}.{quoted(self._table.name)}{where}"


def _data_file(target: IcebergTable, path: str) -> DataFile:
    """A file that DuckDB wrote, described for Iceberg from its own footer."""
    import pyarrow.parquet as pq

    source = target.io.new_input(path)
    with source.open() as stream:
        footer = pq.read_metadata(stream)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer,
        stats_columns=compute_statistics_plan(target.schema(), target.metadata.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(target.schema()),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=len(source),
        sort_order_id=None,
        spec_id=target.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _commit(table: Table, plan: Plan, files: list[DataFile], columns: str) -> None:
    """One commit: the leading `t` row, every chunk, and that the load is done. Repeated until it is in."""
    identifier = f"raw.{table.identifier}"
    for _ in range(COMMIT_TRIES):
        target = lakehouse.table(identifier)
        if json.loads(target.properties.get(PLAN, "{}")).get("load_id") != plan.load_id:
            return  # in already: the plan goes with the commit
        tx = target.transaction()
        tx.remove_properties(PLAN)
        tx.set_properties(**{LOADED: str(plan.epoch), LOADED_AT: str(plan.position), raw_table.SOURCE_COLUMNS: columns})
        with tx.update_snapshot(
            snapshot_properties=raw_table.as_far_as(target, plan.load_id)
        ).merge_append() as snapshot:
            for file in (*_leading_row(target, plan), *files):
                snapshot.append_data_file(file)
        try:
            lakehouse.commit_many([tx])
            return
        except (CommitConflict, LakehouseError):
            time.sleep(0.1)
    raise CommitConflict(f"{identifier}: the stream was always faster. Clear this task: only the commit is left.")


def _leading_row(target: IcebergTable, plan: Plan) -> Iterator[DataFile]:
    if target.current_snapshot() is None:
        return  # there is nothing to supersede
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        "_op": "t",
        "_epoch": plan.epoch,
        "_commit_lsn": plan.position,
        "_lsn": plan.position,
        "_seq": 0,
        "_source_at": now,
        "_landed_at": now,
        "_batch_id": f"load-{plan.load_id}",
    }
    rows = pa.Table.from_pylist([row], schema=pa.schema(list(raw_table.POSITION.items())))
    yield from _dataframe_to_data_files(
        table_metadata=target.metadata, df=lakehouse.conform(rows, target), io=target.io
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duckdb_type(field: Any) -> str:
    names = {"string": "varchar", "long": "bigint", "int": "integer", "binary": "blob", "timestamptz": "timestamptz"}
    return names.get(str(field.field_type), str(field.field_type))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(
            "usage: python -m include.land.full_load SOURCE TABLE    loads a table again, beside its running stream"
        )
    print(load_table(sys.argv[1], sys.argv[2]))
