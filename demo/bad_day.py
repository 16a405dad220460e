"""Make a bad day on purpose, see how the platform takes it, and undo it.

    python -m demo.bad_day                     # what there is, and what is in force
    python -m demo.bad_day missing-file        # do it; prints which day to close and what to expect
    python -m demo.bad_day missing-file --undo

missing-file       the files of one more contract day arrive, all but one meter's; undo: the missing one arrives
duplicated-file    the newest file arrives again, under its own name and under another; nothing to undo
unit-off-by-1000   one well's gas of the newest day is booked in scf instead of Mcf; undo: the old figure is back
late-correction    one well's oil of three days before the newest day becomes 4 % more; undo: the old figure is back
dropped-column     the application drops well_tests.casing_pressure; undo: the column and its values are back
source-down        the field database refuses every connection and ends the open ones; undo: it takes them again
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from demo.churn import OURS
from demo.load import deliver, fieldops_dsn, flow_computer_inbox, note_delivery, remembered
from demo.operator import Operator, operate
from demo.partner_files import PartnerFile, partner_files
from include.settings import postgres_dsn


class NotNow(Exception):
    """What was asked cannot be done in the present state; the message says what to do first."""


@dataclass(frozen=True)
class Site:
    """The field database, the superuser's way to its server, and where partner files go."""

    dsn: str
    server_dsn: str
    inbox: Path

    @property
    def database(self) -> str:
        return conninfo_to_dict(self.dsn)["dbname"]

    def operator(self) -> Operator:
        known = remembered(self.dsn)
        if known is None:
            raise NotNow("The field database is empty. Run: .venv/bin/python -m demo.load")
        return operate(*known)


@dataclass(frozen=True)
class BadDay:
    """`do` makes it and `undo` takes it back; each says what it did. No `undo`: there is nothing to take back."""

    do: Callable[[Site], str]
    undo: Callable[[Site], str] | None


def miss_file(site: Site) -> str:
    operator, inbox = site.operator(), site.inbox
    with psycopg.connect(site.dsn, autocommit=True) as connection, connection.cursor() as cursor:
        if cursor.execute("select 1 from demo.deliveries where is_held").fetchone():
            raise NotNow("A file is missing already. Run: .venv/bin/python -m demo.bad_day missing-file --undo")
        deliver(site.dsn, operator, inbox)
        oldest = cursor.execute("select min(production_date) from demo.deliveries").fetchone()[0]
        number = (oldest - operator.config.start).days - 1
        if number < 0:
            raise NotNow(
                "Every day of the history was delivered: none is left to miss a file of."
                " Run: .venv/bin/python -m demo.load --fresh"
            )
        held, *others = partner_files(operator, number, number + 1)
        note_delivery(cursor, held, is_held=True)
        for file in others:
            file.drop(inbox)
            note_delivery(cursor, file)
    return (
        f"{held.name} does not arrive; {len(others)} other meters' files of that day did."
        f" Try: make close DAY={held.production_date}"
    )


def send_missing_file(site: Site) -> str:
    operator = site.operator()
    with psycopg.connect(site.dsn, autocommit=True) as connection, connection.cursor() as cursor:
        held = cursor.execute("select meter_id, production_date from demo.deliveries where is_held").fetchall()
        if not held:
            raise NotNow("No file is missing")
        files = [f for _, day in held for f in _files_of(operator, day) if (f.meter_id, f.production_date) in held]
        for file in files:
            file.drop(site.inbox)
            note_delivery(cursor, file)
    return f"{', '.join(f.name for f in files)} arrived. Clear the failed gate of that day, or trigger its close again."


def _files_of(operator: Operator, day: date) -> list[PartnerFile]:
    number = (day - operator.config.start).days
    return list(partner_files(operator, number, number + 1))


def send_file_twice(site: Site) -> str:
    operator = site.operator()
    file = _files_of(operator, operator.days.date(operator.days.completed[0] - 1))[0]
    again = f"{file.meter_id}-COPY_{file.production_date:%Y%m%d}.csv"
    file.drop(site.inbox)
    file.drop(site.inbox, again)
    return (
        f"{file.name} arrived again, and once more as {again}."
        " Expect: both logged as duplicates in ops.file_transfers, no new row in raw."
    )


def _change_reading(site: Site, kind: str, column: str, days_before_newest: int, factor: str, expect: str) -> str:
    """Multiply one volume of an EAGLE well and remember the old one."""
    with psycopg.connect(site.dsn) as connection, connection.cursor() as cursor:
        _remember_once(cursor, kind)
        of_the_day = """
            from daily_readings where well_id like 'EAG%%' and production_date =
            (select max(production_date) from daily_readings where well_id like 'EAG%%') - %s
        """
        found = cursor.execute(
            f"select reading_id, well_id, production_date, {column} {of_the_day} and {column} > 100 order by 2 limit 1",
            [days_before_newest],
        ).fetchone()
        if not found:
            raise NotNow("No EAGLE well made anything that day")
        reading, well, day, old = found
        change = (
            f"update daily_readings set {column} = %s, recorded_at = clock_timestamp() where reading_id = {reading}"
        )
        new = round(old * Decimal(factor), 3)
        cursor.execute(change, [new])
        cursor.execute("update demo.undo set statements = %s where kind = %s", [[change.replace("%s", str(old))], kind])
    return f"{well} on {day}: {column} {old:f} became {new:f}. {expect} Try: make close DAY={day}"


