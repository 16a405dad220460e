"""Kafka Connect and Kafka killed under load, offsets lost, a lakehouse that goes on from the embedded worker."""

import threading
import time

import pytest

from include.errors import LandingError
from tests.cluster.connect_trial import ConnectTrial, kill_service
from tests.land_cdc.test_crash import churn, die_in_a_full_load

pytestmark = [pytest.mark.platform, pytest.mark.torture]


def differing_repeats(trial: ConnectTrial, table: str) -> int:
    """How many rows came more than once and were not the same each time. Repeats themselves are allowed."""
    rows = trial.rows(table, "_epoch, _commit_lsn, _seq, _lsn, _op, id, v, n", "_op <> 'r'")
    return len(set(rows)) - len({row[:3] for row in rows})


@pytest.mark.parametrize("service", ["connect", "kafka"])
def test_a_service_killed_under_churn_loses_nothing_and_what_comes_twice_is_the_same(trial, service):
    table = f"churned_{service}"
    trial.make(table, "id bigint primary key, v text, n numeric(18, 4)")
    stop = threading.Event()
    writer = threading.Thread(target=churn, args=(trial.dsn, table, stop, 1, 0.3))
    writer.start()
    try:
        for _ in range(2):
            time.sleep(4)
            kill_service(service)
            _await_running()
        assert trial.differences(table) == []  # while the source keeps changing
    finally:
        stop.set()
        writer.join()
    trial.settle(timeout=240)

    assert trial.differences(table) == []
    assert differing_repeats(trial, table) == 0


def test_a_full_load_goes_on_after_its_own_death_and_through_connect_s_while_the_stream_runs(trial, monkeypatch):
    from include.land import connect, full_load

    copy, is_killed = full_load._Job.copy, threading.Event()

    def copy_without_connect(job, *of):
        if not is_killed.is_set():
            is_killed.set()
            kill_service("connect")
        return copy(job, *of)

    trial.db.execute("create table loaded (id int primary key, v text, n numeric(18, 4))")
    trial.db.execute("insert into loaded select g, repeat('v', 60) || g, g / 7.0 from generate_series(1, 400000) g")
    trial.declare("loaded")
    connect.register_connector("trial")
    stop = threading.Event()
    writer = threading.Thread(target=churn, args=(trial.dsn, "loaded", stop, 9, 0.1))
    writer.start()
    try:
        die_in_a_full_load(trial, "loaded")
        assert trial.rows("loaded", "_op", "_op = 'r'") == []  # no half of it is visible
        monkeypatch.setattr(full_load._Job, "copy", copy_without_connect)
        assert full_load.load_table("trial", "loaded").chunks_reused >= 2
        assert is_killed.is_set()
        _await_running()
    finally:
        stop.set()
        writer.join()
    trial.settle(timeout=240)

    assert trial.differences("loaded") == []
    assert differing_repeats(trial, "loaded") == 0
    read = trial.rows("loaded", "id", "_op = 'r'")
    assert len(read) == len(set(read)) >= 390_000


def test_lost_offsets_stop_the_sink_and_the_next_run_begins_a_new_epoch(trial):
    from include.land import connect

    trial.make("forgotten", "id int primary key, v text")
    trial.db.execute("insert into forgotten values (1, 'stays'), (2, 'goes')")
    trial.settle()
    before = connect.landed_position("trial")
    connect._call("PUT", "/connectors/trial/stop")
    _await(lambda: not connect.lag("trial")["is_active"])
    connect._call("DELETE", "/connectors/trial/offsets")
    connect._call("PUT", "/connectors/trial/resume")
    trial.db.execute("delete from forgotten where id = 2")

    def has_failed() -> bool:
        try:
            connect.running("trial")
        except LandingError as error:
            return "offsets were lost" in str(error)
        return False

    _await(has_failed)
    assert connect.landed_position("trial")["epoch"] == before["epoch"]  # nothing of it is taken for landed

    done = trial.land()
    trial.db.execute("insert into forgotten values (3, 'streams')")
    trial.settle()

    assert "forgotten" in [loaded["table"] for loaded in done["loaded"]]
    assert connect.landed_position("trial")["epoch"] == before["epoch"] + 1
    assert trial.latest("forgotten", "id, v") == [(1, "stays"), (3, "streams")]
    assert trial.differences() == []


def test_a_slot_of_another_runtime_is_not_gone_on_with(trial):
    """What the embedded worker left, and what an older Kafka did: a stream that this Kafka knows nothing of."""
    from include import lakehouse
    from include.land import connect
    from include.land.source_setup import RUNTIME

    trial.make("moved", "id int primary key, v text")
    trial.db.execute("insert into moved values (1, 'a')")
    trial.settle()
    before = connect.landed_position("trial")
    connect.delete("trial")
    tx = lakehouse.table("raw.trial__heartbeat").transaction()
    tx.set_properties(**{RUNTIME: ""})  # as the embedded worker's registration leaves it
    tx.commit_transaction()
    trial.db.execute("update moved set v = 'b'")

    done = trial.land()
    trial.db.execute("insert into moved values (2, 'c')")
    trial.settle()

    assert ("moved", "the replication slot is new") in [(d["table"], d["reason"]) for d in done["loaded"]]
    assert connect.landed_position("trial")["epoch"] == before["epoch"] + 1
    assert trial.latest("moved", "id, v") == [(1, "b"), (2, "c")]
    assert trial.differences() == []


def test_a_heartbeat_of_an_unfinished_round_of_commits_proves_nothing(trial, monkeypatch):
    from include.land import connect, kafka

    trial.settle()
    reached = connect.landed_position("trial")
    done = kafka.committed_up_to("trial", reached["epoch"])

    monkeypatch.setattr(kafka, "committed_up_to", lambda source, epoch: 0)
    assert connect.landed_position("trial") is None
    monkeypatch.setattr(kafka, "committed_up_to", lambda source, epoch: done)
    assert connect.landed_position("trial")["commit_lsn"] >= reached["commit_lsn"]


def _await_running() -> None:
    """Until both connectors run; a task that failed while Kafka was away is started again, as the DAG does."""
    from include.land import connect
    from stack.cluster import kafka

    def runs() -> bool:
        if kafka.is_healthy():
            return False
        try:
            connect.restart_failed("trial")
            connect.running("trial")
        except LandingError:
            return False
        return True

    _await(runs)


def _await(is_so, timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.5)
