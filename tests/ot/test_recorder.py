"""The recorder: every message durable before it is acknowledged, once, whatever is killed, full, or no message."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest

from include.ot.mqtt import Delivery, Publisher
from include.ot.reading import encode
from include.ot.recorder import Recorder, _inputs
from include.ot.recorder_health import Health
from include.ot.spool import SpoolReader, SpoolWriter
from include.settings import ROOT, settings
from tests.ot.recorder_trial import POINTS, READINGS, payload
from tests.ot.spool_samples import a_gap, message, reading, until, values

TOPIC = "ot/v1/hnai/mesquite/pad_01"


class Broker:
    """What the recorder was sent, and what of it it acknowledged."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.acked: list[int] = []

    def send(self, number: int, *readings, **about) -> None:
        self.send_bytes(encode(message(number, *readings, **about)), number)

    def send_bytes(self, payload: bytes, number: int) -> None:
        self._recorder.take(Delivery(TOPIC, payload, lambda: self.acked.append(number)))


class Moody(SpoolWriter):
    """A writer whose disk may be full."""

    is_full = False

    def _write(self, path, data):
        if self.is_full:
            raise OSError(28, "No space left on device")
        super()._write(path, data)


@pytest.fixture
def recorder(tmp_path):
    writer = Moody(tmp_path / "spool")
    yield Recorder(writer)
    writer.close()


@pytest.fixture
def broker(recorder) -> Broker:
    return Broker(recorder)


@pytest.fixture
def spool(recorder) -> Path:
    return recorder.writer.folder


# What is acknowledged


def test_a_message_is_acknowledged_once_its_segment_is_durable(recorder, broker, spool):
    broker.send(1)
    broker.send(2)
    assert broker.acked == []

    until(lambda: recorder.turn() or broker.acked, "the segment is sealed by age")

    assert broker.acked == [1, 2]
    assert values(spool) == [1, 2]


def test_many_readings_are_sealed_at_once(broker, spool):
    broker.send(1, *map(reading, range(20_000)))

    assert broker.acked == [1]
    assert len(values(spool)) == 20_000


def test_a_repetition_is_acknowledged_and_not_taken_again(recorder, broker, spool):
    broker.send(1)
    broker.send(1)
    assert broker.acked == []  # it waits with the first
    recorder.stop()
    assert broker.acked == [1, 1]

    again = Recorder(recorder.writer)
    Broker(again).send(1)
    repeated = Broker(again)
    repeated.send(1)

    assert repeated.acked == [1]
    assert values(spool) == [1]
    assert (recorder.repetitions, again.repetitions) == (1, 2)


def test_what_is_open_is_sealed_and_acknowledged_at_the_end_and_no_more_is_taken(recorder, broker, spool):
    broker.send(1)
    recorder.stop()
    broker.send(2)

    assert broker.acked == [1]
    assert values(spool) == [1]


# What nobody can read


def test_a_payload_that_is_no_message_is_kept_with_its_reason_and_holds_nothing_up(recorder, broker, spool):
    broker.send_bytes(b'{"v": 7}', 1)
    broker.send_bytes(b"\xff\x00binary", 2)
    broker.send(3)
    recorder.stop()

    assert broker.acked == [1, 2, 3]
    kept = {entry.pop("reason"): entry for entry in map(json.loads, (p.read_text() for p in spool.glob("refused/*")))}
    (version,) = [kept[reason] for reason in kept if "version 7" in reason]
    assert (version["topic"], version["payload"]) == (TOPIC, '{"v": 7}')
    assert any(entry.get("payload_base64") == "/wBiaW5hcnk=" for entry in kept.values())
    assert recorder.refused.count == len(recorder.refused) == 2
    assert values(spool) == [3]


def test_a_refused_payload_that_comes_again_is_kept_once(broker, recorder, spool):
    for number in (1, 2):
        broker.send_bytes(b"nonsense", number)

    assert broker.acked == [1, 2]
    assert len(list(spool.glob("refused/*.json"))) == 1
    assert (recorder.refused.count, len(Recorder(recorder.writer).refused)) == (2, 1)


def test_only_so_many_refused_payloads_are_kept(broker, recorder, spool, monkeypatch):
    monkeypatch.setattr("include.ot.refused.REFUSED_FILES", 3)
    for number in range(5):
        broker.send_bytes(f"nonsense {number}".encode(), number)

    kept = sorted(json.loads(path.read_text())["payload"] for path in spool.glob("refused/*.json"))
    assert kept == ["nonsense 2", "nonsense 3", "nonsense 4"]
    assert recorder.refused.count == 5


# A full disk


