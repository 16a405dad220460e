"""The stores come up, come back, keep to loopback, and survive an unclean end."""

import os
import signal
import time

import psutil
import pytest

from include.settings import postgres_dsn
from stack import leftovers, seaweed, supervisor, testing
from stack.services import SERVICES

pytestmark = pytest.mark.platform
LAKE = ("seaweedfs", "postgres", "recover")


@pytest.fixture(scope="module")
def lake(lake_platform):
    testing.start(LAKE)
    return lake_platform


def wait_until(is_true, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def pid_of(name: str) -> int:
    return leftovers.recorded(name).leader


def test_each_role_logs_in_to_its_own_database_alone(lake):
    import psycopg

    own = (("airflow", "airflow"), ("hnai", "hnai"), ("fieldops", "fieldops"), ("mes", "mes"))
    for role, database in (*own, ("cdc", "fieldops"), ("cdc", "mes")):
        with psycopg.connect(postgres_dsn(role, database)) as connection:
            assert connection.execute("select current_user").fetchone() == (role,)
    for role, database in (("cdc", "airflow"), ("fieldops", "hnai"), ("hnai", "postgres"), ("mes", "fieldops")):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(postgres_dsn(role, database))


@pytest.mark.parametrize("source", ["fieldops", "mes"])
def test_the_source_is_ready_for_change_capture(lake, source):
    import psycopg

    with psycopg.connect(postgres_dsn(source, source), autocommit=True) as application:
        application.execute("create table captured_trial (id int primary key)")
        try:
            with psycopg.connect(postgres_dsn("cdc", source)) as capture:
                assert capture.execute("show wal_level").fetchone() == ("logical",)
                assert capture.execute("show fsync").fetchone() == ("on",)
                assert capture.execute("select count(*) from captured_trial").fetchone() == (0,)
                capture.execute("create table hnai.trial (id int)")
                capture.rollback()
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    capture.execute("insert into captured_trial values (1)")
        finally:
            application.execute("drop table captured_trial")


def test_everything_listens_on_loopback_alone(lake):
    ours = {pid for name in LAKE if (session := leftovers.recorded(name)) for pid in session.members()}
    listening = [one for one in psutil.net_connections("inet") if one.pid in ours and one.status == psutil.CONN_LISTEN]

    assert listening
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    declared = {port for name in LAKE for port in SERVICES[name].ports().values()}
    assert {one.laddr.port for one in listening} == declared


@pytest.mark.parametrize("name", ["postgres", "seaweedfs"])
def test_a_killed_store_comes_back_by_itself(lake, name):
    before = pid_of(name)
    os.kill(before, signal.SIGKILL)

    wait_until(lambda: pid_of(name) != before and SERVICES[name].is_healthy() is None)

    assert SERVICES[name].is_healthy() is None


def test_a_catalog_that_came_back_counts_as_healthy_only_once_recovered(lake):
    before = pid_of("seaweedfs")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: pid_of("seaweedfs") != before and seaweed.is_healthy() is None)

    wait_until(lambda: SERVICES["recover"].is_healthy() is None)
    assert (lake / "run" / "recovered").read_text().strip() == str(leftovers.recorded("seaweedfs"))


def test_a_start_after_the_supervisor_was_killed_cleans_up(lake):
    before = pid_of("postgres")
    os.kill(int(supervisor.PIDFILE.read_text()), signal.SIGKILL)
    wait_until(lambda: not supervisor.is_running())
    assert leftovers.recorded("postgres").is_led(), "the services outlive their supervisor"

    testing.start(LAKE)

    assert pid_of("postgres") != before
    assert all(SERVICES[name].is_healthy() is None for name in LAKE)


def test_a_second_start_changes_nothing(lake):
    before = {name: pid_of(name) for name in LAKE}
    begun = time.monotonic()

    testing.start(LAKE)

    assert {name: pid_of(name) for name in LAKE} == before
    assert time.monotonic() - begun < 5
