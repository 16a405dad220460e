"""The hot store in PostgreSQL: every reading of every segment, once, whoever is away or killed meanwhile."""

import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from include.ot import hot
from include.ot.hot import HotConsumer, Part
from include.ot.hot_postgres import PostgresStore
from include.ot.reading import BAD, UNCERTAIN
from include.ot.spool import SpoolReader, SpoolWriter
from include.ot.tables import SEGMENT_SCHEMA
from include.settings import postgres_dsn, settings
from tests.ot.spool_samples import SECOND, a_gap, message, reading, until

pytestmark = pytest.mark.platform

COLUMNS = ", ".join(SEGMENT_SCHEMA.names)
DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.replace(hour=0, minute=0, second=0)


def now_reading(n: int, value=None, **other):
    """Reading `n`, of today."""
    return reading(n, value, **{"observed_at": TODAY + n * timedelta(microseconds=1), **other})


@pytest.fixture
def database(platform):
    """The hot store's database, without what other trials left."""
    platform.start(("postgres",))
    with psycopg.connect(postgres_dsn("hnai", "hnai"), autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: None)
        connection.execute("drop schema if exists ot cascade")
        yield connection


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def writer(spool):
    writer = SpoolWriter(spool)
    yield writer
    writer.close()


@pytest.fixture
def consumer(spool, database):
    consumer = HotConsumer(SpoolReader(spool))
    yield consumer
    consumer.stop(30)


def seal(writer: SpoolWriter, *messages) -> None:
    for each in messages:
        writer.add(each)
        writer.seal()


def stored(database, columns: str = "value_double", order: str = "observed_at, sequence") -> list:
    rows = database.execute(f"select {columns} from ot.readings order by {order}").fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def partitions(database) -> list[str]:
    return [
        name
        for (name,) in database.execute(
            "select relname from pg_inherits join pg_class c on c.oid = inhrelid "
            "where inhparent = to_regclass('ot.readings') and relkind = 'r' order by 1"
        )
    ]


def partition(day: datetime) -> str:
    return f"readings_{day:%Y%m%d}"


def test_a_reading_is_stored_as_it_was_sealed(writer, consumer, database, spool):
    texts = ["", "No Data", 'a "quote", a comma', "two\nlines\r\n", "\\N", "\\.", "Ölpumpe 'A' \t", "NULL", "{}"]
    numbers = [0.1, -0.0, 1e-300, 1.7976931348623157e308, 912.5, 1e16, 2.0**53, 5e-324]
    sent = [
        *(now_reading(i, text, quality=BAD) for i, text in enumerate(texts)),
        *(now_reading(20 + i, number, served_at=TODAY - 400 * 365 * DAY) for i, number in enumerate(numbers)),
        now_reading(30, True, tag_id="x, 'y'", unit=""),
        now_reading(31, False, clock="bridge", sequence=3, quality=2**32 - 1),
    ]
    seal(writer, message(1, *sent))

    consumer.take_all()

    (segment,) = SpoolReader(spool).sealed(0)
    sealed = [tuple(row.values()) for row in SpoolReader(spool).read(segment).to_pylist()]
    assert stored(database, COLUMNS, "observed_at") == sealed
    assert [row[4] for row in sealed[: len(texts)]] == texts


def test_what_postgresql_cannot_hold_does_not_stop_it(writer, consumer, database):
    seal(writer, message(1, now_reading(1, "a\x00b")), message(2, now_reading(2)))

    consumer.take_all()

    assert stored(database, "value_text") == ["a\N{REPLACEMENT CHARACTER}b", None]


def test_segments_are_taken_once_even_when_told_again(writer, consumer, spool, database):
    seal(writer, message(1, now_reading(1)), message(2, gaps=[a_gap()]), message(3, now_reading(3)))
    consumer.take_all()
    SpoolReader(spool).taken("hot", 0)  # what the spool was told is of no weight: the database knows

    other = HotConsumer(SpoolReader(spool))
    other.take_all()

    assert stored(database) == [1, 3]
    assert SpoolReader(spool).progress("hot") == 3
    assert database.execute("select number, rows, stored from ot.segments order by 1").fetchall() == [
        (1, 1, 1),
        (2, 0, 0),
        (3, 1, 1),
    ]
    assert "stored" not in other.figures()


