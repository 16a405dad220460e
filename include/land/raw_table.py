"""Tables of namespace raw: their columns, how they follow the source, and appends that carry their position.

Each append of the stream says in its snapshot's summary up to which commit of the source the table is complete
(`hnai.epoch`, `hnai.commit_lsn`): progress rides with the data, in the same atomic commit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from pyiceberg.types import DecimalType, DoubleType, FloatType, IntegerType, LongType

from include import lakehouse
from include.catalog import Table
from include.land.source_schema import INSTANT, Column
from include.settings import settings

EPOCH, COMMIT_LSN = "hnai.epoch", "hnai.commit_lsn"
SOURCE_COLUMNS = "hnai.source_columns"
PROPERTIES = {"write.metadata.metrics.max-inferred-column-defaults": "200"}

POSITION = {
    "_op": pa.string(),  # r read by a full load, c created, u updated, d deleted, t truncated
    "_epoch": pa.int64(),
    "_commit_lsn": pa.int64(),
    "_lsn": pa.int64(),
    "_seq": pa.int64(),
    "_unchanged": pa.string(),
    "_source_at": INSTANT,
    "_landed_at": INSTANT,
    "_batch_id": pa.string(),
}


@dataclass(frozen=True, order=True)
class Mark:
    """How far a table is complete: every transaction of the source up to this one is in."""

    epoch: int = 0
    commit_lsn: int = 0


def schema(table: Table, columns: Iterable[Column]) -> pa.Schema:
    """The columns that raw has for a source table: its own, the UTC instants of its local times, the position."""
    own = {c.name: c.arrow for c in columns}
    instants = {f"{name}_utc": INSTANT for name in table.local_times if name in own}
    return pa.schema([*own.items(), *instants.items(), *POSITION.items()])


def ensure(table: Table, columns: Iterable[Column]) -> IcebergTable:
    """The raw table, made where it is missing. An existing one is given the columns that the drift policy lets in."""
    identifier = f"raw.{table.identifier}"
    columns = tuple(columns)
    if not lakehouse.exists(identifier):
        return lakehouse.ensure_table(identifier, schema(table, columns), properties=PROPERTIES)
    return follow(table, lakehouse.table(identifier), columns)


def follow(table: Table, target: IcebergTable, columns: Iterable[Column]) -> IcebergTable:
    """Give `target` the columns and types of the source, as far as the drift policy of each column allows.

    A type that Iceberg can widen in place is widened. For any other, the old column is kept under
    `<name>__before_<field id>` and a new one takes its name: old closes still find what they read.
    """
    have = {f.name: f for f in target.schema().fields}
    wanted = [
        field
        for field in schema(table, columns)
        if field.name in have or field.name in POSITION or table.drift_of(field.name.removesuffix("_utc")) == "evolve"
    ]
    fresh = lakehouse._iceberg_schema(pa.schema(wanted), frozenset())
    new, widened, replaced = [], {}, {}
    for field in fresh.fields:
        old = have.get(field.name)
        if old is None:
            new.append(field)
        elif old.field_type != field.field_type and table.drift_of(field.name) == "evolve":
            (widened if _widens(old.field_type, field.field_type) else replaced)[field.name] = field.field_type
    if not (new or widened or replaced):
        return target
    with target.update_schema(allow_incompatible_changes=True) as update:
        for name in replaced:
            update.rename_column(name, f"{name}__before_{have[name].field_id}")
        for name, kind in widened.items():
            update.update_column(name, field_type=kind)
    target = lakehouse.table(f"raw.{table.identifier}")
    with target.update_schema() as update:
        for field in new:
            update.add_column(field.name, field.field_type)
        for name, kind in replaced.items():
            update.add_column(name, kind)
    return lakehouse.table(f"raw.{table.identifier}")


def _widens(old: object, new: object) -> bool:
    if isinstance(old, DecimalType) and isinstance(new, DecimalType):
        return old.scale == new.scale and new.precision >= old.precision
    return (isinstance(old, IntegerType) and isinstance(new, LongType)) or (
        isinstance(old, FloatType) and isinstance(new, DoubleType)
    )


def mark(target: IcebergTable) -> Mark:
    """How far the stream of `target` is in, from its newest commit that says so; else from its rows."""
    snapshot = target.current_snapshot()
    while snapshot is not None:
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        if COMMIT_LSN in said:
            return Mark(int(said[EPOCH]), int(said[COMMIT_LSN]))
        snapshot = target.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    if target.current_snapshot() is None:
        return Mark()
    rows = target.scan(selected_fields=("_epoch", "_commit_lsn", "_op"), row_filter="_op != 'r'").to_arrow()
    if not rows.num_rows:
        return Mark()
    top = rows.sort_by([("_epoch", "descending"), ("_commit_lsn", "descending")]).slice(0, 1).to_pylist()[0]
    return Mark(top["_epoch"], top["_commit_lsn"])


def as_far_as(target: IcebergTable, load_id: str) -> dict[str, str]:
    """What the snapshot of a load says of itself: which load, and the stream's mark, which it leaves where it is.

    Kafka Connect's sink keeps no mark in the table: `sink.landed` tells how far it is.
    """
    known = Mark() if settings.is_distributed else mark(target)
    return {
        "hnai.load": load_id,
        **({EPOCH: str(known.epoch), COMMIT_LSN: str(known.commit_lsn)} if known.epoch else {}),
    }


def appended(
    target: IcebergTable,
    chunks: Iterable[pa.Table],
    summary: Mapping[str, str],
    properties: Mapping[str, str] | None = None,
) -> Transaction:
    """A transaction that appends `chunks` as one snapshot, their files written one after the other, not committed."""
    tx = target.transaction()
    if properties:
        tx.set_properties(**properties)
    with tx.update_snapshot(snapshot_properties=dict(summary)).merge_append() as snapshot:
        for chunk in chunks:
            if not chunk.num_rows:
                continue
            rows = lakehouse.conform(chunk, target)
            for file in _dataframe_to_data_files(table_metadata=tx.table_metadata, df=rows, io=target.io):
                snapshot.append_data_file(file)
    return tx
