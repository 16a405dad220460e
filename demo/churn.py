"""What people do to a field database all day: corrections, remarks, deletes, key changes, transactions that overlap.

Nothing here breaks the operator's balance or ledger: volumes are corrected only in wells' own readings, tickets are put
back in the transaction that takes them out, and journals are added and taken back whole. Rows made here have ids from a
billion up.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import numpy as np
import psycopg

from demo.words import long_text, sentence
from demo.work_orders import KINDS, attributes, describe

OURS = 1_000_000_000  # ids below are the operator's, ids from here on are the simulation's
RECENT_DAYS = 7
MOST_ORDERS, MOST_JOURNALS = 200, 1_000  # of ours; beyond it the oldest go
TICK_S = 0.25
NEW_COLUMNS = (  # (table, column, definition): a default makes no row event, which landing must notice by itself
    ("work_orders", "contractor", "text"),
    ("run_tickets", "temperature_degf", "numeric(6, 2)"),
    ("work_orders", "is_invoiced", "boolean not null default false"),
)


@dataclass
class Session:
    """The rows that a burst may touch, as last seen, and the two connections that it writes by."""

    first: psycopg.Connection
    second: psycopg.Connection
    random: np.random.Generator
    written: Counter

    def __post_init__(self) -> None:
        cursor = self.first.cursor()

        def ids(query: str) -> np.ndarray:
            return np.array([row[0] for row in cursor.execute(query).fetchall()], dtype=np.int64)

        self.readings = ids(
            "select reading_id from daily_readings where oil_volume > 1 and production_date >"
            f" (select max(production_date) from daily_readings) - {RECENT_DAYS} order by 1"
        )
        self.tests = ids("select mod(id, 1000000000) from well_tests order by dt desc, well_id limit 200")
        self.tickets = ids("select mod(ticket_id, 1000000000) from run_tickets order by ticket_at desc, 1 limit 400")
        self.events = ids("select event_id from downtime_events order by event_id desc limit 200")
        self.orders = ids(
            f"select work_order_id from work_orders where work_order_id < {OURS} order by 1 desc limit 300"
        )
        self.entries = ids(f"select entry_id from ledger_entries where entry_id < {OURS} order by 1 desc limit 1000")
        self.wells = [row[0] for row in cursor.execute("select well_id from wells order by 1").fetchall()]
        tops = "(select max(work_order_id) from work_orders), (select max(journal_id) from ledger_entries)"
        self.next_id = cursor.execute(f"select greatest({OURS}, {tops})").fetchone()[0] + 1
        self.first.commit()

    def pick(self, ids: np.ndarray, count: int) -> list[int]:
        """Some of the ids, sorted, so that two transactions lock rows in one order."""
        return sorted(self.random.choice(ids, min(count, len(ids)), replace=False).tolist()) if len(ids) else []

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def did(self, what: str, rows: int) -> int:
        self.written[what] += rows
        return rows


Action = Callable[[Session, psycopg.Cursor, int], int]


def correct_readings(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    """Somebody read the gauge again: within a fifth of a percent."""
    ids = session.pick(session.readings, count)
    factors = (1 + 0.002 * session.random.standard_normal(len(ids))).clip(0.995, 1.005).round(6).tolist()
    cursor.execute(
        "update daily_readings r set oil_volume = round(oil_volume * f.factor, 3), recorded_at = clock_timestamp()"
        " from unnest(%s::bigint[], %s::numeric[]) as f(id, factor) where r.reading_id = f.id",
        [ids, factors],
    )
    return session.did("daily_readings updated", cursor.rowcount)


def note_pressures(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    cursor.execute(
        "update daily_readings set casing_pressure_psi = casing_pressure_psi + 0.01 where reading_id = any(%s)",
        [session.pick(session.readings, count)],
    )
    return session.did("daily_readings updated", cursor.rowcount)


def open_orders(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    rows = []
    for _ in range(count):
        well = session.wells[session.random.integers(0, len(session.wells))]
        is_long = session.random.random() < 0.02
        rows.append(
            (
                session.new_id(),
                well,
                str(session.random.choice(KINDS)),
                describe(session.random, is_long),
                attributes(session.random, False),
            )
        )
    with cursor.copy(
        "copy work_orders (work_order_id, well_id, opened_at, order_kind, description, attributes) from stdin"
    ) as copy:
        now = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime())
        for number, well, kind, text, extra in rows:
            copy.write_row((number, well, now, kind, text, extra))
    return session.did("work_orders inserted", len(rows))


def progress_orders(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    """Cost and JSON of a job change while its long description stays, unsent."""
    cursor.execute(
        "update work_orders set cost_usd = coalesce(cost_usd, 0) + 12.5, attributes = jsonb_set(attributes, '{visits}',"
        " to_jsonb(coalesce((attributes ->> 'visits')::int, 0) + 1)) where work_order_id = any(%s)",
        [session.pick(session.orders, count)],
    )
    return session.did("work_orders updated", cursor.rowcount)


def drop_old_orders(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    ours = f"from work_orders where work_order_id >= {OURS}"
    surplus = f"greatest(0, least(%s, (select count(*) {ours}) - {MOST_ORDERS}))"
    cursor.execute(
        f"delete from work_orders where work_order_id in (select work_order_id {ours} order by 1 limit {surplus})",
        [3 * count],
    )
    return session.did("work_orders deleted", cursor.rowcount)


def annotate_ledger(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    cursor.execute(
        "update ledger_entries set memo = %s where entry_id = any(%s)",
        [sentence(session.random), session.pick(session.entries, count)],
    )
    return session.did("ledger_entries updated", cursor.rowcount)


def accrue(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    """Journals of two lines that balance; the oldest of ours are taken back once there are many."""
    journals = max(count // 2, 1)
    for _ in range(journals):
        journal, cents = session.new_id(), int(session.random.integers(10_000, 900_000))
        rows = [(journal * 10, journal, "6000", cents, 0), (journal * 10 + 1, journal, "2000", 0, cents)]
        cursor.executemany(
            "insert into ledger_entries (entry_id, journal_id, posted_on, account_no, debit_usd, credit_usd, memo)"
            " values (%s, %s, (now() at time zone 'UTC')::date, %s, %s / 100.0, %s / 100.0, 'Accrual')",
            rows,
        )
    cursor.execute(
        f"""
        with old as (
            select distinct journal_id from ledger_entries where journal_id >= {OURS}
            order by 1 desc offset {MOST_JOURNALS}
        )
        delete from ledger_entries e using old where e.journal_id = old.journal_id
        """
    )
    taken = session.did("ledger_entries deleted", cursor.rowcount)
    return taken + session.did("ledger_entries inserted", 2 * journals)


def remark_events(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    text = long_text(session.random, 9000) if session.random.random() < 0.02 else sentence(session.random)
    cursor.execute(
        "update downtime_events set remarks = %s where event_id = any(%s)", [text, session.pick(session.events, count)]
    )
    return session.did("downtime_events updated", cursor.rowcount)


def reissue_tickets(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    """Take tickets out and put them back as they were, in one transaction."""
    cursor.execute(
        "delete from run_tickets where ticket_id = any(%s) returning *",
        [session.pick(session.tickets, (count + 1) // 2)],
    )
    rows, columns = cursor.fetchall(), ", ".join(column.name for column in cursor.description)
    with cursor.copy(f"copy run_tickets ({columns}) from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    return session.did("run_tickets deleted", len(rows)) + session.did("run_tickets inserted", len(rows))


def renumber_tests(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    """A key change: a test moves to its number plus a billion, or back. Its details follow by the foreign key."""
    return _renumber(session, cursor, "well_tests", "id", session.pick(session.tests, count))


def renumber_tickets(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    return _renumber(session, cursor, "run_tickets", "ticket_id", session.pick(session.tickets, count))


def _renumber(session: Session, cursor: psycopg.Cursor, table: str, key: str, ids: list[int]) -> int:
    either = ids + [n + OURS for n in ids]
    cursor.execute(
        f"update {table} set {key} = case when {key} >= {OURS} then {key} - {OURS} else {key} + {OURS} end"
        f" where {key} = any(%s)",
        [either],
    )
    return session.did(f"{table} renumbered", cursor.rowcount)


def swap_tests(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    """Two tests exchange their numbers, by way of a third, in one transaction."""
    pair = session.pick(session.tests, 2)
    found = [
        row[0]
        for row in cursor.execute(
            "select id from well_tests where mod(id, 1000000000) = any(%s) order by id", [pair]
        ).fetchall()
    ]
    if len(found) < 2:
        return 0
    for old, new in ((found[0], -1), (found[1], found[0]), (-1, found[1])):
        cursor.execute("update well_tests set id = %s where id = %s", [new, old])
    return session.did("well_tests renumbered", 3)


def remark_wells(session: Session, cursor: psycopg.Cursor, count: int) -> int:
    cursor.execute(
        "update wells set updated_at = clock_timestamp() where well_id = any(%s)",
        [list(session.random.choice(session.wells, min(count, 5)))],
    )
    return session.did("wells updated", cursor.rowcount)


# How often each is done. HEAVY is for trials; CALM changes published figures only now and then.
CALM: dict[Action, float] = {
    open_orders: 20, drop_old_orders: 16, progress_orders: 30, annotate_ledger: 12, accrue: 4, remark_events: 10,
    reissue_tickets: 6, renumber_tickets: 0.3, renumber_tests: 0.02, correct_readings: 0.15, remark_wells: 0.5,
}  # fmt: skip
HEAVY: dict[Action, float] = {
    open_orders: 14, drop_old_orders: 10, progress_orders: 14, annotate_ledger: 10, accrue: 8, remark_events: 8,
    reissue_tickets: 8, renumber_tickets: 3, renumber_tests: 3, swap_tests: 1, correct_readings: 8,
    note_pressures: 12, remark_wells: 1,
}  # fmt: skip


def burst(session: Session, rows: int, mix: dict[Action, float]) -> int:
    """Write about `rows` rows in a few transactions, some of which overlap: the first to begin commits last."""
    actions, weights = list(mix), np.array(list(mix.values()), dtype=float)
    done = 0
    while done < rows:
        size = int(min(rows - done, session.random.integers(1, 26)))
        action = actions[session.random.choice(len(actions), p=weights / weights.sum())]
        with session.first.cursor() as cursor:
            done += action(session, cursor, size)
            if session.random.random() < 0.2:
                done += _meanwhile(session, size)
                done += remark_wells(session, cursor, 1)
        session.first.commit()
    return done


def _meanwhile(session: Session, size: int) -> int:
    """A short transaction of the second connection, in a table that the open one does not lock."""
    with session.second.cursor() as cursor:
        cursor.execute(
            "update well_test_details set remarks = %s where well_test_id in (select well_test_id"
            " from well_test_details where mod(well_test_id, 1000000000) = any(%s) for update skip locked)",
            [sentence(session.random), session.pick(session.tests, max(size // 2, 1))],
        )
        rows = session.did("well_test_details updated", cursor.rowcount)
    session.second.commit()
    return rows


def add_column(dsn: str) -> str | None:
    """Add the next column of `NEW_COLUMNS` that is not there yet; its name, or none when all are."""
    with psycopg.connect(dsn) as connection:
        for table, column, definition in NEW_COLUMNS:
            names = connection.execute(f"select * from {table} limit 0").description
            if column not in {name.name for name in names}:
                connection.execute(f"set lock_timeout = '5s'; alter table {table} add column {column} {definition}")
                return f"{table}.{column}"
    return None


def churn(
    dsn: str,
    rows_per_s: float,
    seconds: float,
    seed: int = 1,
    mix: dict[Action, float] | None = None,
    stop: Event | None = None,
) -> Counter:
    """Change the database at `rows_per_s` for `seconds`, or until `stop` is set; what was written, by kind.

    The same seed on the same database chooses the same rows; a burst that falls behind catches up.
    """
    random, written, stop = np.random.default_rng(seed), Counter(), stop or Event()
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        session = Session(first, second, random, written)
        started, done = time.monotonic(), 0
        while not stop.is_set() and (elapsed := time.monotonic() - started) < seconds:
            due = int(rows_per_s * elapsed) - done
            if due > 0:
                done += burst(session, due, mix or HEAVY)
            stop.wait(TICK_S)
    return written
