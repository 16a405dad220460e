"""What a source database must have before its changes can be captured: grants, keys, publication, slot, heartbeat.

Reading is done as the capturing role. What only an owner may do is done as the owner where the platform holds that
secret (`postgres_<source>`), and is otherwise named, statement by statement, for the database's administrator.
"""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from include import lakehouse
from include.catalog import Source, Table
from include.catalog import source as declared
from include.errors import LandingError, MissingSecret
from include.land import raw_table
from include.land.source_schema import quoted
from include.settings import secret, settings

CONNECTORS = Path(__file__).parent / "connectors"
CAPTURE_ROLE = "cdc"
HEARTBEAT = ("hnai", "heartbeat")
SLOT_FREE_WITHIN_S = 30.0
RUNTIME = "hnai.runtime"  # property of the heartbeat: which runtime the newest slot belongs to
LOAD_WANTED = "hnai.load_wanted"  # property of a raw table: why it has to be loaded again


def static_config(source: Source) -> dict[str, str]:
    """What `connectors/<connector>.json` says. Raises `LandingError` where there is no such file."""
    path = CONNECTORS / f"{source.connector}.json"
    if not path.is_file():
        raise LandingError(
            f"Source {source.name!r} names the connector {source.connector!r}, but {path} does not exist"
        )
    return json.loads(path.read_text())


def address(source: Source) -> dict[str, str]:
    """Where the source's database is: by the connector's file, else in the platform's own PostgreSQL, by its name.

    The setting `<source>_database` gives that database another name.
    """
    static = static_config(source)
    return {
        "host": static.get("database.hostname", settings.postgres_host),
        "port": static.get("database.port", str(settings.port("postgres"))),
        "dbname": static.get("database.dbname", getattr(settings, f"{source.name}_database", source.name)),
        "user": static.get("database.user", CAPTURE_ROLE),
    }


def dsn(source: Source, role: str | None = None, **options: str) -> str:
    """The connection string of the capturing role, or of `role`; the password is the secret `postgres_<role>`."""
    found = address(source)
    user = role or found["user"]
    return make_conninfo(
        **{**found, "user": user, "password": secret(f"postgres_{user}"), "connect_timeout": 10, **options}
    )


def connect_source(source: Source | str, *, role: str | None = None, autocommit: bool = True) -> psycopg.Connection:
    """A connection to the source database. Raises `LandingError` where it does not answer."""
    found = declared(source) if isinstance(source, str) else source
    try:
        return psycopg.connect(dsn(found, role), autocommit=autocommit)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise LandingError(
            f"The source database {address(found)['dbname']!r} does not answer: {reason}. Is it up?"
        ) from None


def heartbeat_table(source: Source) -> Table:
    """The declared heartbeat of a source, or the one that every source has without a word."""
    for table in source.tables:
        if (table.schema, table.name) == HEARTBEAT:
            return table
    return Table(
        source=source.name,
        name=HEARTBEAT[1],
        identifier=f"{source.name}__heartbeat",
        pack=source.pack,
        key=("id",),
        owner=source.owner,
        schema=HEARTBEAT[0],
    )


def captured_tables(source: Source) -> tuple[Table, ...]:
    """Every declared table, the heartbeat last."""
    beat = heartbeat_table(source)
    return (*(t for t in source.tables if (t.schema, t.name) != HEARTBEAT), beat)


def publication_name(source: Source | str) -> str:
    """The publication of a source. Its slot is called the same, with the epoch behind it."""
    name = source if isinstance(source, str) else source.name
    return f"hnai_{re.sub('[^a-z0-9_]', '_', name.lower())}"


@dataclass
class Setup:
    """What `prepare` found and did."""

    slot: str = ""
    epoch: int = 0
    added: list[str] = field(default_factory=list)  # tables that were put into the publication just now
    refused: dict[str, str] = field(default_factory=dict)  # table -> why it cannot be captured, and what to do
    warnings: list[str] = field(default_factory=list)


def prepare(source: Source, runtime: str = "", above: int = 0) -> Setup:
    """Make the source ready for capture. Tables that cannot be captured are left out and named in `refused`.

    A slot belongs to one `runtime`: the identity of the Kafka that its events go to, empty for the embedded worker.
    Another one begins a slot of its own, whose epoch is greater than `above`.
    """
    setup = Setup()
    with connect_source(source) as connection:
        _check_server(connection)
        _make_heartbeat(source, connection)
        for table in captured_tables(source):
            if reason := why_refused(connection, table):
                setup.refused[table.name] = reason
            elif warning := _warning(connection, table):
                setup.warnings.append(warning)
        tables = [t for t in captured_tables(source) if t.name not in setup.refused]
        setup.added = _publish(source, connection, tables)
        setup.slot, setup.epoch = _ensure_slot(source, connection, runtime, above)
    return setup


