"""Which model is made of what, per table and per column, read from the SQL that dbt compiled and ran."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.lineage.naming import mart_uri, model_uri, raw_uri

if TYPE_CHECKING:
    from include.build import ModelResult
    from include.publish.freeze import Close

log = logging.getLogger(__name__)

Origins = tuple[tuple[str, str], ...]  # (URI, column)
RELATION = re.compile(r'"[^"]+"\."[^"]+"\."[^"]+"')  # as dbt writes every one: "database"."schema"."name"
DIALECT = re.compile(
    r"\s+by\s+name\b|\s+at\s*\(version\s*=>\s*\d+\)|\s+for\s+version\s+as\s+of\s+\d+", re.IGNORECASE
)  # of an engine's own, unknown to the parser
EXPRESSION = re.compile(r"(\w+)\s+as\s*\(", re.IGNORECASE)
NESTED = re.compile(r"as\s*\(\s*with\s", re.IGNORECASE)
STAR_AT_THE_END = re.compile(r"select\s+\*\s+from\s+(\w+)\s*;?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class ModelLineage:
    """One built model: its URI, the URIs it reads, and for each column the columns it is made of."""

    uri: str
    inputs: tuple[str, ...]
    columns: Mapping[str, Origins] = field(hash=False)


def built(close: "Close", results: "Iterable[ModelResult]") -> Iterator[ModelLineage]:
    """The lineage of the models that a layer built, their columns asked of the workspace."""
    models = [r for r in results if r.kind == "model" and r.compiled and r.compiled.is_file()]
    columns = _columns_in(close, [m.name for m in models])
    for model in models:
        yield lineage_of(close.pack, model.name, model.compiled.read_text(), columns.get(model.name, ()))


def lineage_of(pack: str, name: str, sql: str, columns: Iterable[str]) -> ModelLineage:
    """The lineage of one model, as far as its SQL shows it plainly.

    SQL that the parser cannot follow costs the columns, then the inputs, never the build.
    """
    from openlineage_sql import parse

    uri = model_uri(pack, name)
    sql, names = without_nesting(DIALECT.sub("", sql.strip())), ", ".join(columns)
    star = STAR_AT_THE_END.search(sql)
    if star and names:  # house style: a model ends so, and the parser has to be told what the star is
        sql = f"{sql[: star.start()]}select {names} from {star.group(1)}"
    try:
        found = parse([sql], dialect="duckdb")
    except Exception as error:  # foreign code over SQL of any shape
        log.debug("No lineage for %s: %s", name, error)
        return ModelLineage(uri, (), {})
    if found is None:
        return ModelLineage(uri, (), {})
    uris = sorted(_uri(pack, table.schema, table.name) for table in found.in_tables)
    inputs = {uri.rsplit("/", 1)[1]: uri for uri in uris}  # of a mart and its published self, the one being built
    known = {**_expressions_of_one_table(sql, inputs), **inputs}
    traced = {c.descendant.name: _origins(c.lineage, known) for c in found.column_lineage}
    return ModelLineage(uri, tuple(dict.fromkeys(uris)), {c: o for c, o in traced.items() if o})


def without_nesting(sql: str) -> str:
    """The SQL with each `x as (with … )` of one relation alone written as `x as (select * from relation)`.

    The parser does not follow a WITH within a WITH, which is what `latest` compiles to.
    """
    while nested := NESTED.search(sql):
        start = sql.index("(", nested.start())
        end = _closing(sql, start)
        relations = set(RELATION.findall(sql[start:end]))
        if end < 0 or len(relations) != 1:
            return sql
        sql = f"{sql[:start]}(select * from {relations.pop()}{sql[end:]}"
    return sql


def _closing(sql: str, start: int) -> int:
    """Where the parenthesis that opens at `start` closes; -1 where it does not. Quoted text does not count."""
    depth, quoted = 0, False
    for position in range(start, len(sql)):
        character = sql[position]
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
            if not depth:
                return position
    return -1


def _origins(lineage: Iterable, known: Mapping[str, str]) -> Origins:
    """The columns that one is made of, as far as they are of a known table."""
    found = ((known.get(origin.origin.name), origin.name) for origin in lineage if origin.origin)
    return tuple(sorted({(uri, column) for uri, column in found if uri}))


def _expressions_of_one_table(sql: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """Each common table expression that reads one table alone, with that table's URI.

    The parser stops at its `select *`; the column's name is the table's own, unless the expression made it.
    """
    found = {}
    for match in EXPRESSION.finditer(sql):
        body = sql[match.end() - 1 : _closing(sql, match.end() - 1)]
        names = {relation.rsplit('"', 2)[1] for relation in RELATION.findall(body)}
        if len(names) == 1 and (uri := inputs.get(*names)):
            found[match.group(1)] = uri
    return found


def _uri(pack: str, schema: str | None, name: str) -> str:
    """Raw, mirrored and published tables live in the lakehouse; whatever else a model reads is of its own workspace."""
    if schema == "raw":
        return raw_uri(name)
    if schema == "ot":
        return f"iceberg://ot/{name}"
    return mart_uri(pack, name) if schema == pack else model_uri(pack, name)


def _columns_in(close: "Close", models: list[str]) -> dict[str, list[str]]:
    from include.publish import workspace

    with workspace.opened(close) as con:
        rows = con.execute(
            "select table_name, list(column_name order by ordinal_position) from information_schema.columns "
            "where table_schema = 'main' and list_contains(?, table_name) group by table_name",
            [models],
        ).fetchall()
    return dict(rows)
