"""Write the rows of a file to raw and its broken rows to quarantine, in one commit, once.

The tables themselves say what is in: raw holds the batch id of every landed file and, as `_commit_lsn`, its
ordinal. Both are read before a commit and again after a conflict, so that of two copies of one task only one lands.
"""

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue, EqualTo, In
from pyiceberg.table import Table
from pyiceberg.types import LongType

from include import lakehouse
from include.catalog import LOCAL_TYPES, Feed
from include.errors import CommitConflict, DeclarationError
from include.land.file_read import same_name
from include.land.file_rows import Parsed, Rejected
from include.land.file_types import arrow_type

ATTEMPTS = 30
INSTANT = pa.timestamp("us", tz="UTC")
PROPERTIES = {
    "write.metadata.metrics.max-inferred-column-defaults": "400"
}  # bounds of every column, wide files included
RAW_COLUMNS = pa.schema(
    [
        ("_op", pa.string()),
        ("_epoch", pa.int64()),
        ("_commit_lsn", pa.int64()),
        ("_lsn", pa.int64()),
        ("_seq", pa.int64()),
        ("_unchanged", pa.string()),
        ("_source_at", INSTANT),
        ("_landed_at", INSTANT),
        ("_batch_id", pa.string()),
    ]
)
QUARANTINE_COLUMNS = pa.schema(
    [
        ("_row_number", pa.int64()),
        ("_reason", pa.string()),
        ("_fields", pa.string()),  # json: the row as it stood, by heading
        ("_file_name", pa.string()),
        ("_batch_id", pa.string()),
        ("_source_at", INSTANT),
        ("_received_at", INSTANT),
        ("_landed_at", INSTANT),
    ]
)


@dataclass(frozen=True)
class Batch:
    """One landed file."""

    batch_id: str  # sha256 of its content
    file_name: str  # the name that the feed's pattern was held against
    source_at: datetime
    received_at: datetime


def raw_name(feed: Feed) -> str:
    return f"raw.{feed.identifier}"


def quarantine_name(feed: Feed) -> str:
    return f"quarantine.{feed.identifier}"


def raw_schema(feed: Feed, parsed: Sequence[Parsed] = ()) -> pa.Schema:
    """The columns of the feed's raw table: as declared, with a UTC instant beside each local time, then raw's own."""
    fields: list[pa.Field] = []
    for column in feed.columns:
        fields.append(pa.field(column.name, arrow_type(column.type)))
        if column.type in LOCAL_TYPES:
            fields.append(pa.field(f"{column.name}_utc", INSTANT))
    for one in parsed:
        known = {"_seq", *(f.name for f in fields)}
        fields += [f for f in one.rows.schema if f.name not in known]  # columns by drift
    return pa.schema([*fields, *RAW_COLUMNS])


def raw_table(feed: Feed, parsed: Sequence[Parsed] = ()) -> Table:
    """The feed's raw table with all its columns, each of its declared type."""
    wanted = raw_schema(feed, parsed)
    found = lakehouse.ensure_table(raw_name(feed), wanted, properties=PROPERTIES)
    changed = {
        f.name: wanted.field(f.name).type
        for f in found.schema().as_arrow()
        if f.name in wanted.names and _differs(f, wanted)
    }
    return _retyped(feed, found, changed) if changed else found


def _differs(stored: pa.Field, wanted: pa.Schema) -> bool:
    declared = wanted.field(stored.name).type
    if pa.types.is_large_string(stored.type) or pa.types.is_string(stored.type):
        return not pa.types.is_string(declared)
    return stored.type != declared