def test_a_key_that_comes_again_keeps_its_first_value(writer, consumer, database):
    seal(writer, message(1, now_reading(1, 1.0), now_reading(1, 1.5)), message(2, now_reading(1, 2.0)))

    consumer.take_all()

    assert stored(database) == [1.0]
    assert (consumer.figures()["stored"], consumer.figures()["known_before"]) == (1, 2)


def test_late_data_goes_into_its_own_day_and_absurd_times_go_nowhere(writer, consumer, database):
    oldest = TODAY - settings.ot.hot_days * DAY
    times = [
        TODAY,
        TODAY - 5 * DAY,
        oldest,
        oldest - SECOND,
        TODAY - 400 * 365 * DAY,
        TODAY + 2 * DAY - SECOND,
        TODAY + 2 * DAY,
        *(TODAY + n * 365 * DAY for n in range(1, 1000)),
    ]
    seal(writer, message(1, *(reading(n, observed_at=at) for n, at in enumerate(times))))

    consumer.take_all()

    assert sorted(stored(database)) == [0, 1, 2, 5]
    assert partitions(database) == [partition(day) for day in (oldest, TODAY - 5 * DAY, TODAY, TODAY + DAY)]
    assert (consumer.figures()["too_old"], consumer.figures()["too_early"]) == (2, 1000)
    assert database.execute("select rows, stored, skipped from ot.segments").fetchall() == [(1006, 4, 1002)]


