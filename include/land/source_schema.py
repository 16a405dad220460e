"""What a source table looks like in PostgreSQL's own catalogue, and how its types are kept in raw.

One mapping serves the stream, the full load and the comparison: a type that Iceberg holds exactly keeps its
kind; everything else (numeric without precision, json, uuid, arrays, enums, time of day) is kept as text.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import psycopg
import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
WIDEST_DECIMAL = 38

_PLAIN = {
    "int2": pa.int32(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "bool": pa.bool_(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": INSTANT,
    "bytea": pa.binary(),
}
_TEXT = frozenset({"text", "varchar", "bpchar", "name", "citext"})

_COLUMNS = """
select n.nspname, c.relname, a.attnum, a.attname, t.typname, a.atttypmod, a.attnotnull,
       case when a.atthasmissing then a.attmissingval::text
            when a.atthasdef or a.attidentity <> '' then '(default)' end,
       a.attgenerated <> '', t.typstorage not in ('p', 'm') and a.attstorage in ('x', 'e')
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid
where a.attnum > 0 and not a.attisdropped and (n.nspname, c.relname) in ({})
order by 1, 2, 3
"""


@dataclass(frozen=True)
class Column:
    """One column as the source has it. `filled` is what rows got that were there before the column, if anything."""

    number: int
    name: str
    type: str  # PostgreSQL's own short name: numeric, timestamptz, _text
    modifier: int
    required: bool = False
    filled: str | None = None
    generated: bool = False
    long: bool = False  # may be stored out of line, and then is not sent again unless it changed

    @property
    def arrow(self) -> pa.DataType:
        """Its type in raw."""
        if self.type == "numeric" and self.modifier >= 4:
            precision, scale = self._precision_and_scale()
            if precision <= WIDEST_DECIMAL and 0 <= scale <= precision:
                return pa.decimal128(precision, scale)
        return _PLAIN.get(self.type, pa.string())

    @property
    def described(self) -> str:
        if self.type == "numeric" and self.modifier >= 4:
            return "numeric({},{})".format(*self._precision_and_scale())
        return self.type

    def _precision_and_scale(self) -> tuple[int, int]:
        packed = self.modifier - 4
        scale = packed & 0x7FF
        return (packed >> 16) & 0xFFFF, scale - 0x800 if scale >= 0x400 else scale

    @property
    def is_array(self) -> bool:
        return self.type.startswith("_")

    def select(self) -> str:
        """The SQL by which a full load reads it, so that it equals what the stream brings."""
        name = quoted(self.name)
        if self.type == "numeric":
            return f"nullif({name}, 'NaN')" if pa.types.is_decimal(self.arrow) else f"{name}::text"
        if self.type in ("date", "timestamp", "timestamptz"):
            return f"case when isfinite({name}) then {name} end"
        if self.type == "int2":
            return f"{name}::int4"
        if self.type == "bpchar":
            return f"rtrim({name})"
        if self.type == "money":
            return f"{name}::numeric::text"
        if self.is_array:
            return f"array_to_json({name})::text"
        if self.type in _PLAIN or self.type in _TEXT:
            return name
        return f"{name}::text"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_columns(
    connection: psycopg.Connection, tables: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[Column, ...]]:
    """The columns of each `(schema, table)` that exists, in order; a table that does not exist is absent.

    Generated columns are left out: logical decoding does not send them.
    """
    wanted = list(tables)
    if not wanted:
        return {}
    places = ", ".join(["(%s, %s)"] * len(wanted))
    found: dict[tuple[str, str], list[Column]] = {}
    for schema, table, *values in connection.execute(
        _COLUMNS.format(places), [part for pair in wanted for part in pair]
    ):
        column = Column(*values)
        if not column.generated:
            found.setdefault((schema, table), []).append(column)
    return {name: tuple(columns) for name, columns in found.items()}


_IDENTITY = """
select case c.relreplident when 'f' then null else coalesce(
    (select array_agg(a.attname::text) from pg_index i
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
     where i.indrelid = c.oid and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end), '{}') end
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s
"""


def read_identity(connection: psycopg.Connection, schema: str, table: str) -> frozenset[str] | None:
    """The columns that a delete tells of; None where it tells of all (full replica identity)."""
    row = connection.execute(_IDENTITY, [schema, table]).fetchone()
    return frozenset(row[0]) if row and row[0] is not None else None


def to_json(columns: Iterable[Column]) -> str:
    return json.dumps([asdict(c) for c in columns], separators=(",", ":"))


def from_json(text: str) -> tuple[Column, ...]:
    return tuple(Column(**c) for c in json.loads(text))
