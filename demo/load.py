"""Fill the field database, and keep it up with the clock.

    python -m demo.load            # create and fill, or catch up with the contract days that have ended since
    python -m demo.load --fresh    # empty every table and fill again

The operator's identity and what was sent to partners stand in the schema `demo`, which is not captured; the truth is
written to `<state_dir>/demo/truth/*.parquet`, where no model can read it by mistake.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from demo.network import FIELDS
from demo.operator import DAYS, SEED, WELLS, Config, Operator, history, operate
from demo.partner_files import DAYS_SENT, PartnerFile, metered_days, partner_files
from demo.store import add_rows, copy_rows, end_rows, ended, gained
from include.settings import postgres_dsn, settings

SCHEMA = Path(__file__).with_name("fieldops.sql")
MEMORY = """
create schema if not exists demo;
create table if not exists demo.operator (
    seed bigint not null, start date not null, days integer not null, wells integer not null, as_of timestamptz not null
);
create table if not exists demo.deliveries (
    meter_id text not null, production_date date not null, is_held boolean not null, delivered_at timestamptz,
    primary key (meter_id, production_date)
);
create table if not exists demo.undo (
    kind text primary key, statements text[] not null, done_at timestamptz not null default now()
);
"""
ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtext('demo.load'))"


def fieldops_dsn() -> str:
    return postgres_dsn("fieldops", settings.fieldops_database)


def flow_computer_inbox() -> Path:
    return settings.inbox_dir / "flow_computer"


def truth_dir() -> Path:
    return settings.state_dir / "demo" / "truth"


def load(dsn: str, tables: Mapping[str, pa.Table]) -> int:
    """Create the schema where it is missing, empty its tables, fill them and grant reading to `cdc`; one transaction.

    Returns the number of rows. Columns that the simulation added stay, empty.
    """
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        _load(cursor, tables)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("analyze")
    return sum(table.num_rows for table in tables.values())


def _load(cursor: psycopg.Cursor, tables: Mapping[str, pa.Table]) -> None:
    cursor.execute(ONE_AT_A_TIME)
    cursor.execute(MEMORY)
    if not _exists(cursor, "public.wells"):
        cursor.execute(SCHEMA.read_text())
    else:
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        cursor.execute(sql.SQL("truncate {}").format(names))
    cursor.execute("truncate demo.operator, demo.deliveries, demo.undo")
    for name, table in tables.items():
        copy_rows(cursor, name, table)
    if cursor.execute("select 1 from pg_roles where rolname = 'cdc'").fetchone():
        cursor.execute("grant usage on schema public to cdc")
        cursor.execute("grant select on all tables in schema public to cdc")
        cursor.execute("alter default privileges in schema public grant select on tables to cdc")


def _exists(cursor: psycopg.Cursor, table: str) -> bool:
    return cursor.execute("select to_regclass(%s)", [table]).fetchone()[0] is not None


def remembered(dsn: str) -> tuple[Config, datetime] | None:
    """The operator that the database holds and the instant it is at; none where it was not loaded by this program."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        if not _exists(cursor, "demo.operator"):
            return None
        row = cursor.execute("select seed, start, days, wells, as_of from demo.operator").fetchone()
    return (Config(*row[:4]), row[4]) if row else None


def fill(dsn: str, days: int = DAYS, wells: int = WELLS, seed: int = SEED, as_of: datetime | None = None) -> Operator:
    """Load a whole operator and remember who it is; its truth and its partner files are not written here."""
    config, as_of = history(days, wells, seed, as_of)
    operator = operate(config, as_of)
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        _load(cursor, operator.tables())
        cursor.execute(
            "insert into demo.operator values (%s, %s, %s, %s, %s)",
            [config.seed, config.start, config.days, config.wells, as_of],
        )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("analyze")
    return operator