def test_recorder_and_backfill_may_begin_a_day_together(writer, database, spool):
    seal(writer, *(message(n, now_reading(n)) for n in range(1, 9)))
    reader, stores = SpoolReader(spool), [PostgresStore() for _ in range(8)]
    together, failed = threading.Barrier(8), []

    def store(one: PostgresStore, segment) -> None:
        together.wait()
        try:
            one.store([Part(segment, reader.read(segment))])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=store, args=each) for each in zip(stores, reader.sealed(0), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    assert partitions(database) == [partition(TODAY)]
    assert stored(database) == [1, 2, 3, 4, 5, 6, 7, 8]
    for one in stores:
        one.close()


def test_a_day_is_let_go_when_it_is_too_old(writer, consumer, database, monkeypatch):
    days = [TODAY - n * DAY for n in range(3)]
    seal(writer, message(1, *(reading(n, observed_at=day) for n, day in enumerate(days))))
    consumer.take_all()
    store = PostgresStore()
    monkeypatch.setattr("include.ot.hot_postgres.LOCK_TIMEOUT", "50ms")

    with psycopg.connect(postgres_dsn("hnai", "hnai")) as report:
        report.execute("select count(*) from ot.readings").fetchone()
        store.expire(TODAY - DAY)
        assert len(partitions(database)) == 3  # it is being read
    store.expire(TODAY - DAY)
    store.expire(TODAY - DAY)

    assert partitions(database) == [partition(TODAY - DAY), partition(TODAY)]
    assert sorted(stored(database)) == [0, 1]
    store.close()


def test_latest_is_the_latest_whatever_comes_late(writer, consumer, database):
    def at(minute: int, value, **other):
        return now_reading(0, value, **{"tag_id": "W1", "observed_at": TODAY + timedelta(minutes=minute), **other})

    seal(writer, message(1, at(5, 50.0), at(7, None, quality=BAD, value_double=None), at(6, 60.0)))
    consumer.take_all()
    seal(
        writer,
        message(2, at(3, 30.0), at(6, 61.0, sequence=1), at(9, 90.0, tag_id="W2", quality=UNCERTAIN)),
        message(3, at(1, 10.0, tag_id="W3", observed_at=TODAY + 999 * DAY), at(1, "on", tag_id="W4")),
    )
    consumer.take_all()

    found = database.execute(
        "select tag_id, value_double, value_text, quality, good_value_double, good_value_text, good_observed_at "
        "from ot.latest order by 1"
    ).fetchall()
    assert found == [
        ("W1", None, None, BAD, 61.0, None, TODAY + timedelta(minutes=6)),
        ("W2", 90.0, None, UNCERTAIN, None, None, None),
        ("W4", None, "on", 0, None, "on", TODAY + timedelta(minutes=1)),
    ]


def test_a_corrupt_segment_is_told_and_passed_by(writer, consumer, spool, database):
    seal(writer, *(message(n, now_reading(n)) for n in (1, 2, 3)))
    path = SpoolReader(spool).sealed(1)[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    consumer.take_all()

    assert stored(database) == [1, 3]
    assert (spool / "corrupt" / path.name).exists()
    ((reason,),) = database.execute("select reason from ot.segments where number = 2").fetchall()
    assert "checksum" in reason
    assert consumer.figures()["corrupt_segments"] == 1


def test_a_segment_that_postgresql_refuses_costs_only_itself(writer, database, spool):
    seal(writer, *(message(n, now_reading(n)) for n in (1, 2, 3)))
    reader, store = SpoolReader(spool), PostgresStore()
    parts = [Part(segment, reader.read(segment)) for segment in reader.sealed(0)]
    nameless = parts[1].readings.set_column(0, "tag_id", pa.array([None], pa.string()))
    parts[1] = Part(parts[1].segment, nameless)

    store.store(parts)

    assert stored(database) == [1, 3]
    assert store.progress(writer.spool) == 3
    ((reason,),) = database.execute("select reason from ot.segments where number = 2").fetchall()
    assert "cannot take segment 2" in reason
    store.close()


def test_it_catches_up_in_order_and_a_bounded_number_of_readings_at_a_time(writer, consumer, monkeypatch):
    monkeypatch.setattr(hot, "BATCH_ROWS", 10)
    seal(writer, *(message(n, *(now_reading(n * 10 + i) for i in range(4))) for n in range(1, 10)))
    batches = []
    store = PostgresStore.store

    def watched(self, parts):
        batches.append([part.segment.number for part in parts])
        return store(self, parts)

    monkeypatch.setattr(PostgresStore, "store", watched)
    consumer.take_all()

    assert batches == [[1, 2], [3, 4], [5, 6], [7, 8], [9]]


def test_a_spool_that_began_anew_is_taken_from_its_start(writer, consumer, database, spool, tmp_path):
    seal(writer, message(1, now_reading(1)), message(2, now_reading(2)))
    consumer.take_all()
    spool.rename(tmp_path / "lost")
    anew = SpoolWriter(spool)
    seal(anew, message(1, now_reading(3)))
    consumer.take_all()
    anew.close()

    assert stored(database) == [1, 2, 3]


def test_a_database_that_was_made_anew_gets_what_the_spool_still_has(writer, consumer, database, spool):
    seal(writer, message(1, now_reading(1)), message(2, now_reading(2)))
    consumer.take_all()
    database.execute("drop schema ot cascade")
    with pytest.raises(Exception, match="The spool keeps them"):
        seal(writer, message(3, now_reading(3)))
        consumer.take_all()
    consumer._let_go()  # as the consumer's own loop does after an error

    consumer.take_all()

    assert stored(database) == [1, 2, 3]


def kill_postgres() -> None:
    from stack.leftovers import recorded

    for pid in recorded("postgres").members():
        os.kill(pid, signal.SIGKILL)


def test_postgresql_killed_in_mid_stream_loses_nothing_and_holds_up_nobody(writer, consumer, spool, database):
    lock, stop, sealed = threading.Lock(), threading.Event(), []

    def record() -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            with lock:
                seal(writer, message(number, *(now_reading(number * 20 + i) for i in range(20))))
                sealed.append(number)
            consumer.wake()

    def taken() -> int:
        return SpoolReader(spool).progress("hot")

    database.close()
    consumer.start()
    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        for _ in range(3):
            before = taken()
            until(lambda before=before: taken() > before + 10, "the hot store takes segments")
            kill_postgres()
            before = len(sealed)
            until(lambda before=before: len(sealed) > before + 20, "segments are sealed meanwhile")
    finally:
        stop.set()
        recorder.join()
    until(lambda: taken() == SpoolReader(spool).newest(), "the hot store has caught up")

    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        expected = [float(number * 20 + i) for number in sealed for i in range(20)]
        assert stored(connection) == expected
        assert [n for (n,) in connection.execute("select number from ot.segments order by stored_at, number")] == sealed
    assert consumer.problem is None


def test_it_starts_without_its_database_and_ends_without_it(writer, spool, platform, monkeypatch, caplog):
    platform.start(("postgres",))
    monkeypatch.setattr(
        "include.ot.hot_postgres.postgres_dsn", lambda *_: "host=127.0.0.1 port=1 user=nobody password=x"
    )
    seal(writer, message(1, now_reading(1)))
    consumer = HotConsumer(SpoolReader(Path(spool)))
    consumer.start()

    until(lambda: consumer.problem, "it tells")
    consumer.stop(30)

    assert "does not take readings" in consumer.problem
    assert "The spool keeps them" in caplog.text
