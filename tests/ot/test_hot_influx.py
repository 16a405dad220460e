"""The hot store by Influx line protocol: what is sent, what a server's answers mean, and a real VictoriaMetrics."""

import json
import socket
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from include.errors import OtError
from include.ot import columns, hot_influx
from include.ot.hot import HotConsumer
from include.ot.hot_influx import InfluxStore, lines
from include.ot.reading import BAD
from include.ot.spool import SpoolReader, SpoolWriter
from stack.nats import _free_ports
from tests.ot.spool_samples import message, reading, until
from tests.ot.tools import debian_program

pytestmark = pytest.mark.platform  # each starts servers of its own

NOW = datetime.now(UTC).replace(microsecond=0)


def line(*readings) -> list[str]:
    return lines(columns.table([columns.of(message(1, *readings))]))


def at(us: int, value=None, **other):
    return reading(
        0,
        value,
        **{"tag_id": "W1", "observed_at": datetime(2026, 1, 1, tzinfo=UTC) + us * timedelta(microseconds=1), **other},
    )


# Lines


def test_a_line_says_tag_value_quality_and_microseconds():
    us = 1_767_225_600_000_000

    assert line(at(1, 912.5), at(2, 3.0), at(3, True), at(4, None, value_double=None, quality=BAD)) == [
        f"ot_readings,tag_id=W1 value=912.5,quality=0i {us + 1}",
        f"ot_readings,tag_id=W1 value=3,quality=0i {us + 2}",
        f"ot_readings,tag_id=W1 value_bool=true,quality=0i {us + 3}",
        f"ot_readings,tag_id=W1 quality=2147483648i {us + 4}",
    ]


def test_samples_of_one_time_are_told_apart():
    assert [text.partition(" ")[0] for text in line(at(0), at(0, sequence=1), at(0, sequence=2))] == [
        "ot_readings,tag_id=W1",
        "ot_readings,tag_id=W1,sequence=1",
        "ot_readings,tag_id=W1,sequence=2",
    ]


def test_what_has_a_meaning_in_a_line_is_escaped():
    ((told),) = line(at(0, 'say "no", a=b \\ c\r\nd', tag_id="Pad 1,a=b\\\n"))

    assert told.startswith(r'ot_readings,tag_id=Pad\ 1\,a\=b\\\  value_text="say \"no\", a=b \\ c  d",quality=0i ')


def test_a_number_that_no_line_can_hold_leaves_its_quality():
    assert [text.split(" ")[1] for text in line(at(0, float("inf")), at(0, float("nan")), at(0, 1e300))] == [
        "quality=0i",
        "quality=0i",
        "value=1e+300,quality=0i",
    ]


# Answers


class Server:
    """Answers as it is told: a status for each request, 204 after those."""

    def __init__(self) -> None:
        self.answers: deque[int] = deque()
        self.requests: list[tuple[str, list[str]]] = []
        self.connections: list[socket.socket] = []
        self.says_goodbye = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                server.connections.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                server.requests.append((self.path, body.splitlines()))
                status = server.answers.popleft() if server.answers else 204
                text = b"" if status == 204 else b"partial write: unable to parse 'W1': bad"
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                if server.says_goodbye:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_): ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def lines(self) -> list[str]:
        return [text for _, some in self.requests for text in some]


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def writer(spool):
    writer = SpoolWriter(spool)
    yield writer
    writer.close()


def influx(monkeypatch, url: str) -> None:
    """Set HNAI_OT__HOT=influx and HNAI_OT__INFLUX_URL."""
    from include.settings import settings

    ot = settings.ot.model_copy(update={"hot": "influx", "influx_url": url})
    for module in ("hot", "hot_influx"):
        monkeypatch.setattr(f"include.ot.{module}.settings", settings.model_copy(update={"ot": ot}))


@pytest.fixture
def consumer(spool, server, monkeypatch):
    influx(monkeypatch, server.url)
    consumer = HotConsumer(SpoolReader(spool))
    yield consumer
    consumer.stop(30)


def seal(writer: SpoolWriter, *numbers: int) -> None:
    for number in numbers:
        writer.add(message(number, reading(number, tag_id=f"W{number}", observed_at=NOW)))
        writer.seal()


