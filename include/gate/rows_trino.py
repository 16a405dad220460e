"""The rows that a gate judges, where Trino holds the workspace: its SQL runs there, only its rows come here."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from trino.exceptions import TrinoQueryError

from include import engine_trino, lakehouse
from include.gate.relations import Relations
from include.gate.rows import in_order, leave_empty
from include.gate.suites import Suite
from include.settings import settings

if TYPE_CHECKING:
    from include.publish.freeze import Close

ROWS_AT_ONCE = 50_000
FUNCTIONS = {
    "ratio": """function ratio(a double, b double) returns double
        return a / nullif(b, 0e0)""",
    "median_of": """function median_of(v array(double)) returns double
        begin
            declare s array(double) default array_sort(filter(v, x -> x is not null));
            declare n bigint default cardinality(s);
            return if(n > 0, (s[(n + 1) / 2] + s[n / 2 + 1]) / 2);
        end""",
    "least_of": """function least_of(v array(double)) returns double
        return array_min(filter(v, x -> x is not null))""",
    "greatest_of": """function greatest_of(v array(double)) returns double
        return array_max(filter(v, x -> x is not null))""",
    "joined": """function joined(v array(varchar), between_them varchar) returns varchar
        return nullif(array_join(array_sort(filter(v, x -> x is not null)), between_them), '')""",
    "seconds_between": """function seconds_between(a timestamp(6) with time zone, b timestamp(6) with time zone)
        returns double
        return cast(cast(to_unixtime(b) as decimal(20, 6)) - cast(to_unixtime(a) as decimal(20, 6)) as double)""",
}
ARROW = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
}


@contextmanager
def trino_reader(close: "Close", into: Path) -> "Iterator[TrinoReader]":
    with duckdb.connect(str(into)) as con:
        con.execute("set TimeZone = 'UTC'")
        yield TrinoReader(con, close)


class TrinoReader:
    """The distributed engine: the workspace is a namespace of the run. Some suites are asked for at one time."""

    def __init__(self, con: duckdb.DuckDBPyConnection, close: "Close") -> None:
        self._con, self._namespace = con, close.namespace
        self._built = engine_trino.tables(close.namespace)
        self._relations = Relations(close, "trino", lakehouse.exists)

    def take(self, suites: Sequence[Suite]) -> dict[str, str]:
        errors = {}
        with ThreadPoolExecutor(settings.cluster.trino_threads) as several:
            for suite, found in zip(suites, several.map(self._fetch, suites), strict=True):
                if isinstance(found, TrinoQueryError):
                    errors[suite.table] = found.message.splitlines()[0]
                    leave_empty(self._con, suite)
                else:
                    self._con.register("_taken", found)
                    self._con.execute(f'create table "{suite.table}" as {in_order("from _taken")}')
                    self._con.unregister("_taken")
        return errors

    def _fetch(self, suite: Suite) -> pa.Table | TrinoQueryError:
        sql = suite.rows or self._relations.window_of(suite)
        with engine_trino.connect(self._namespace) as trino:
            cursor = trino.cursor()
            try:
                cursor.execute(statement(sql, self._relations.named_in(sql, self._built)))
                columns = pa.schema([(c.name, arrow_type(c.type_code)) for c in cursor.description])
                batches = []
                while rows := cursor.fetchmany(ROWS_AT_ONCE):
                    values = zip(columns, zip(*rows, strict=True), strict=True)
                    batches.append(pa.record_batch([pa.array(v, f.type) for f, v in values], schema=columns))
            except TrinoQueryError as error:
                return error
        return pa.Table.from_batches(batches, schema=columns)


def statement(sql: str, relations: dict[str, str]) -> str:
    """One query out of a suite's SQL, what it reads, and the functions that Trino lacks."""
    body = sql
    if relations:
        named = (f'"{name}" as ({query})' for name, query in relations.items())
        body = f"with {', '.join(named)} select * from ({sql})"
    everything = " ".join((sql, *relations.values()))
    used = [text for name, text in FUNCTIONS.items() if re.search(rf"\b{name}\(", everything)]
    return f"with {', '.join(used)} {body}" if used else body


def arrow_type(trino_type: str) -> pa.DataType:
    """The arrow type of a Trino type by its name; what has none comes as text."""
    kind, _, rest = trino_type.partition("(")
    if kind == "decimal":
        precision, scale = map(int, rest.rstrip(")").split(","))
        return pa.decimal128(precision, scale)
    if kind == "timestamp":
        return pa.timestamp("us", tz="UTC" if trino_type.endswith("with time zone") else None)
    return ARROW.get(kind, pa.string())
