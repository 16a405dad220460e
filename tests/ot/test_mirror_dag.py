"""What wakes `mirror_ot`, how often, and what its tasks say of themselves."""

import asyncio
import os
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import psycopg
import pytest

from include.errors import SpoolError
from include.ops.lease import hold
from include.ot.waiting import LEASE, Waiting, Watch
from include.settings import postgres_dsn
from tests.ot.lake_trial import empty_spool, readings

# Before Airflow is imported, unless its own tests have done so.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="hnai-airflow-"))
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
os.environ.setdefault("AIRFLOW__OPENLINEAGE__DISABLED", "True")

from airflow.triggers.base import BaseEventTrigger

from plugins.operators import ot
from plugins.triggers import sealed_segments
from plugins.triggers.sealed_segments import SealedSegmentsTrigger

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
IDLE = Waiting(7, 0, False)


def waiting(after: int, drained: bool = False) -> Waiting:
    return Waiting(after, 3, drained)


class Looks:
    """What a watch finds, look by look; the trial ends with the last one."""

    def __init__(self, found: list[Waiting | Exception]) -> None:
        self.found, self.threads, self.is_closed = iter(found), set(), False

    def look(self) -> Waiting:
        self.threads.add(threading.get_ident())
        one = next(self.found, None)
        if one is None:
            raise asyncio.CancelledError
        if isinstance(one, Exception):
            raise one
        return one

    def close(self) -> None:
        self.is_closed = True


def fired(monkeypatch, looks: Looks, quiet_s: float = 0.0, pause_s: float = 1e9) -> list[int]:
    """After which segment each event of the trigger came."""
    monkeypatch.setattr(sealed_segments, "_watch", lambda: looks)
    events = []

    async def watch() -> None:
        async for event in SealedSegmentsTrigger(every_s=0, quiet_s=quiet_s, pause_s=pause_s).run():
            events.append(event.payload["after"])

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch())
    return events


@pytest.mark.parametrize(
    ("found", "events"),
    [
        ([IDLE, IDLE], []),
        ([IDLE, waiting(7), waiting(7), waiting(7)], [7]),  # a run is on its way
        ([waiting(7), waiting(7, drained=True), waiting(9, drained=True), IDLE], [7]),
        ([waiting(7), waiting(8, drained=True), waiting(20), waiting(20)], [7, 20]),  # that run has ended
        ([waiting(7, drained=True), waiting(7)], [7]),  # it was killed before it committed anything
        ([waiting(0)], [0]),  # the first segment ever
    ],
)
def test_a_run_is_woken_once_for_what_waits(monkeypatch, found, events):
    assert fired(monkeypatch, Looks(found)) == events


def test_where_no_segment_gets_in_it_is_tried_again_after_a_while(monkeypatch):
    assert fired(monkeypatch, Looks([waiting(7)] * 4), pause_s=0) == [7] * 4


def test_between_two_drains_nobody_is_woken_but_after_silence_at_once(monkeypatch):
    just_ended = [waiting(7), waiting(8, drained=True), waiting(9), waiting(9)]

    assert fired(monkeypatch, Looks(just_ended), quiet_s=1e9) == [7]
    assert fired(monkeypatch, Looks(just_ended), quiet_s=0) == [7, 9]


def test_neither_spool_nor_database_stop_the_watching(monkeypatch):
    trouble = [
        SpoolError("The index cannot be used now"),
        psycopg.OperationalError("connection refused"),
        OSError("gone"),
    ]

    assert fired(monkeypatch, Looks([*trouble, *trouble, waiting(7)])) == [7]


def test_the_triggerers_loop_never_waits_for_a_look(monkeypatch):
    looks = Looks([IDLE, waiting(7)])
    fired(monkeypatch, looks)

    assert threading.get_ident() not in looks.threads
    assert looks.is_closed


def test_airflow_can_store_the_trigger_and_make_it_again():
    from airflow._shared.module_loading import import_string

    name, arguments = SealedSegmentsTrigger(every_s=2.0, quiet_s=5.0, pause_s=30.0).serialize()
    again = import_string(name)(**arguments)

    assert isinstance(again, BaseEventTrigger)
    assert again.serialize() == (name, arguments)
    assert BaseEventTrigger.hash(name, arguments) == BaseEventTrigger.hash(*again.serialize())