def test_segments_are_sent_in_order_and_once(writer, consumer, server, spool):
    seal(writer, 1, 2)
    consumer.take_all()
    seal(writer, 3)
    consumer.take_all()

    assert [text.split(" ")[0] for text in server.lines] == [f"ot_readings,tag_id=W{n}" for n in (1, 2, 3)]
    assert SpoolReader(spool).progress("hot") == 3
    path = urlsplit(server.requests[0][0])
    assert (path.path, parse_qs(path.query)) == ("/write", {"precision": ["u"]})


def test_a_long_segment_is_sent_in_batches(writer, consumer, server, monkeypatch):
    monkeypatch.setattr(hot_influx, "LINES", 3)
    writer.add(message(1, *(reading(n, observed_at=NOW) for n in range(7))))
    writer.seal()

    consumer.take_all()

    assert [len(some) for _, some in server.requests] == [3, 3, 1]


def test_lines_that_a_server_refuses_are_set_aside_and_told(writer, consumer, server, spool, caplog):
    seal(writer, 1, 2, 3)
    server.answers.extend([204, 400])

    consumer.take_all()

    assert len(server.requests) == 3  # not asked again
    assert (consumer.figures()["stored"], consumer.figures()["refused"]) == (2, 1)
    (kept,) = spool.glob("hot_refused/*")
    assert "400 Bad Request: partial write" in kept.read_text()
    assert "tag_id=W2" in kept.read_text()
    assert "refuses 1 readings of segment 2" in caplog.text
    assert SpoolReader(spool).progress("hot") == 3


@pytest.mark.parametrize("status", [500, 503, 429, 401, 404])
def test_a_server_that_cannot_take_them_now_gets_them_again(writer, consumer, server, spool, status):
    seal(writer, 1, 2)
    server.answers.extend([204, status, status])
    consumer.start()

    until(lambda: SpoolReader(spool).progress("hot") == 2, "both segments are taken")

    assert server.lines[-1].startswith("ot_readings,tag_id=W2 ")
    assert len(server.requests) >= 4
    assert not (spool / "hot_refused").exists()
    until(lambda: consumer.problem is None, "it is well again")


def test_what_a_server_may_have_lost_when_it_was_killed_is_sent_again(writer, consumer, server, spool):
    seal(writer, 1, 2)
    consumer.start()
    until(lambda: SpoolReader(spool).progress("hot") == 2, "both segments are taken")
    for connection in server.connections:  # killed and back before anybody asks
        connection.shutdown(socket.SHUT_RDWR)
    server.requests.clear()

    seal(writer, 3)

    def sent() -> list[str]:
        return [text.split(" ")[0][-2:] for text in server.lines]

    until(lambda: sent()[-3:] == ["W1", "W2", "W3"], "the others are sent again, and in order")
    until(lambda: SpoolReader(spool).progress("hot") == 3, "the third segment is taken")


def test_a_server_that_ends_a_connection_by_its_own_wish_has_lost_nothing(writer, consumer, server):
    server.says_goodbye = True
    seal(writer, 1)
    consumer.take_all()
    seal(writer, 2)
    consumer.take_all()

    assert [text.split(" ")[0][-2:] for text in server.lines] == ["W1", "W2"]
    assert len(server.connections) == 2


def test_a_server_that_is_not_there_is_told_without_its_password(writer, spool, monkeypatch):
    (port,) = _free_ports(1)
    influx(monkeypatch, f"http://writer:geheim@127.0.0.1:{port}/base?db=ot")
    seal(writer, 1)

    with pytest.raises(OtError, match=rf"127.0.0.1:{port}/base/write does not answer.*The spool keeps") as told:
        HotConsumer(SpoolReader(spool)).take_all()

    assert "geheim" not in str(told.value)


def test_path_query_and_password_of_the_url_are_kept(spool, server, monkeypatch, writer):
    influx(monkeypatch, server.url.replace("://", "://writer:geheim@") + "/write?db=ot")
    seal(writer, 1)

    HotConsumer(SpoolReader(spool)).take_all()

    path = urlsplit(server.requests[0][0])
    assert (path.path, parse_qs(path.query)) == ("/write", {"db": ["ot"], "precision": ["u"]})