def _check_server(connection: psycopg.Connection) -> None:
    level = connection.execute("show wal_level").fetchone()[0]
    if level != "logical":
        raise LandingError(
            f"The source's wal_level is {level!r}. Set wal_level = logical in postgresql.conf and restart it."
        )
    if not connection.execute(
        "select rolreplication or rolsuper from pg_roles where rolname = current_user"
    ).fetchone()[0]:
        raise LandingError(f"The role may not replicate. Run: alter role {CAPTURE_ROLE} replication")


def why_refused(connection: psycopg.Connection, table: Table) -> str | None:
    """Why a table cannot be captured, with the statement that would help; None where it can.

    A table in a publication without a key makes the application's own UPDATE and DELETE fail, so it is never added.
    """
    name = f"{quoted(table.schema)}.{quoted(table.name)}"
    row = connection.execute(
        """
        select c.oid, c.relreplident, c.relkind, has_table_privilege(c.oid, 'select'),
               has_schema_privilege(n.oid, 'usage'), c.relpersistence
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s
        """,
        [table.schema, table.name],
    ).fetchone()
    if row is None:
        return f"{table.schema}.{table.name} does not exist in the source. Correct its declaration or create it."
    oid, identity, kind, may_select, may_use, persistence = row
    if kind not in "rp" or persistence != "p":
        return f"{name} is not an ordinary, logged table; only those can be captured."
    if not may_use:
        return f"A grant is missing. Run in the source: grant usage on schema {quoted(table.schema)} to {CAPTURE_ROLE}"
    if not may_select:
        return f"A grant is missing. Run in the source: grant select on {name} to {CAPTURE_ROLE}"
    if identity == "f":
        return None
    wanted = "indisprimary" if identity == "d" else "indisreplident"
    found = connection.execute(
        f"""
        select array_agg(a.attname::text) from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
        where i.indrelid = %s and i.{wanted}
        """,
        [oid],
    ).fetchone()[0]
    if not found or identity == "n":
        return (
            f"{name} has neither a primary key nor full replica identity: publishing it would break the application's "
            "own UPDATE and DELETE. Give it a primary key, or run in the source: "
            f"alter table {name} replica identity full"
        )
    if not set(table.key) <= set(found):
        return (
            f"The declared key {list(table.key)} of {name} is not part of its replica identity {sorted(found)}, so "
            "deletes would not say what they delete. Declare that key, or run in the source: "
            f"alter table {name} replica identity full"
        )
    return None


def _warning(connection: psycopg.Connection, table: Table) -> str | None:
    long = connection.execute(
        """
        select array_agg(a.attname::text order by a.attnum) from pg_attribute a join pg_class c on c.oid = a.attrelid
        join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped and a.attstorage in ('x', 'e')
          and c.relreplident <> 'f' and c.reltoastrelid <> 0 and a.attname::text <> all(%s)
          and (a.atttypmod < 0 or a.atttypid not in ('varchar'::regtype, 'bpchar'::regtype))
          and pg_relation_size(c.reltoastrelid) > 0
        """,
        [table.schema, table.name, list(table.key)],
    ).fetchone()[0]
    if not long:
        return None
    name = f"{quoted(table.schema)}.{quoted(table.name)}"
    return (
        f"{name} holds values out of line ({', '.join(long)}), which are not sent again unless they change. Raw then "
        "has null and names them in _unchanged. To have them sent, run in the source: "
        f"alter table {name} replica identity full"
    )