def test_where_no_recorder_ran_yet_nothing_waits(tmp_path):
    assert Watch(tmp_path / "nowhere").look() == Waiting(0, 0, False)  # and no database is asked


@pytest.fixture
def spool(lake_platform, tmp_path):
    yield from empty_spool(tmp_path / "spool")


@pytest.mark.platform
def test_what_waits_and_whether_somebody_drains_is_seen(spool):
    watch = Watch(spool.folder)
    assert watch.look().segments == 0
    spool.seal(readings(3, NOON))
    spool.seal(readings(3, NOON + timedelta(minutes=1)))

    assert watch.look() == Waiting(0, 2, False)
    with hold(LEASE, "a run"):
        assert watch.look() == Waiting(0, 2, True)
    assert watch.look() == Waiting(0, 2, False)
    spool.drain()
    assert watch.look() == Waiting(2, 0, False)
    watch.close()


@pytest.mark.platform
def test_a_database_session_that_broke_is_replaced(spool):
    spool.seal(readings(3, NOON))
    watch = Watch(spool.folder)
    watch.look()
    with psycopg.connect(postgres_dsn("hnai", "hnai"), autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mirror_ot watcher'"
        )

    with pytest.raises(psycopg.Error):
        watch.look()
    assert watch.look() == Waiting(0, 1, False)
    watch.close()


def context(**more) -> dict:
    run = SimpleNamespace(dag_id="mirror_ot", run_id="asset__1", run_after=NOON)
    return {"dag_run": run, "ti": SimpleNamespace(try_number=2), **more}


def names(datasets) -> set[str]:
    return {f"{one.namespace} {one.name}" for one in datasets}


def test_lineage_goes_from_spool_and_history_to_the_tables(monkeypatch):
    asked = []
    done = SimpleNamespace(rows=12, figures=lambda: {"rows": 12})
    monkeypatch.setattr("include.ot.mirror.drain", lambda *given: asked.append(given) or done)
    drain = ot.DrainOperator(task_id="drain")
    filled = SimpleNamespace(recovered=5, filled=1, lost=0, left=0)
    monkeypatch.setattr("include.ot.backfill.backfill", lambda *given, **_: asked.append(given) or filled)
    backfill = ot.BackfillOperator(task_id="backfill", gap={"gap_id": "g1", "source": "field_scada", "name": "a gap"})

    assert drain.execute(context()) == {"rows": 12}
    given = context()
    assert backfill.execute(given) == {"recovered": 5, "filled": 1, "lost": 0, "left": 0}

    assert asked == [("mirror_ot.asset__1", 2), ("g1", "mirror_ot.asset__1", 2)]
    assert given["gap_name"] == "a gap"
    told = drain.get_openlineage_facets_on_complete(SimpleNamespace())
    assert names(told.inputs) == {"file://spool ot/segments"}
    assert names(told.outputs) == {"iceberg://lakehouse ot.readings", "iceberg://lakehouse ot.gaps"}
    assert told.outputs[0].outputFacets["outputStatistics"].rowCount == 12
    told = backfill.get_openlineage_facets_on_complete(SimpleNamespace())
    assert names(told.inputs) == {"opcua://field_scada history"}


def test_a_gap_becomes_a_task_that_can_be_told_from_others(monkeypatch):
    from include.ot.gaps import OpenGap

    one = OpenGap("g1", "field_scada", "queue_overflow", NOON, NOON + timedelta(minutes=5), ("T0", "T1"))
    monkeypatch.setattr("include.ot.gaps.due", lambda at, limit: [one])

    (found,) = ot.OpenGapsOperator(task_id="open_gaps").execute(context())

    assert (found["gap_id"], found["source"], found["tag_ids"]) == ("g1", "field_scada", 2)
    assert found["name"] == "field_scada queue_overflow 2026-11-24 12:00:00 to 2026-11-24 12:05:00"


def test_silence_is_measured_at_the_time_of_the_run(monkeypatch):
    from include.ot.health import Looked

    asked = []
    found = Looked(NOON, hours=2, tags=3, stale=1, undeclared=("X",))
    monkeypatch.setattr("include.ot.health.update", lambda as_of: asked.append(as_of) or found)

    done = ot.TagHealthOperator(task_id="tag_health").execute(context())

    assert asked == [NOON]
    assert done == {"tags": 3, "hours": 2, "stale": 1, "undeclared": 1}