@pytest.fixture
def small_segments(monkeypatch):
    """Segments of 100 readings, and another try to seal soon after one that failed."""
    small = settings.model_copy(update={"ot": settings.ot.model_copy(update={"seal_rows": 100})})
    monkeypatch.setattr("include.ot.recorder.settings", small)
    monkeypatch.setattr("include.ot.spool_write.settings", small)
    monkeypatch.setattr("include.ot.recorder.RETRY_S", 0.1)


def test_a_full_disk_acknowledges_nothing_and_takes_no_more_than_it_can_hold(
    recorder, broker, spool, caplog, small_segments
):
    recorder.writer.is_full = True
    for number in range(1, 5):
        broker.send(number, *map(reading, range(100)))
    assert broker.acked == []
    assert "No space left" in recorder.problem
    assert "Nothing of it was acknowledged" in caplog.text

    last = threading.Thread(target=broker.send, args=(5, reading(5)))
    last.start()  # waits, as the broker's connection then does
    time.sleep(0.2)
    assert last.is_alive()
    assert recorder.writer.waiting == 4

    recorder.writer.is_full = False
    until(lambda: recorder.turn() or 5 in broker.acked, "everything is acknowledged")
    last.join()

    assert sorted(broker.acked) == [1, 2, 3, 4, 5]
    assert recorder.problem is None
    assert len(values(spool)) == 401


def test_a_recorder_on_a_full_disk_can_be_stopped(recorder, broker, small_segments):
    recorder.writer.is_full = True
    for number in range(1, 5):
        broker.send(number, *map(reading, range(100)))
    last = threading.Thread(target=broker.send, args=(5, reading(5)))
    last.start()

    recorder.stop()
    last.join()

    assert broker.acked == []


# How it is


class Quiet:
    """Stands for broker and hot store in health.json."""

    url, is_connected, problem = "mqtt://127.0.0.1:1", False, "nobody answers"

    def figures(self):
        return {"store": "postgres", "stored": 7}


def test_health_tells_what_on_call_asks(recorder, broker, spool):
    reader = SpoolReader(spool)
    health = Health(recorder, reader, {"broker": Quiet()}, Quiet())
    broker.send(1)
    broker.send(3, gaps=[a_gap()])
    broker.send_bytes(b"nonsense", 4)
    recorder.stop()
    reader.taken("hot", 1)

    health.write()

    told = json.loads((spool / "health.json").read_text())
    assert told["broker"]["problem"] == "nobody answers"
    assert (told["spool"]["newest"], told["spool"]["segments"], told["spool"]["problem"]) == (1, 1, None)
    assert told["consumers"]["hot"] == {"number": 1, "behind": 0, "lag_s": 0.0}
    assert told["consumers"]["lake"]["behind"] == 1
    assert told["hot"]["stored"] == 7
    assert told["messages"] == {"repeated": 0, "missing": 1}
    assert told["refused"]["count"] == 1
    assert "nobody answers" in told["last_error"]["what"]
    assert told["pid"] == os.getpid()


