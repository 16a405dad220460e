"""Keep the operator alive: people work in the field database, contract days end, partner files arrive.

    python -m demo.simulate --rows-per-s 2

A service: SIGTERM ends it after the transaction in hand, a database that goes away is waited for. Most of what it
writes changes no published figure; about every five minutes a recent reading is corrected by a hair, as in life.
"""

import argparse
import logging
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Event

import psycopg

from demo.churn import CALM, HEAVY, add_column, churn
from demo.load import catch_up, deliver, fieldops_dsn, flow_computer_inbox, remembered, write_truth
from demo.operator import operate
from include.errors import MissingSecret

log = logging.getLogger("demo.simulate")
ROUND_S = 20.0  # between two looks at the clock
TELL_EVERY_S = 300.0
LONGEST_WAIT_S = 30.0
REPORTING_LAG = timedelta(minutes=15)  # people need some minutes after a contract day to type it in


def keep_alive(rows_per_s: float, new_column_every_s: float, is_heavy: bool, seed: int, stop: Event) -> None:
    """Work round by round until `stop` is set; after an error of the database wait 1, 2, 4 … 30 s and go on."""
    written, rounds, wait_s, is_away = Counter(), 0, 1.0, False
    told_at = column_at = time.monotonic()
    while not stop.is_set():
        rounds += 1
        try:
            dsn = fieldops_dsn()
            known = remembered(dsn)
            if is_away:
                log.info("The field database answers again")
                is_away = False
            if known is None:
                log.info("The field database is empty; waiting for: python -m demo.load")
                stop.wait(LONGEST_WAIT_S)
                continue
            end_days(dsn, datetime.now(UTC) - REPORTING_LAG)
            if new_column_every_s and time.monotonic() - column_at > new_column_every_s:
                column_at = time.monotonic()
                if name := add_column(dsn):
                    log.info("Added the column %s", name)
            written += churn(dsn, rows_per_s, ROUND_S, seed + rounds, HEAVY if is_heavy else CALM, stop)
            wait_s = 1.0
        except (psycopg.Error, MissingSecret) as error:
            is_away = True
            log.warning(
                "The field database cannot be used (%s); trying again in %.0f s",
                str(error).strip().splitlines()[0],
                wait_s,
            )
            stop.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        if time.monotonic() - told_at > TELL_EVERY_S:
            log.info(
                "Rows written since the last line: %s",
                ", ".join(f"{what} {n}" for what, n in sorted(written.items())) or "none",
            )
            written, told_at = Counter(), time.monotonic()
    log.info("Stopped")


def end_days(dsn: str, as_of: datetime) -> None:
    """When a contract day has ended: its rows, its partner files, its truth."""
    if added := catch_up(dsn, as_of):
        log.info("A contract day ended: %s", ", ".join(f"{n} {table}" for table, n in added.items()))
        config, at = remembered(dsn)
        operator = operate(config, at)
        log.info("%d partner files dropped", len(deliver(dsn, operator, flow_computer_inbox())))
        write_truth(operator)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.simulate", description="Keep the demo operator alive until SIGTERM."
    )
    parser.add_argument("--rows-per-s", type=float, default=2.0, help="changed rows a second (default 2)")
    parser.add_argument(
        "--new-column-every-h", type=float, default=6.0, help="hours between new columns, three at most; 0 for none"
    )
    parser.add_argument(
        "--heavy", action="store_true", help="the mix of the trials: also many late corrections and key changes"
    )
    parser.add_argument("--seed", type=int, help="choose the same rows again; default from the clock")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("Changing about %g rows a second", chosen.rows_per_s)
    seed = chosen.seed if chosen.seed is not None else int(time.time())
    keep_alive(chosen.rows_per_s, chosen.new_column_every_h * 3600, chosen.heavy, seed, stop)


if __name__ == "__main__":
    main()