def test_an_address_that_is_none_says_which_setting(spool, monkeypatch):
    influx(monkeypatch, "victoria:8428")

    with pytest.raises(OtError, match="HNAI_OT__INFLUX_URL"):
        InfluxStore(SpoolReader(spool))


# A real VictoriaMetrics


class VictoriaMetrics:
    def __init__(self, folder) -> None:
        (self.port,) = _free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._program = debian_program("victoria-metrics")

    def start(self) -> None:
        self._process = self._program.start(
            f"-storageDataPath={self._folder}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-search.latencyOffset=0s",
            "-dedup.minScrapeInterval=1ms",
            "-memory.allowedPercent=5",
            "-retentionPeriod=40d",
            log=self._folder / "log",
        )
        until(self._answers, "VictoriaMetrics answers")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def samples(self) -> dict[str, list]:
        """Every sample it shows, in order of time, by series."""
        requests.get(f"{self.url}/internal/force_flush", timeout=30).raise_for_status()
        answer = requests.get(
            f"{self.url}/api/v1/export", params={"match[]": '{__name__=~"ot_.+"}', "reduce_mem_usage": "0"}, timeout=30
        )
        found = {}
        for entry in map(json.loads, answer.text.splitlines()):
            labels = entry["metric"]
            name = labels.pop("__name__").removeprefix("ot_readings_")
            found[" ".join([name, *(labels[key] for key in ("tag_id", "sequence") if key in labels)])] = entry["values"]
        return found

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False


@pytest.fixture
def victoria(tmp_path, monkeypatch):
    victoria = VictoriaMetrics(tmp_path)
    victoria.start()
    influx(monkeypatch, victoria.url)
    yield victoria
    victoria.kill()


def test_victoriametrics_has_every_reading(victoria, writer, spool):
    ms = timedelta(milliseconds=1)
    values = [0.1, -3.0, 1e6, 912.5]
    writer.add(
        message(
            1,
            *(at(0, v, observed_at=NOW + i * ms, tag_id="Pad 1,a=b\\") for i, v in enumerate(values)),
            at(0, 7.0, observed_at=NOW, sequence=1),
            at(0, 8.0, observed_at=NOW, sequence=2, quality=BAD),
            at(0, True, observed_at=NOW, tag_id="running"),
            at(0, "No Data", observed_at=NOW, tag_id="text", quality=BAD),
        )
    )
    writer.seal()
    consumer = HotConsumer(SpoolReader(spool))
    consumer.take_all()
    SpoolReader(spool).taken("hot", 0)  # as after a crash between the answer and its record
    HotConsumer(SpoolReader(spool)).take_all()

    expected = {
        "value Pad 1,a=b\\": values,
        "quality Pad 1,a=b\\": [0] * 4,
        "value W1 1": [7.0],
        "value W1 2": [8.0],
        "quality W1 1": [0],
        "quality W1 2": [BAD],
        "value_bool running": [1],
        "quality running": [0],
        "value_text text": [0],  # it keeps numbers alone
        "quality text": [BAD],
    }
    until(lambda: victoria.samples() == expected, f"{expected} in VictoriaMetrics")


def test_victoriametrics_killed_in_mid_stream_gets_everything(victoria, writer, spool):
    consumer = HotConsumer(SpoolReader(spool))
    consumer.start()
    ms = timedelta(milliseconds=1)
    for number in range(1, 61):
        writer.add(message(number, at(0, float(number), observed_at=NOW + number * ms)))
        writer.seal()
        consumer.wake()
        if number == 20:
            until(lambda: SpoolReader(spool).progress("hot") == 20, "20 segments are taken")
            until(lambda: len(victoria.samples().get("value W1", [])) == 20, "20 are shown")
            victoria.kill()
        if number == 40:
            until(lambda: consumer.problem, "it tells that the store is away")
            victoria.start()

    until(lambda: SpoolReader(spool).progress("hot") == 60, "it has caught up")
    until(lambda: len(victoria.samples().get("value W1", [])) == 60, "all is shown")
    assert victoria.samples()["value W1"] == [float(n) for n in range(1, 61)]
    consumer.stop(30)