def test_health_is_told_on_a_full_disk(recorder, spool, monkeypatch):
    health = Health(recorder, SpoolReader(spool), {"broker": Quiet()}, Quiet())
    health.write()
    write_bytes = Path.write_bytes

    def refuse(path, data):
        write_bytes(path, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    recorder.readings = 123_456
    health.write()

    assert json.loads((spool / "health.json").read_text())["rows_per_s"] > 0


def test_kafka_is_an_input_where_settings_name_it(recorder, monkeypatch):
    assert set(_inputs(recorder)) == {"broker"}
    ot = settings.ot.model_copy(update={"kafka_brokers": "127.0.0.1:9"})
    monkeypatch.setattr("include.ot.recorder.settings", settings.model_copy(update={"ot": ot}))

    assert _inputs(recorder)["kafka"].url == "kafka://127.0.0.1:9"


def test_the_recorder_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "include.ot.recorder", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "makes it durable" in done.stdout


# Killed


def live(folder: Path, messages: int, point: str, seal: int, kill_after_s: float | None = None) -> int:
    """One life of a recorder; how it ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ot.recorder_trial", str(folder), str(messages), point, str(seal)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HNAI_OT__SEAL_ROWS": "100", "HNAI_OT__SEAL_S": "0.05"},
    )
    try:
        return process.wait(kill_after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def assert_exactly_once(folder: Path, messages: int) -> None:
    reader = SpoolReader(folder / "spool")
    segments = reader.sealed(0)
    assert [segment.number for segment in segments] == list(range(1, len(segments) + 1))
    held = Counter(
        (row["tag_id"], row["observed_at"], row["sequence"], row["value_double"])
        for segment in segments
        for row in reader.read(segment).to_pylist()
    )
    rows = [reading(n * READINGS + i, sequence=i) for n in range(messages) for i in range(READINGS)]
    assert held == Counter((r.tag_id, r.observed_at, r.sequence, r.value_double) for r in rows)
    gaps = [gap.cause for segment in segments for gap in segment.gaps]
    assert sorted(gaps) == sorted(f"cause {n}" for n in range(0, messages, 10))


@pytest.mark.platform
def test_a_recorder_killed_at_every_point_keeps_each_message_once(tmp_path):
    messages, kills = 400, 0
    for point in POINTS:
        kills += live(tmp_path, messages, point, seal=2) == -signal.SIGKILL

    assert kills == len(POINTS)
    assert live(tmp_path, messages, "none", 0) == 0
    assert_exactly_once(tmp_path, messages)


@pytest.mark.torture
def test_a_recorder_killed_dozens_of_times_keeps_each_message_once(tmp_path):
    messages, points, chance = 6_000, cycle(POINTS), random.Random(4)
    for _ in range(25):
        assert live(tmp_path, messages, next(points), chance.randint(1, 6)) == -signal.SIGKILL
    for _ in range(10):
        live(tmp_path, messages, "none", 0, kill_after_s=chance.uniform(0.5, 3))

    assert live(tmp_path, messages, "none", 0) == 0
    assert_exactly_once(tmp_path, messages)


class Process:
    """The recorder as the platform starts it, on a broker of its own."""

    def __init__(self, url: str, state: Path) -> None:
        self.spool = state / "ot" / "spool"
        self._command = [sys.executable, "-m", "include.ot.recorder"]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HNAI_STATE_DIR": str(state),
            "HNAI_OT__BROKER_URL": url,
            "HNAI_OT__SEAL_S": "0.2",
        }
        self._log = state / "recorder.log"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )

    def end(self, how: signal.Signals) -> int:
        self._process.send_signal(how)
        return self._process.wait(60)

    def try_another(self) -> subprocess.CompletedProcess:
        return subprocess.run(self._command, cwd=ROOT, env=self._environment, capture_output=True, text=True)

    def health(self) -> dict:
        try:
            return json.loads((self.spool / "health.json").read_text())
        except FileNotFoundError:
            return {}

    def values(self) -> list[float]:
        return values(self.spool)


@pytest.fixture
def process(nats, tmp_path):
    """A recorder on the embedded broker; its PostgreSQL does not answer."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "secrets").symlink_to(settings.secrets_dir)
    process = Process(nats.url, state)
    yield process
    if process._process and process._process.poll() is None:
        process.end(signal.SIGKILL)


@pytest.fixture
def publish(nats):
    """Publish a payload; returns once the broker has it."""
    acked: set[int] = set()
    publisher = Publisher("bridge", "bridge-trial", acked.add, url=nats.url)
    publisher.start()

    def publish(payload: bytes) -> None:
        number = publisher.publish(TOPIC, payload)
        until(lambda: number in acked, "the broker has the message")

    yield publish
    publisher.stop()


@pytest.mark.platform
def test_sigterm_seals_what_is_open_and_the_broker_does_not_send_it_again(process, publish):
    process.start()
    until(lambda: process.health().get("broker", {}).get("is_connected"), "the recorder is connected")
    for number in (1, 2, 3):
        publish(encode(message(number)))
    publish(b"nonsense")
    refused = process.try_another()
    assert (refused.returncode, "Another recorder" in refused.stderr) == (1, True)

    assert process.end(signal.SIGTERM) == 0
    assert sorted(process.values()) == [1, 2, 3]
    assert len(list(process.spool.glob("refused/*.json"))) == 1

    process.start()
    publish(encode(message(4)))
    until(lambda: 4 in process.values(), "the next message")
    assert process.end(signal.SIGTERM) == 0
    assert sorted(process.values()) == [1, 2, 3, 4]
    assert process.health()["messages"]["repeated"] == 0
    assert process.health()["refused"]["count"] == 0


@pytest.mark.torture
def test_a_recorder_killed_under_a_real_broker_keeps_each_message_once(process, publish, tmp_path):
    stop = threading.Event()
    sent = []

    def stream() -> None:
        while not stop.is_set():
            publish(payload(len(sent)))
            sent.append(len(sent))

    bridge = threading.Thread(target=stream)
    bridge.start()
    try:
        for _ in range(3):
            process.start()
            before = SpoolReader(process.spool).newest()
            until(lambda before=before: SpoolReader(process.spool).newest() > before + 1, "segments")
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
    finally:
        stop.set()
        bridge.join()
    process.start()
    # What a killed recorder had not acknowledged comes again after the broker's own wait, not at once.
    until(lambda: len(process.values()) >= len(sent) * READINGS, "everything sent", deadline_s=300)
    process.end(signal.SIGTERM)

    assert_exactly_once(process.spool.parent, len(sent))
