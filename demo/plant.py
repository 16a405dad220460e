"""The simulated plant's MES and the history of its machines.

    python -m demo.plant load       # create and fill the database `mes`, or catch up with the time since
    python -m demo.plant history    # the machines' readings before the mirror began, as a historian's export, taken in
    python -m demo.plant truth      # what was true by shift and station, of bearings and camera, as Parquet
    python -m demo.plant simulate   # a service: goes on catching up until SIGTERM

Which plant it is and how far it was told stands in the schema `demo` of the database, which is not captured.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event

import psycopg
import pyarrow.parquet as pq

from demo import plant_calendar, plant_history, plant_line, plant_truth, plant_vision
from demo.load import truth_dir
from demo.plant_mes import Plant, shift_patterns, tables
from demo.store import add_rows, copy_rows
from include.errors import HnaiError, MissingSecret
from include.settings import postgres_dsn, settings

log = logging.getLogger("demo.plant")
DAYS = 60
SCHEMA = Path(__file__).with_name("mes.sql")
TRACE_SCHEMA = Path(__file__).with_name("mes_trace.sql")  # a database that was loaded before it is given its tables
MEMORY = """
create schema if not exists demo;
create table if not exists demo.plant (seed bigint not null, start date not null, as_of timestamptz not null);
"""
VISION_MEMORY = "create table if not exists demo.vision (until timestamptz not null)"
EXPORTED_EVERY = timedelta(minutes=15)
ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtext('demo.plant'))"
TOLD_AGAIN = timedelta(days=2)  # a row may be written down that long after what it tells of
END = """
update production_orders set ended_at = %s, status = %s where order_id = %s and ended_at is null
"""
MOVE = """
update shift_patterns set name = %(name)s, shift = %(shift)s, starts_at = %(starts_at)s, ends_at = %(ends_at)s
where pattern_id = %(pattern_id)s
    and (name, shift, starts_at, ends_at) is distinct from (%(name)s, %(shift)s, %(starts_at)s::time, %(ends_at)s::time)
"""
ROUND_S, LONGEST_WAIT_S = 20.0, 30.0


def mes_dsn() -> str:
    return postgres_dsn("mes", settings.mes_database)


def remembered(dsn: str) -> tuple[Plant, datetime] | None:
    """The plant that the database holds and the instant it is at; none where it was not loaded by this program."""
    with psycopg.connect(dsn) as connection:
        if connection.execute("select to_regclass('demo.plant')").fetchone()[0] is None:
            return None
        row = connection.execute("select seed, start, as_of from demo.plant").fetchone()
    return (Plant(*row[:2]), row[2]) if row else None


def fill(dsn: str, plant: Plant, as_of: datetime) -> int:
    """Create the schema where it is missing, empty its tables and fill them; one transaction. Gives the rows."""
    found = tables(plant, as_of)
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(ONE_AT_A_TIME)
        cursor.execute(MEMORY)
        if cursor.execute("select to_regclass('public.lines')").fetchone()[0] is None:
            cursor.execute(SCHEMA.read_text())
            _ensure_trace(cursor)
        else:
            _ensure_trace(cursor)
            cursor.execute(f"truncate {', '.join(found)}")
        for name, table in found.items():
            copy_rows(cursor, name, table)
        cursor.execute("truncate demo.plant")
        cursor.execute("drop table if exists demo.vision")
        cursor.execute("insert into demo.plant values (%s, %s, %s)", [plant.seed, plant.start, as_of])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("analyze")
    return sum(table.num_rows for table in found.values())


def catch_up(dsn: str, as_of: datetime) -> dict[str, int]:
    """Add what the plant has told since it was last looked at; gives the new rows by table.

    One transaction, so a kill leaves all or nothing; what people changed in between stays as it is.
    """
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(ONE_AT_A_TIME)
        _ensure_trace(cursor)
        seed, start, before = cursor.execute("select seed, start, as_of from demo.plant").fetchone()
        if as_of <= before:
            return {}
        found = tables(Plant(seed, start), as_of, plant_calendar.plant_day(before - TOLD_AGAIN))
        added = {name: add_rows(cursor, name, rows) for name, rows in found.items()}
        orders = found["production_orders"].to_pylist()
        ended = [[row["ended_at"], row["status"], row["order_id"]] for row in orders if row["ended_at"]]
        cursor.executemany(END, ended)
        cursor.executemany(MOVE, shift_patterns(plant_calendar.plant_day(as_of)))
        cursor.execute("update demo.plant set as_of = %s", [as_of])
    return {name: count for name, count in added.items() if count}


def deliver(dsn: str, plant: Plant, as_of: datetime, inbox: Path) -> list[Path]:
    """Drop the camera's results since the last time: all of the past at first, afterwards every quarter of an hour.

    What was dropped is noted afterwards. Killed in between, it is dropped again: each image has one key.
    """
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(ONE_AT_A_TIME)
        cursor.execute(VISION_MEMORY)
        found = cursor.execute("select max(until) from demo.vision").fetchone()[0]
        after = found or plant_calendar.starts_at(plant.start)
        until = as_of - (as_of - plant_calendar.starts_at(plant.start)) % EXPORTED_EVERY
        if until <= after:
            return []
        files = plant_vision.drop(after, until, plant, inbox)
        cursor.execute("truncate demo.vision")
        cursor.execute("insert into demo.vision values (%s)", [until])
    return files


def _ensure_trace(cursor: psycopg.Cursor) -> None:
    if cursor.execute("select to_regclass('public.lots')").fetchone()[0] is None:
        cursor.execute(TRACE_SCHEMA.read_text())


def first_day(as_of: datetime, days: int) -> date:
    return plant_calendar.plant_day(as_of) - timedelta(days=days)


def write_truth(plant: Plant, as_of: datetime) -> Path:
    """What was true of each shift that has ended, by station, of bearings and camera; gives the folder."""
    last = plant_calendar.plant_day(as_of)
    found = {
        "plant_station_shift": plant_truth.by_shift(plant.start, last, plant.seed, as_of),
        "plant_bearings": plant_truth.bearings(plant.start, last, plant.seed),
        "plant_vision_shift": plant_vision.by_shift(plant.start, last, plant.seed, as_of),
    }
    truth_dir().mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        half = truth_dir() / f".{name}.part"
        pq.write_table(table, half)
        half.replace(truth_dir() / f"{name}.parquet")
    return truth_dir()


def load(days: int, seed: int, as_of: datetime, *, is_fresh: bool) -> str:
    """Fill the database or catch up; gives what was done, in a line."""
    dsn = mes_dsn()
    known = None if is_fresh else remembered(dsn)
    if known:
        added = catch_up(dsn, as_of)
        news = ", ".join(f"{count} {name}" for name, count in added.items()) or "nothing new"
        said = f"The plant's MES is loaded since {known[0].start}. Caught up: {news}."
    else:
        plant = Plant(seed, first_day(as_of, days))
        rows = fill(dsn, plant, as_of)
        said = f"The plant's MES is loaded: {len(plant_line.STATIONS)} stations since {plant.start}, {rows:,} rows."
    plant, told = remembered(dsn)
    deliver(dsn, plant, told, settings.inbox_dir)
    write_truth(plant, told)
    return said


def history(as_of: datetime) -> str:
    """Take the machines' readings from the plant's first day to `as_of` into `ot.readings`, each once."""
    from include.ot.history_file import take_in

    known = remembered(mes_dsn())
    if not known:
        raise HnaiError("The database mes is empty. Run: python -m demo.plant load")
    plant = known[0]
    path = settings.state_dir / "demo" / "plant_history.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    plant_history.write(path, plant, as_of, _taken_until())
    try:
        return str(take_in(path))
    finally:
        path.unlink(missing_ok=True)


def _taken_until() -> date | None:
    """The plant day up to which the machines' past is in: days are taken in one after the other."""
    from include import lakehouse

    if not lakehouse.exists("ot.readings"):
        return None
    pacing = [f"{line.pacing}.execution" for line in plant_line.LINES]
    query = "select max(observed_at) from lakehouse.ot.readings where tag_id in (select unnest(?)) and "
    with lakehouse.connect() as con:
        (last,) = con.execute(query + "starts_with(_segment_id, 'file-')", [pacing]).fetchone()
    return last and plant_calendar.plant_day(last) - timedelta(days=1)


