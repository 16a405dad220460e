"""Declare a table of a source database: its YAML entry and staging model, from the database's own catalogue.

What is written is a start to be read and edited: units in names, meanings in descriptions.

    python -m include.add_table fieldops.pump_checks [--zone Europe/Oslo]
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from include.catalog import MODELS, Source, source
from include.errors import DeclarationError, HnaiError
from include.settings import ROOT

LOCAL_TIME = "timestamp without time zone"
LONG_VALUES = ("text", "character varying", "json", "jsonb", "bytea", "xml")
SHORT_CODES = ("_id", "_code", "_no", "_type", "_kind", "_unit", "_name")  # endings of text columns that hold codes
COLUMNS = """
    select a.attname, format_type(a.atttypid, null), coalesce(col_description(a.attrelid, a.attnum), '')
    from pg_attribute a
    where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""
KEY = """
    select a.attname
    from pg_index i
    cross join lateral unnest(i.indkey) with ordinality as k (attnum, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = to_regclass(%s) and i.indisprimary
    order by k.place
"""


@dataclass(frozen=True)
class Column:
    name: str
    type: str  # as PostgreSQL names it, without precision
    description: str = ""


@dataclass(frozen=True)
class SourceTable:
    """A table as its database describes it."""

    source: str
    name: str
    schema: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    has_full_identity: bool
    description: str = ""

    @property
    def local_times(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.type == LOCAL_TIME)

    @property
    def toasted(self) -> tuple[str, ...]:
        """Columns that a change may leave out because PostgreSQL stores them out of line.

        A column missed here is no silent loss: `latest` stops the build when an unsent value of it arrives.
        """
        if self.has_full_identity:
            return ()
        long = (c.name for c in self.columns if c.type in LONG_VALUES and c.name not in self.key)
        return tuple(name for name in long if not name.endswith(SHORT_CODES))

    @property
    def model(self) -> str:
        return f"stg_{self.source}__{self.name}"


def add_table(full_name: str, zone: str | None = None) -> list[Path]:
    """Write the YAML entry and the staging model of `<source>.<table>`; give the files written.

    The table may be qualified by its schema in the database (`fieldops.hnai.heartbeat`); `public` otherwise.
    Raises `DeclarationError` where it is declared already, does not exist, has no primary key, or holds local
    times whose zone neither `zone` nor another table's lookup tells.
    """
    declared, schema, name = _parse(full_name)
    found = describe(declared, schema, name)
    return write(found, declared, zone)


def describe(declared: Source, schema: str, name: str) -> SourceTable:
    """Read the table's columns, key and replica identity from the source's catalogue."""
    from include.land.source_setup import connect_source

    with connect_source(declared) as connection:
        relation = f'"{schema}"."{name}"'
        row = connection.execute(
            "select relreplident = 'f', coalesce(obj_description(oid), '') from pg_class where oid = to_regclass(%s)",
            [relation],
        ).fetchone()
        if row is None:
            raise DeclarationError(f"{declared.name} has no table {schema}.{name}. Look for its name with \\dt in psql")
        columns = connection.execute(COLUMNS, [relation]).fetchall()
        key = connection.execute(KEY, [relation]).fetchall()
    return SourceTable(
        source=declared.name,
        name=name,
        schema=schema,
        columns=tuple(Column(*c) for c in columns),
        key=tuple(k for (k,) in key),
        has_full_identity=row[0],
        description=row[1],
    )


def write(found: SourceTable, declared: Source, zone: str | None = None, models: Path = MODELS) -> list[Path]:
    """Write the declaration and the staging model; nothing is written unless all of it can be."""
    if not found.key:
        raise DeclarationError(
            f"{found.source}.{found.name} has no primary key: publishing it would make the application's UPDATE fail. "
            f"Give it one, or replica identity full and an entry in the YAML by hand"
        )
    folder = models / declared.pack / "staging" / found.source
    yaml_path = folder / f"_{found.source}__sources.yml"
    sql_path, yml_path = folder / f"{found.model}.sql", folder / f"{found.model}.yml"
    if any(t.name == found.name for t in declared.tables) or sql_path.exists():
        raise DeclarationError(f"{found.source}.{found.name} is declared already in {yaml_path.name}")
    entry = yaml_entry(found, zone_of(found, declared, zone))
    yaml_path.write_text(yaml_path.read_text().rstrip() + "\n\n" + entry)
    sql_path.write_text(staging_sql(found))
    yml_path.write_text(staging_yml(found))
    return [yaml_path, sql_path, yml_path]


