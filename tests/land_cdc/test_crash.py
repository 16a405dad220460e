"""Killed at any instant, started again: no row lost, none twice. Source and raw must agree to the last digit."""

import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from include.errors import LandingError
from stack.leftovers import recorded

pytestmark = pytest.mark.platform


def churn(dsn: str, table: str, stop: threading.Event, seed: int = 1, pause_s: float = 0.01) -> None:
    """Insert, update, delete and re-key rows in small transactions until told to stop."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        step = 0
        while not stop.is_set():
            step += 1
            n = seed * 1_000_000 + step
            with connection.transaction():
                connection.execute(
                    f"insert into {table} select {n} * 100 + g, 'v' || g, {step} / 7.0 from generate_series(1, 10) g"
                )
                connection.execute(f"update {table} set n = n + 0.01 where id % 7 = {step % 7} and id / 100 > {n} - 20")
                connection.execute(f"delete from {table} where id % 11 = {step % 11} and id / 100 > {n} - 20")
                connection.execute(f"update {table} set id = -id where id % 13 = 0 and id / 100 = {n}")
            time.sleep(pause_s)


def no_row_twice(trial, table: str) -> bool:
    positions = trial.rows(table, "_epoch, _commit_lsn, _seq", "_op <> 'r'")
    return len(positions) == len(set(positions))


def die_in_a_full_load(trial, table: str) -> None:
    """Load a table in chunks of 100,000 rows, in a process that dies when two of them are read."""
    code = (
        "import os; from tests.land_cdc import worker_on; from include.land import full_load\n"
        "full_load.CHUNK_ROWS = 100_000\n"
        "copy, done = full_load._Job.copy, []\n"
        "def dying(self, *args):\n"
        "    if len(done) == 2: os._exit(9)\n"
        "    path = copy(self, *args); done.append(1); return path\n"
        "full_load._Job.copy = dying\n"
        f"full_load.load_table('trial', {table!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(trial._models)], check=False)
    assert killed.returncode == 9


def test_a_worker_killed_under_churn_loses_nothing_and_lands_nothing_twice(trial):
    trial.make("churned", "id bigint primary key, v text, n numeric(18, 4)")
    stop = threading.Event()
    writer = threading.Thread(target=churn, args=(trial.dsn, "churned", stop))
    writer.start()
    try:
        for _ in range(2):
            time.sleep(3)
            trial.kill_worker()
            trial.start_worker()
            trial.wait_running()
        time.sleep(2)
        assert trial.differences("churned") == []  # while the source keeps changing
    finally:
        stop.set()
        writer.join()
    trial.settle()

    assert trial.differences("churned") == []
    assert no_row_twice(trial, "churned")


def test_a_catalog_killed_under_churn_loses_nothing_and_takes_nothing_twice(trial):
    trial.make("mirrored", "id bigint primary key, v text, n numeric(18, 4)")
    trial.make("beside", "id bigint primary key, v text, n numeric(18, 4)")
    stop = threading.Event()
    writers = [threading.Thread(target=churn, args=(trial.dsn, table, stop)) for table in ("mirrored", "beside")]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            time.sleep(2.5)
            for pid in recorded("seaweedfs").members():
                os.kill(pid, signal.SIGKILL)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    _await_catalog()
    trial.settle(timeout=180)

    assert trial.differences("mirrored", "beside") == []
    assert no_row_twice(trial, "mirrored") and no_row_twice(trial, "beside")


@pytest.mark.parametrize("rows", [100_000, pytest.param(1_000_000, marks=pytest.mark.torture)])
def test_a_large_transaction_killed_half_way_lands_whole(trial, rows):
    table = f"large_{rows}"
    trial.make(table, "id int primary key, v text, n numeric(18, 4)")
    with trial.db.transaction():
        trial.db.execute(f"insert into {table} select g, 'v' || g, g / 7.0 from generate_series(1, {rows}) g")
        trial.db.execute(f"update {table} set v = 'again' where id % 10 = 0")
    spool = _spool(trial)
    deadline = time.monotonic() + 120
    while not any(f.stat().st_size for f in spool.glob("*.arrow")):  # it is in the middle of it now
        assert time.monotonic() < deadline
        time.sleep(0.05)
    trial.kill_worker()
    assert trial.rows(table, "_op") == []  # nothing of it is visible
    trial.start_worker()
    trial.settle(timeout=300)

    landed = trial.rows(table, "_commit_lsn, _seq")
    assert len(landed) == len(set(landed)) == rows + rows // 10
    assert len({lsn for lsn, _ in landed}) == 1
    assert trial.differences(table) == []


def test_a_full_load_killed_half_way_goes_on_while_the_stream_runs(trial):
    trial.db.execute("create table loaded (id int primary key, v text, n numeric(18, 4))")
    trial.db.execute("insert into loaded select g, repeat('v', 60) || g, g / 7.0 from generate_series(1, 400000) g")
    trial.declare("loaded", ["id"])
    from include.land.connect import register_connector

    register_connector("trial")
    stop = threading.Event()
    writer = threading.Thread(target=churn, args=(trial.dsn, "loaded", stop, 9))
    writer.start()
    try:
        die_in_a_full_load(trial, "loaded")
        from include.land import full_load

        assert trial.rows("loaded", "_op", "_op = 'r'") == []  # no half of it is visible
        done = full_load.load_table("trial", "loaded")
        assert done.chunks_reused >= 2
    finally:
        stop.set()
        writer.join()
    trial.settle()

    assert trial.differences("loaded") == []
    assert no_row_twice(trial, "loaded")
    loaded = trial.rows("loaded", "id", "_op = 'r'")
    assert len(loaded) == len(set(loaded)) >= 390_000


def test_pause_and_resume_lose_nothing_and_a_paused_stream_is_named(trial):
    from include.land import connect

    trial.make("paused", "id int primary key")
    connect.pause("trial")
    trial.db.execute("insert into paused values (1)")
    try:
        with pytest.raises(LandingError, match="PAUSED"):
            connect.wait_until("trial", connect.source_position("trial"), timeout=1)
        assert connect.lag("trial")["is_active"] is False
    finally:
        connect.resume("trial")
    trial.settle()

    assert trial.rows("paused", "id, _op") == [(1, "c")]


def test_a_lost_slot_begins_a_new_epoch_that_loads_every_table_again(trial):
    from include.land import connect

    trial.make("orphaned", "id int primary key, v text")
    trial.db.execute("insert into orphaned values (1, 'stays'), (2, 'goes')")
    trial.settle()
    before = connect.landed_position("trial")
    connect.pause("trial")
    slot = connect.lag("trial")["slot"]
    with psycopg.connect(_superuser_dsn(), autocommit=True) as connection:
        connection.execute("select pg_drop_replication_slot(%s)", [slot])
    trial.db.execute("delete from orphaned where id = 2")  # nobody will ever tell of this
    trial.db.execute("insert into orphaned values (3, 'comes')")

    done = trial.land()
    connect.resume("trial")
    trial.db.execute("insert into orphaned values (4, 'streams')")
    trial.settle()

    assert "orphaned" in [loaded["table"] for loaded in done["loaded"]]
    assert connect.landed_position("trial")["epoch"] == before["epoch"] + 1
    assert trial.latest("orphaned", "id, v") == [(1, "stays"), (3, "comes"), (4, "streams")]
    assert trial.differences() == []


def _await_catalog() -> None:
    """The supervisor starts it again; it counts once a namespace call answers."""
    from stack import seaweed

    deadline = time.monotonic() + 120
    while reason := seaweed.is_healthy():
        assert time.monotonic() < deadline, reason
        time.sleep(0.5)


def _spool(trial):
    from include.settings import settings

    return settings.state_dir / "connect" / "spool" / "trial"


def _superuser_dsn() -> str:
    from include.settings import postgres_dsn

    return postgres_dsn("postgres", "trial")
