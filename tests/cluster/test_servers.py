"""Kafka, Connect and Trino come up, keep to loopback, come back, and go in an order in which none hangs."""

import os
import signal
import time

import psutil
import pytest

from include.settings import settings
from stack import leftovers, supervisor
from stack.services import LAKE, PLATFORM, SERVICES
from stack.status import table

pytestmark = [pytest.mark.platform, pytest.mark.torture]
SERVERS = ("kafka", "connect", "trino")


@pytest.fixture(scope="module")
def servers(cluster):
    cluster.start(("seaweedfs", "postgres", "recover", *SERVERS))


def wait_until(is_true, seconds: float = 420) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)


def pid_of(name: str) -> int:
    return leftovers.recorded(name).leader


def trino_value(query: str) -> object:
    from trino.dbapi import connect

    with connect(host=settings.host, port=settings.port("trino"), user=settings.cluster.trino_user) as connection:
        row = connection.cursor().execute(query).fetchone()
    return row and row[0]


def test_the_platform_of_this_profile_has_the_servers_in_place_of_the_embedded_worker():
    assert set(SERVERS) < set(PLATFORM)
    assert "nessie" not in PLATFORM
    assert "include.land.worker" not in " ".join(SERVICES["connect"].command())


def test_every_server_listens_on_loopback_alone_and_on_the_ports_it_names(servers):
    ours = {pid for name in SERVERS for pid in leftovers.recorded(name).members()}
    listening = [one for one in psutil.net_connections("inet") if one.pid in ours and one.status == psutil.CONN_LISTEN]

    assert {one.laddr.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}
    assert {one.laddr.port for one in listening} == {port for n in SERVERS for port in SERVICES[n].ports().values()}


def test_no_command_line_and_no_configuration_file_holds_a_secret(servers):
    secrets = [path.read_text().strip() for path in settings.secrets_dir.iterdir()]
    seen = [" ".join(psutil.Process(pid).cmdline()) for n in SERVERS for pid in leftovers.recorded(n).members()]
    seen.append((settings.state_dir / "connect" / "worker.properties").read_text())

    assert len(secrets) > 10
    assert not [True for text in seen for secret in secrets if secret in text]


def test_trino_reads_and_writes_the_lakehouse_in_format_2(servers):
    trino_value("create schema if not exists lakehouse.trial")
    trino_value("create table lakehouse.trial.n as select * from tpch.tiny.nation")
    try:
        assert trino_value("select count(*) from lakehouse.trial.n") == 25
        assert "format_version = 2" in trino_value("show create table lakehouse.trial.n")
    finally:
        trino_value("drop table lakehouse.trial.n")
        trino_value("drop schema lakehouse.trial")


def test_connect_offers_debezium_the_sink_and_our_transforms(servers):
    import requests

    plugins = requests.get(f"{settings.connect_uri}/connector-plugins?connectorsOnly=false", timeout=30).json()

    classes = {plugin["class"] for plugin in plugins}
    assert "io.debezium.connector.postgresql.PostgresConnector" in classes
    assert "org.apache.iceberg.connect.IcebergSinkConnector" in classes
    assert any("hnai" in name for name in classes)


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_comes_back_by_itself(servers, name):
    before = pid_of(name)
    os.kill(before, signal.SIGKILL)

    wait_until(lambda: pid_of(name) != before and SERVICES[name].is_healthy() is None)
    assert all(SERVICES[other].is_healthy() is None for other in SERVERS)


def test_status_names_the_servers_and_their_ports(servers):
    text, _ = table()

    lines = {line.split()[0]: line.split()[1:3] for line in text.splitlines()[1:] if line[0] != " "}
    assert [lines[name] for name in SERVERS] == [["healthy", str(settings.port(name))] for name in SERVERS]
    assert "nessie" not in LAKE  # of the settings; another test may have begun it


def test_after_stop_no_server_is_left_and_none_had_to_be_killed(servers, cluster):
    sessions = {name: leftovers.recorded(name) for name in SERVERS}
    begun = time.monotonic()

    cluster.stop()

    assert not [name for name, session in sessions.items() if session.members()]
    assert not supervisor.is_running()
    assert time.monotonic() - begun < min(SERVICES[name].grace_s for name in ("kafka", "connect"))
