"""Events reach a lineage server in order, wait while it is away, and never fail the task that stores them."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from include.lineage import forward, store
from include.settings import settings
from tests.dags.test_lineage import event, table, write  # noqa: F401


class Receiver:
    """A server with the one call of Marquez's API that is used; it keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.tokens: set[str | None] = set()
        self.answers: list[int] = []  # the next answers, in place of 201
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 201
                if self.path == "/api/v1/lineage" and status == 201:
                    receiver.events.append(json.loads(body))
                    receiver.tokens.add(self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def runs(self) -> list[str]:
        return [e["run"]["runId"] for e in self.events]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    server = Receiver()
    monkeypatch.setitem(settings.__dict__, "lineage", settings.lineage.model_copy(update={"url": server.url}))
    yield server
    server.close()


def test_every_event_is_sent_once_in_its_order(tmp_path, table, receiver):  # noqa: F811
    write(tmp_path, event(1), event(2))
    store.load_events(tmp_path)
    write(tmp_path, event(3))
    store.load_events(tmp_path)
    store.load_events(tmp_path)

    assert receiver.runs() == ["run-1", "run-2", "run-3"] == [row["run_id"] for row in table]
    assert receiver.events[0] == json.loads(json.dumps(event(1)))


def test_a_server_that_is_away_fails_nothing_and_gets_all_later(tmp_path, table, receiver):  # noqa: F811
    write(tmp_path, event(1), event(2), event(3))
    receiver.answers = [201, 503]

    assert store.load_events(tmp_path) == 3
    assert receiver.runs() == ["run-1"] and len(table) == 3

    store.load_events(tmp_path)
    assert receiver.runs() == ["run-1", "run-2", "run-3"]


def test_a_server_that_nobody_reaches_fails_nothing(tmp_path, table, receiver, caplog):  # noqa: F811
    receiver.close()
    write(tmp_path, event(1))

    assert store.load_events(tmp_path) == 1
    assert "does not take events, sent later" in caplog.text


def test_an_event_that_the_server_refuses_does_not_hold_up_the_next(tmp_path, table, receiver):  # noqa: F811
    write(tmp_path, event(1), "no event at all", event(2))
    receiver.answers = [201, 400]

    store.load_events(tmp_path)

    assert receiver.runs() == ["run-1", "run-2"]


def test_a_file_that_was_set_aside_stays_until_it_is_sent(tmp_path, table, receiver, monkeypatch):  # noqa: F811
    monkeypatch.setattr(store, "SET_ASIDE_BYTES", 1)
    write(tmp_path, event(1))
    receiver.answers = [503]
    store.load_events(tmp_path)
    (aside,) = tmp_path.glob("events-*.jsonl")
    _age(aside, hours=2)
    receiver.answers = [503]
    store.load_events(tmp_path)
    assert aside.exists()

    store.load_events(tmp_path)
    store.load_events(tmp_path)
    assert receiver.runs() == ["run-1"] and not aside.exists()


def test_the_token_goes_into_the_header_and_never_into_an_event(tmp_path, table, receiver, monkeypatch):  # noqa: F811
    monkeypatch.setattr(forward, "has_secret", lambda name: name == "lineage_token")
    monkeypatch.setattr(forward, "secret", lambda name: "s3cret")
    write(tmp_path, event(1))

    store.load_events(tmp_path)

    assert receiver.tokens == {"Bearer s3cret"}
    assert "s3cret" not in json.dumps(receiver.events) and "s3cret" not in (tmp_path / forward.SENT).read_text()


def _age(path: Path, hours: float) -> None:
    import os

    then = path.stat().st_mtime - hours * 3600
    os.utime(path, (then, then))