def misplace_unit(site: Site) -> str:
    return _change_reading(
        site, "unit-off-by-1000", "gas_volume", 0, "1000", "Expect: a gate stops the close and names the well."
    )


def correct_late(site: Site) -> str:
    return _change_reading(
        site,
        "late-correction",
        "oil_volume",
        3,
        "1.04",
        "Expect: the published figure stays until a new version restates it.",
    )


def drop_column(site: Site) -> str:
    kind = "dropped-column"
    with psycopg.connect(site.dsn) as connection, connection.cursor() as cursor:
        _remember_once(cursor, kind)
        cursor.execute(
            "create table demo.kept_casing_pressure as select mod(id, %s) as id, casing_pressure from well_tests",
            [OURS],
        )
        cursor.execute("set lock_timeout = '10s'; alter table well_tests drop column casing_pressure")
        back = [
            "set lock_timeout = '10s'",
            "alter table well_tests add column casing_pressure numeric(10, 2)",
            "update well_tests t set casing_pressure = k.casing_pressure from demo.kept_casing_pressure k"
            f" where mod(t.id, {OURS}) = k.id",
            "drop table demo.kept_casing_pressure",
        ]
        cursor.execute("update demo.undo set statements = %s where kind = %s", [back, kind])
    return (
        "well_tests lost casing_pressure. Expect: landing goes on by the table's drift policy and reports the column."
    )


def _remember_once(cursor: psycopg.Cursor, kind: str) -> None:
    if not cursor.execute(
        "insert into demo.undo values (%s, '{}') on conflict do nothing returning 1", [kind]
    ).fetchone():
        raise NotNow(f"{kind} is in force already. Run: .venv/bin/python -m demo.bad_day {kind} --undo")


def _run_back(kind: str) -> Callable[[Site], str]:
    def undo(site: Site) -> str:
        with psycopg.connect(site.dsn) as connection, connection.cursor() as cursor:
            found = cursor.execute("delete from demo.undo where kind = %s returning statements", [kind]).fetchone()
            if not found:
                raise NotNow(f"{kind} is not in force")
            for statement in found[0]:
                cursor.execute(statement)
        return f"{kind}: the database is as it was before."

    return undo


def _as_superuser(site: Site, allow: bool) -> None:
    database = sql.Identifier(site.database)
    with psycopg.connect(site.server_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter database {} allow_connections {}").format(database, sql.SQL(str(allow).lower()))
        )
        if not allow:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [site.database]
            )


def take_source_down(site: Site) -> str:
    _as_superuser(site, allow=False)
    return (
        "The field database refuses connections. Expect: landing reports the source; a close falls back to what is"
        " landed, and its gate judges the age."
    )


def bring_source_up(site: Site) -> str:
    _as_superuser(site, allow=True)
    return "The field database takes connections again. Expect: stream and simulation go on by themselves."


KINDS = {
    "missing-file": BadDay(miss_file, send_missing_file),
    "duplicated-file": BadDay(send_file_twice, None),
    "unit-off-by-1000": BadDay(misplace_unit, _run_back("unit-off-by-1000")),
    "late-correction": BadDay(correct_late, _run_back("late-correction")),
    "dropped-column": BadDay(drop_column, _run_back("dropped-column")),
    "source-down": BadDay(take_source_down, bring_source_up),
}


def in_force(site: Site) -> list[str]:
    try:
        with psycopg.connect(site.dsn) as connection:
            kinds = connection.execute(
                "select kind from demo.undo union select 'missing-file' from demo.deliveries where is_held order by 1"
            ).fetchall()
    except psycopg.OperationalError as error:
        return (
            ["source-down"]
            if "not currently accepting connections" in str(error)
            else [f"unknown: {str(error).strip()}"]
        )
    return [kind for (kind,) in kinds]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.bad_day", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("--undo", action="store_true")
    chosen = parser.parse_args(arguments)
    site = Site(fieldops_dsn(), postgres_dsn("postgres", "postgres"), flow_computer_inbox())
    if not chosen.kind:
        print(f"{__doc__}\nIn force: {', '.join(in_force(site)) or 'none'}")
        return
    bad_day = KINDS[chosen.kind]
    try:
        if not chosen.undo:
            print(bad_day.do(site))
        else:
            print(bad_day.undo(site) if bad_day.undo else f"{chosen.kind}: nothing to undo")
    except NotNow as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