def _make_heartbeat(source: Source, connection: psycopg.Connection) -> None:
    schema, table = HEARTBEAT
    if connection.execute("select to_regclass(%s)", [f"{schema}.{table}"]).fetchone()[0]:
        return
    owner = connection.execute(
        "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    ).fetchone()[0]
    connection.execute(f"grant usage, create on schema {schema} to {quoted(owner)}")
    _as_owner(
        source,
        [
            f"create table if not exists {schema}.{table} (id int primary key, beat_at timestamptz not null)",
            f"grant select, insert, update on {schema}.{table} to {CAPTURE_ROLE}",
        ],
    )


def _publish(source: Source, connection: psycopg.Connection, tables: Iterable[Table]) -> list[str]:
    """Make the publication hold just these tables; give those that it did not hold before."""
    name = publication_name(source)
    wanted = {(t.schema, t.name): t for t in tables}
    exists = connection.execute("select 1 from pg_publication where pubname = %s", [name]).fetchone()
    held = {
        tuple(row)
        for row in connection.execute(
            "select schemaname, tablename from pg_publication_tables where pubname = %s", [name]
        )
    }
    new = [t for pair, t in wanted.items() if pair not in held]
    gone = [pair for pair in held if pair not in wanted]
    for table in new:
        want_load(table, "it was put into the publication")
    statements = []
    if not exists:
        listed = ", ".join(f"{quoted(t.schema)}.{quoted(t.name)}" for t in new)
        statements.append(f"create publication {quoted(name)} for table {listed}")
    else:
        statements += [f"alter publication {quoted(name)} add table {quoted(t.schema)}.{quoted(t.name)}" for t in new]
        statements += [f"alter publication {quoted(name)} drop table {quoted(s)}.{quoted(t)}" for s, t in gone]
    if statements:
        _as_owner(source, statements)
    return [t.name for t in new]


def want_load(table: Table, reason: str) -> None:
    """Say on the raw table, if there is one, that it has to be loaded again."""
    if lakehouse.exists(f"raw.{table.identifier}"):
        tx = lakehouse.table(f"raw.{table.identifier}").transaction()
        tx.set_properties(**{LOAD_WANTED: reason})
        tx.commit_transaction()


def _as_owner(source: Source, statements: list[str]) -> None:
    try:
        secret(f"postgres_{source.name}")
    except MissingSecret:
        raise LandingError(
            f"The owner of database {address(source)['dbname']!r} has to run: "
            + "; ".join(statements)
            + "; then clear this task."
        ) from None
    with connect_source(source, role=source.name) as owner:
        for statement in statements:
            try:
                owner.execute(statement)
            except psycopg.errors.DuplicateObject:
                pass
            except psycopg.Error as error:
                raise LandingError(
                    f"The source refused `{statement}`: {str(error).strip()}. Its administrator has to run it."
                ) from error


def _ensure_slot(source: Source, connection: psycopg.Connection, runtime: str, above: int) -> tuple[str, int]:
    """The replication slot, and its epoch, which its name holds. A new slot begins an epoch: all is loaded again."""
    stem = f"{publication_name(source)}_"
    slots = connection.execute(
        "select slot_name, coalesce(wal_status, '') from pg_replication_slots "
        "where database = current_database() and slot_name like %s",
        [stem.replace("_", r"\_") + "%"],
    ).fetchall()
    epochs = {int(name.removeprefix(stem)): status for name, status in slots if name.removeprefix(stem).isdigit()}
    beat = heartbeat_table(source)
    identifier = f"raw.{beat.identifier}"
    said = lakehouse.table(identifier).properties if lakehouse.exists(identifier) else {}
    known = int(said.get(raw_table.EPOCH, 0))
    is_ours = said.get(RUNTIME, "") == runtime
    if is_ours and epochs and max(epochs) >= known and epochs[max(epochs)] != "lost":
        return f"{stem}{max(epochs)}", max(epochs)
    target = raw_table.ensure(beat, raw_heartbeat_columns())
    epoch = 1 + max([above, known, *epochs])
    tx = target.transaction()
    # before the slot: an epoch is never used twice
    tx.set_properties(**{raw_table.EPOCH: str(epoch), RUNTIME: runtime})
    tx.commit_transaction()
    for old in epochs:
        _drop_slot(connection, f"{stem}{old}")
    connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [f"{stem}{epoch}"])
    return f"{stem}{epoch}", epoch


def give_up_slot(source: Source) -> None:
    """Have the next `prepare` begin a new slot, whatever becomes of this process."""
    tx = raw_table.ensure(heartbeat_table(source), raw_heartbeat_columns()).transaction()
    tx.set_properties(**{RUNTIME: "given up"})
    tx.commit_transaction()


def _drop_slot(connection: psycopg.Connection, slot: str) -> None:
    """Drop a slot, giving its last reader a moment to go."""
    deadline = time.monotonic() + SLOT_FREE_WITHIN_S
    while True:
        try:
            connection.execute("select pg_drop_replication_slot(%s)", [slot])
            return
        except psycopg.errors.ObjectInUse as error:
            if time.monotonic() > deadline:
                raise LandingError(
                    f"The slot {slot} is still read: {str(error).strip()}. Stop the Connect worker that reads it."
                ) from error
            time.sleep(0.5)


def raw_heartbeat_columns() -> tuple:
    from include.land.source_schema import Column

    return (Column(1, "id", "int4", -1, True), Column(2, "beat_at", "timestamptz", -1, True))
