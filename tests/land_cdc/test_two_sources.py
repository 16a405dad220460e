"""Two databases on one worker: the plant's MES beside another source, each with a slot and troubles of its own."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import psycopg
import pytest
import yaml

from demo import plant
from demo.plant_line import SEED
from demo.plant_mes import Plant
from include.settings import ROOT, postgres_dsn, settings
from tests.land_cdc.trial import Trial

pytestmark = pytest.mark.platform

MES = "mes_trial"
DECLARED = ROOT / "dbt" / "models" / "factorypack" / "staging" / "mes" / "_mes__sources.yml"
NOON = datetime(2026, 6, 10, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def mes(trial: Trial) -> Iterator[str]:
    """The plant's MES of two days, declared as the repository does but for its name, and landed once; its address."""
    from include.land import connect
    from include.land.schema_check import check_source

    dsn = _make_database()
    plant.fill(dsn, Plant(SEED, (NOON - 48 * HOUR).date()), NOON)
    (source,) = yaml.safe_load(DECLARED.read_text())["sources"]
    tables = [{**table, "identifier": f"{MES}__{table['name']}"} for table in source["tables"]]
    path = trial._models / "mespack" / "staging" / MES / f"_{MES}__sources.yml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"sources": [{**source, "name": MES, "tables": tables}]}))
    try:
        connect.register_connector(MES)
        check_source(MES)
        _wait_for("RUNNING")
        yield dsn
    finally:
        connect.delete(MES)
        path.unlink()


def _make_database() -> str:
    password = "a-password-of-the-mes"
    path = settings.secrets_dir / f"postgres_{MES}"
    path.touch(0o600)
    path.write_text(f"{password}\n")
    with psycopg.connect(postgres_dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"create role {MES} login password '{password}'")
        connection.execute(f"create database {MES} owner {MES}")
        connection.execute(f"grant connect on database {MES} to cdc")
    with psycopg.connect(postgres_dsn("postgres", MES), autocommit=True) as connection:
        connection.execute("create schema hnai authorization cdc")
        connection.execute("grant usage on schema public to cdc")
        connection.execute(f"alter default privileges for role {MES} in schema public grant select on tables to cdc")
    return postgres_dsn(MES, MES)


def _state() -> str:
    from include.errors import LandingError
    from include.land.connect import status

    try:
        return status(MES)["tasks"][0]["state"]
    except LandingError:
        return "AWAY"


def _wait_for(state: str, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while _state() != state:
        assert time.monotonic() < deadline, f"it is {_state()}, not {state}"
        time.sleep(0.3)


def differences() -> list[str]:
    from include.land.reconcile import compare_source

    found = compare_source(MES, must_match=False)
    assert len({c.table for c in found}) >= 16
    return [f"{c.table}.{c.column}: {c.source_value} / {c.raw_value}" for c in found if not c.is_equal]


def catch_up(dsn: str) -> dict[str, int]:
    """The next hour of the plant."""
    with psycopg.connect(dsn) as connection:
        (before,) = connection.execute("select as_of from demo.plant").fetchone()
    return plant.catch_up(dsn, before + HOUR)


def test_both_land_every_change_while_both_are_written_to(trial, mes):
    trial.make("side_by_side", "id int primary key, v text")
    stop, written = Event(), []

    def write() -> None:
        while not stop.is_set():
            trial.db.execute("insert into side_by_side values (%s, 'a')", [len(written)])
            trial.db.execute("update side_by_side set v = 'b' where id = %s", [len(written)])
            written.append(len(written))

    beside = Thread(target=write)
    beside.start()
    try:
        added = [catch_up(mes) for _ in range(12)]
    finally:
        stop.set()
        beside.join()

    assert sum(hour.get("serials", 0) for hour in added) > 100 and any("manual_counts" in hour for hour in added)
    assert differences() == [] and trial.differences("side_by_side") == []
    assert len(trial.latest("side_by_side", "id")) == len(written) > 20
    assert {row[0] for row in trial.latest("side_by_side", "v")} == {"b"}


def test_one_that_cannot_be_reached_does_not_hold_up_the_other_and_comes_back_by_itself(trial, mes):
    trial.make("goes_on", "id int primary key")
    with psycopg.connect(postgres_dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"alter database {MES} allow_connections false")
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [MES])
        try:
            _wait_for("FAILED")
            trial.db.execute("insert into goes_on select generate_series(1, 500)")
            trial.settle()
            assert len(trial.rows("goes_on")) == 500
        finally:
            connection.execute(f"alter database {MES} allow_connections true")

    _wait_for("RUNNING")
    assert catch_up(mes)
    assert differences() == []


def test_a_worker_that_is_killed_brings_both_back(trial, mes):
    trial.make("killed_twice", "id int primary key")
    trial.db.execute("insert into killed_twice select generate_series(1, 1000)")
    catch_up(mes)
    trial.kill_worker()
    trial.db.execute("insert into killed_twice select generate_series(1001, 2000)")
    catch_up(mes)

    trial.start_worker()
    trial.wait_running()
    _wait_for("RUNNING")

    assert differences() == [] and trial.differences("killed_twice") == []
    assert len(trial.rows("killed_twice")) == 2000