def simulate(stop: Event) -> None:
    """Catch up every few seconds until `stop` is set; a database that is away is waited for."""
    wait_s = 1.0
    while not stop.is_set():
        try:
            dsn = mes_dsn()
            if remembered(dsn) is None:
                log.info("The database mes is empty; waiting for: python -m demo.plant load")
                stop.wait(LONGEST_WAIT_S)
                continue
            if added := catch_up(dsn, datetime.now(UTC)):
                log.info("New rows: %s", _list(added))
            if files := deliver(dsn, *remembered(dsn), settings.inbox_dir):
                log.info("Results of the camera dropped: %s", ", ".join(file.name for file in files))
            wait_s = 1.0
            stop.wait(ROUND_S)
        except (psycopg.Error, MissingSecret) as error:
            said = str(error).strip().splitlines()[0]
            log.warning("The database mes cannot be used (%s); trying again in %.0f s", said, wait_s)
            stop.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    log.info("Stopped")


def _list(added: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in added.items())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.plant", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("load", "create and fill the database, or catch up"),
        ("history", "take the machines' readings of the past into ot.readings"),
        ("truth", "write what was true by shift and station, of bearings and camera"),
        ("simulate", "go on catching up until SIGTERM"),
    ):
        one = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        if verb != "simulate":
            one.add_argument("--as-of", type=datetime.fromisoformat, help="up to this instant (ISO, with zone); now")
        if verb == "load":
            one.add_argument("--fresh", action="store_true", help="empty every table and fill again")
            one.add_argument("--days", type=int, default=DAYS)
            one.add_argument("--seed", type=int, default=plant_line.SEED)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    as_of = getattr(chosen, "as_of", None) or datetime.now(UTC)
    if as_of.tzinfo is None:
        parser.error("--as-of needs a zone, for example 2026-11-24T13:00+00:00")
    begun = time.monotonic()
    if chosen.verb == "simulate":
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        simulate(stop)
        return 0
    try:
        if chosen.verb == "load":
            said = load(chosen.days, chosen.seed, as_of, is_fresh=chosen.fresh)
        elif chosen.verb == "history":
            said = history(as_of)
        else:
            known = remembered(mes_dsn())
            said = f"Truth: {write_truth(known[0], as_of)}" if known else "The database mes is empty"
    except (psycopg.OperationalError, HnaiError) as error:
        print(f"{str(error).strip()}\nIs the platform up? make up", file=sys.stderr)
        return 1
    print(f"{said} Took {time.monotonic() - begun:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