def _retyped(feed: Feed, table: Table, changed: Mapping[str, pa.DataType]) -> Table:
    """Give columns a newly declared type, in one commit, where every figure that landed has an exact place in it.

    Iceberg cannot widen a decimal's scale in place, so the column is written anew; the rows, their positions
    and their values stay. The old column is kept as `<column>__before_<field id>`: an older snapshot still reads.
    """
    rows = table.scan().to_arrow()
    for name, to in changed.items():
        try:
            values = rows[name].cast(to)
        except pa.ArrowInvalid as error:
            raise DeclarationError(
                f"{raw_name(feed)}.{name} holds {rows[name].type}, the feed now declares {to}, "
                f"and not every figure has a place in it ({error}). Declare a wider type, "
                "or give the column a new name (with the same `header:`)"
            ) from error
        kept = f"{name}__before_{table.schema().find_field(name).field_id}"
        rows = rows.rename_columns([kept if n == name else n for n in rows.column_names]).append_column(
            pa.field(name, to), values
        )
    with table.transaction() as change:
        with change.update_schema() as update:
            for name in changed:
                update.rename_column(name, f"{name}__before_{table.schema().find_field(name).field_id}")
        with change.update_schema() as update:
            update.union_by_name(pa.schema(list(changed.items())))
        if rows.num_rows:
            change.overwrite(
                rows.select([f.name for f in change.table_metadata.schema().fields]), overwrite_filter=AlwaysTrue()
            )
    return lakehouse.table(raw_name(feed))


def quarantine_table(feed: Feed) -> Table:
    declared = pa.schema([(c.name, pa.string()) for c in feed.columns])
    return lakehouse.ensure_table(quarantine_name(feed), pa.schema([*declared, *QUARANTINE_COLUMNS]))


@dataclass(frozen=True)
class Before:
    """What of a batch is in already."""

    ordinal: int | None = None  # null: all its rows are in quarantine
    rows_landed: int = 0
    rows_quarantined: int = 0
    from_name: Mapping[str, str] = field(default_factory=dict)  # key columns that came from the file's name


def before(feed: Feed, batch_ids: Sequence[str]) -> dict[str, Before]:
    """Those of the batches that raw or quarantine knows."""
    mine = tuple(c.name for c in feed.columns if c.from_name and c.name in feed.key)
    landed = _rows_of(raw_name(feed), batch_ids, ("_commit_lsn", *mine))
    broken = _rows_of(quarantine_name(feed), batch_ids, ())
    found = {}
    for batch_id in {*landed, *broken}:
        rows = landed.get(batch_id, [])
        found[batch_id] = Before(
            ordinal=min((row["_commit_lsn"] for row in rows), default=None),
            rows_landed=len(rows),
            rows_quarantined=len(broken.get(batch_id, [])),
            from_name={name: str(rows[0][name]) for name in mine} if rows else {},
        )
    return found


def _rows_of(identifier: str, batch_ids: Sequence[str], columns: tuple[str, ...]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = defaultdict(list)
    if batch_ids and lakehouse.exists(identifier):
        scan = lakehouse.table(identifier).scan(
            row_filter=In("_batch_id", set(batch_ids)), selected_fields=("_batch_id", *columns)
        )
        for row in scan.to_arrow().to_pylist():
            found[row["_batch_id"]].append(row)
    return found


def last_ordinal(table: Table) -> int:
    """The highest ordinal of the table, read from the bounds that its manifests carry; 0 for an empty table."""
    field_id = table.schema().find_field("_commit_lsn").field_id
    highest = 0
    for task in table.scan().plan_files():
        bound = (task.file.upper_bounds or {}).get(field_id)
        if bound is None:  # written by somebody who kept no bounds
            return max(table.scan(selected_fields=("_commit_lsn",)).to_arrow()["_commit_lsn"].to_pylist())
        highest = max(highest, from_bytes(LongType(), bound))
    return highest


def commit(feed: Feed, loads: Sequence[tuple[Batch, Parsed]], *, again: bool = False) -> dict[str, int | None]:
    """Land batches of one feed in one commit; give each one's ordinal, None where no row of it is good.

    A batch that is in already is left alone, unless `again`: then its rows land under a new ordinal, which is
    what a release does. Quarantine goes first in the request: a catalog that dies between the two tables
    leaves quarantined rows without landed ones, which the next try completes.
    """
    for attempt in range(ATTEMPTS):
        raw = raw_table(feed, [parsed for _, parsed in loads])
        known = {} if again else before(feed, [batch.batch_id for batch, _ in loads])
        ordinals = {b.batch_id: known[b.batch_id].ordinal if b.batch_id in known else None for b, _ in loads}
        fresh = [(batch, parsed) for batch, parsed in loads if ordinals[batch.batch_id] is None]
        changes, good = [], []
        broken = [_quarantine_rows(feed, b, p.rejected) for b, p in fresh if p.rejected and b.batch_id not in known]
        if broken and not again:
            held = quarantine_table(feed)
            changes.append(lakehouse.appended(held, pa.concat_tables(broken), {"hnai.feed": feed.full_name}))
        top = last_ordinal(raw)
        for batch, parsed in fresh:
            if parsed.rows.num_rows:
                top += 1
                ordinals[batch.batch_id] = top
                good.append(_raw_rows(batch, parsed, top))
        if good:
            together = pa.concat_tables(good, promote_options="default")
            changes.append(
                lakehouse.appended(raw, together, {"hnai.feed": feed.full_name, "hnai.files": str(len(good))})
            )
        try:
            lakehouse.commit_many(changes)
        except CommitConflict:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(min(1.0, 0.02 * 2**attempt))
            continue
        return ordinals
    raise AssertionError("unreachable")


def _raw_rows(batch: Batch, parsed: Parsed, ordinal: int) -> pa.Table:
    count = parsed.rows.num_rows

    def same(value: object, of: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, of), count)

    own = {
        "_op": same("c", pa.string()),
        "_epoch": same(0, pa.int64()),
        "_commit_lsn": same(ordinal, pa.int64()),
        "_lsn": same(0, pa.int64()),
        "_source_at": same(batch.source_at, INSTANT),
        "_landed_at": same(datetime.now(UTC), INSTANT),
        "_batch_id": same(batch.batch_id, pa.string()),
    }
    rows = parsed.rows
    for name, values in own.items():
        rows = rows.append_column(name, values)
    return rows