def catch_up(dsn: str, as_of: datetime) -> dict[str, int]:
    """Add what the operator has recorded since it was last looked at: rows by table, empty when no contract day ended.

    One transaction, so a kill leaves all or nothing; corrections made in between stay as they are.
    """
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(ONE_AT_A_TIME)
        seed, start, days, wells, before = cursor.execute("select * from demo.operator").fetchone()
        config = Config(seed, start, days, wells)
        if as_of <= before:
            return {}
        then, now = operate(config, before), operate(config, as_of)
        if (then.days.completed == now.days.completed).all():
            return {}
        old, new = then.tables(), now.tables()
        added = {name: add_rows(cursor, name, rows) for name, rows in gained(old, new).items()}
        for name, rows in ended(old, new).items():
            added[name] += end_rows(cursor, name, rows)
        cursor.execute("update demo.operator set as_of = %s", [as_of])
    return {name: count for name, count in added.items() if count}


def deliver(dsn: str, operator: Operator, inbox: Path) -> list[PartnerFile]:
    """Drop the partner files that are due: the last days at first, afterwards every day that has ended.

    Files are noted once all are dropped. Killed in between, they are dropped again: landing knows them by checksum.
    """
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        sent = set(cursor.execute("select meter_id, production_date from demo.deliveries").fetchall())
        end = metered_days(operator)
        first = min(((day - operator.config.start).days for _, day in sent), default=end - DAYS_SENT)
        due = list(partner_files(operator, first, end, without=sent))
        for file in due:
            file.drop(inbox)
            note_delivery(cursor, file)
    return due


def note_delivery(cursor: psycopg.Cursor, file: PartnerFile, is_held: bool = False) -> None:
    cursor.execute(
        """
        insert into demo.deliveries values (%s, %s, %s, case when %s then null else now() end)
        on conflict (meter_id, production_date) do update
        set is_held = excluded.is_held, delivered_at = excluded.delivered_at
        """,
        [file.meter_id, file.production_date, is_held, is_held],
    )


def write_truth(operator: Operator) -> None:
    truth_dir().mkdir(parents=True, exist_ok=True)
    for name, table in operator.truth().items():
        half = truth_dir() / f".{name}.part"
        pq.write_table(table, half)
        half.replace(truth_dir() / f"{name}.parquet")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.load", description="Fill the demo operator's database, or catch up."
    )
    parser.add_argument("--fresh", action="store_true", help="empty every table and fill again")
    parser.add_argument(
        "--as-of", type=datetime.fromisoformat, help="load up to this instant (ISO, with zone); default now"
    )
    parser.add_argument("--wells", type=int, default=WELLS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    chosen = parser.parse_args(arguments)
    as_of = chosen.as_of or datetime.now(UTC)
    if as_of.tzinfo is None:
        parser.error("--as-of needs a zone, for example 2026-11-24T13:00+00:00")
    dsn, started = fieldops_dsn(), time.monotonic()
    known = None if chosen.fresh else remembered(dsn)
    if known:
        added = catch_up(dsn, as_of)
        operator = operate(known[0], max(as_of, known[1]))
        print(
            f"Demo operator is already loaded since {known[0].start}. "
            + (f"Caught up: {_list(added)}." if added else "Nothing new since then.")
        )
    else:
        operator = fill(dsn, chosen.days, chosen.wells, chosen.seed, as_of)
        ends = ", ".join(
            f"{f.code} {operator.days.date(n - 1)}" for f, n in zip(FIELDS, operator.days.completed, strict=True)
        )
        print(f"Demo operator loaded: {chosen.wells} wells, {chosen.days} days, last contract days {ends}.")
    files = deliver(dsn, operator, flow_computer_inbox())
    write_truth(operator)
    print(f"{len(files)} partner files dropped into {flow_computer_inbox()}. Took {time.monotonic() - started:.1f} s.")


def _list(added: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in added.items())


if __name__ == "__main__":
    try:
        main()
    except psycopg.OperationalError as error:
        sys.exit(f"The field database does not answer ({str(error).strip()}). Start the platform: make up")