def zone_of(found: SourceTable, declared: Source, zone: str | None) -> dict[str, object]:
    """How landing finds the zone of the table's local times: given, or as another table with the same column does."""
    if not found.local_times:
        return {}
    if zone:
        return {"zone": zone}
    names = {c.name for c in found.columns}
    for other in declared.tables:
        if other.zone and other.zone_lookup.get("column") in names:
            return {"zone": other.zone, "zone_lookup": other.zone_lookup}
    raise DeclarationError(
        f"{found.source}.{found.name} holds local times ({', '.join(found.local_times)}) and nothing tells their zone. "
        f"Give it: make add-table TABLE={found.source}.{found.name} ZONE=Europe/Oslo"
    )


def yaml_entry(found: SourceTable, zone: dict[str, object]) -> str:
    """The table's entry in `_<source>__sources.yml`."""
    toasted = found.toasted
    land: dict[str, object] = {"key": list(found.key)}
    if found.schema != "public":
        land["schema"] = found.schema
    land |= zone
    if found.local_times:
        land["local_times"] = list(found.local_times)
    if toasted:
        land["toasted"] = list(toasted)
    land["drift"] = {"default": "evolve"}
    lines = [
        f"      - name: {found.name}",
        f"        identifier: {found.source}__{found.name}",
        f"        description: {_description(found)}",
        "        config:",
        "          meta:",
        "            land:",
        *(f"              {name}: {_flow(value)}" for name, value in land.items()),
    ]
    return "\n".join(lines) + "\n"


def staging_sql(found: SourceTable) -> str:
    """A staging model that takes the latest row per key, puts UTC instants in the place of local times, and no more."""
    selected = []
    for column in found.columns:
        new = renamed(found, column)
        if column.name in found.local_times:
            selected.append(f"{column.name}_utc as {new}")
        elif column.name in found.toasted:
            selected.append(f"{{{{ carried('{column.name}') }}}} as {new}")
        else:
            selected.append(column.name if new == column.name else f"{column.name} as {new}")
    body = ",\n        ".join(selected)
    return (
        f"with latest as (\n    {{{{ latest('{found.source}', '{found.name}') }}}}\n),\n\n"
        f"renamed as (\n    select\n        {body}\n    from latest\n)\n\nselect * from renamed\n"
    )


def staging_yml(found: SourceTable) -> str:
    """The model's description and key test; descriptions come from the database's comments."""
    key = [renamed(found, c) for c in found.columns if c.name in found.key]
    lines = [
        "models:",
        f"  - name: {found.model}",
        f"    description: {_description(found)}",
        "    data_tests:",
        f"      - unique_together: {{arguments: {{columns: [{', '.join(key)}]}}}}",
        "    columns:",
    ]
    for column in found.columns:
        about = column.description or (
            "UTC instant of the source's local time." if column.name in found.local_times else "As in the source."
        )
        lines.append(f"      - {{name: {renamed(found, column)}, description: {_quoted(about)}}}")
    return "\n".join(lines) + "\n"


def renamed(found: SourceTable, column: Column) -> str:
    """The staging name: a bare `id` carries the table's name, everything else keeps its own."""
    if column.name == "id":
        return f"{found.name.removesuffix('s')}_id"
    return column.name


def _parse(full_name: str) -> tuple[Source, str, str]:
    parts = full_name.split(".")
    if len(parts) not in (2, 3) or not all(p.replace("_", "a").isalnum() for p in parts):
        raise DeclarationError(f"{full_name!r} is not <source>.<table>. Example: fieldops.pump_checks")
    return source(parts[0]), parts[1] if len(parts) == 3 else "public", parts[-1]


def _description(found: SourceTable) -> str:
    return _quoted(found.description or f"One row per {', '.join(found.key)}.")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _flow(value: object) -> str:
    """A value in YAML's flow form."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    text = str(value)
    return _quoted(text) if text.startswith("@") else text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.add_table", description="Declare a source table.")
    parser.add_argument("table", help="<source>.<table>, or <source>.<schema>.<table>")
    parser.add_argument("--zone", help="IANA zone of the table's local times, where no other table tells it")
    a = parser.parse_args(arguments)
    try:
        written = add_table(a.table, a.zone)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path.relative_to(ROOT)}")
    print("Next: give units and meanings in both, then let the landing DAG load the table:")
    print("docs/how-to/add-a-source-table-and-a-mart.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