def _quarantine_rows(feed: Feed, batch: Batch, rejected: list[Rejected]) -> pa.Table:
    now = datetime.now(UTC)
    rows = []
    for row in rejected:
        by_name: Mapping[str, str] = (
            {same_name(h): v for h, v in row.fields.items()} if isinstance(row.fields, Mapping) else {}
        )
        named = feed.matches(batch.file_name)
        texts = {}
        for column in feed.columns:
            if column.from_name:
                texts[column.name] = named[column.name] if named else None
            else:
                texts[column.name] = next(
                    (by_name[n] for h in (column.header, *column.aliases) if (n := same_name(h)) in by_name), None
                )
        rows.append(
            {
                **texts,
                "_row_number": row.number,
                "_reason": row.reason,
                "_fields": json.dumps(
                    dict(row.fields) if isinstance(row.fields, Mapping) else row.fields, ensure_ascii=False
                ),
                "_file_name": batch.file_name,
                "_batch_id": batch.batch_id,
                "_source_at": batch.source_at,
                "_received_at": batch.received_at,
                "_landed_at": now,
            }
        )
    return pa.Table.from_pylist(
        rows, schema=pa.schema([*((c.name, pa.string()) for c in feed.columns), *QUARANTINE_COLUMNS])
    )


def open_rows(feed: Feed, batch_id: str | None = None) -> list[dict]:
    """The rows in quarantine that were not released yet, oldest first."""
    if not lakehouse.exists(quarantine_name(feed)):
        return []
    condition = {"row_filter": EqualTo("_batch_id", batch_id)} if batch_id else {}
    held = lakehouse.table(quarantine_name(feed)).scan(**condition).to_arrow().to_pylist()
    landed: set[tuple[str, int]] = set()
    if held and lakehouse.exists(raw_name(feed)):
        raw = lakehouse.table(raw_name(feed))
        for batch in {row["_batch_id"] for row in held}:
            found = raw.scan(row_filter=EqualTo("_batch_id", batch), selected_fields=("_batch_id", "_seq")).to_arrow()
            landed |= set(zip(found["_batch_id"].to_pylist(), found["_seq"].to_pylist(), strict=True))
    waiting = [row for row in held if (row["_batch_id"], row["_row_number"]) not in landed]
    return sorted(waiting, key=lambda row: (row["_landed_at"], row["_row_number"]))
