"""The connectors that the worker runs: their configurations on disk, without secrets, and one engine each.

A failed connector is FAILED with its trace, as in Kafka Connect, and is tried again by itself after a growing
pause: a source or lakehouse that was away for a while needs no hand.
"""

import json
import logging
import re
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from include.errors import HnaiError, LandingError
from include.land.worker.capture import Capture
from include.settings import secret, settings

log = logging.getLogger(__name__)
_REFERENCE = re.compile(r"\$\{dir:([^:}]+):([^}]+)\}")
_SECRET_NAME = re.compile(r"(password|secret|token|credential)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NEEDED = ("connector.class", "database.dbname", "slot.name", "publication.name", "hnai.source", "hnai.epoch")
_LONGEST_PAUSE_S = 60.0


def resolve(config: dict[str, str]) -> dict[str, str]:
    """`config` with its secret references replaced by what they stand for. Never log or return the result."""

    def value_of(match: re.Match[str]) -> str:
        folder, name = Path(match[1]), match[2]
        if folder.resolve() != settings.secrets_dir.resolve() or "/" in name or name.startswith("."):
            raise LandingError(f"The secret reference {match[0]} leads outside {settings.secrets_dir}")
        return secret(name)

    return {key: _REFERENCE.sub(value_of, value) for key, value in config.items()}


def check(name: str, config: Any) -> dict[str, str]:
    """The configuration as text, or a `LandingError` that names what is wrong with it."""
    if not _NAME.fullmatch(name):
        raise LandingError(f"{name!r} cannot name a connector: use letters, digits, dot, dash and underscore")
    if not isinstance(config, dict) or not all(isinstance(v, (str, int, float, bool)) for v in config.values()):
        raise LandingError("A configuration is a JSON object of plain values")
    config = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in config.items()}
    config["name"] = name
    if missing := [key for key in _NEEDED if not config.get(key)]:
        raise LandingError(f"The configuration lacks {', '.join(missing)}")
    if config["connector.class"] != "io.debezium.connector.postgresql.PostgresConnector":
        raise LandingError(f"This worker runs the PostgreSQL connector only, not {config['connector.class']}")
    if open_secrets := [k for k, v in config.items() if _SECRET_NAME.search(k) and not _REFERENCE.fullmatch(v)]:
        raise LandingError(
            f"Secrets are given by reference, as in ${{dir:{settings.secrets_dir}:name}}: {', '.join(open_secrets)}"
        )
    return config


class Connector:
    """One connector: runs a capture in a thread of its own until paused or removed."""

    def __init__(self, name: str, config: dict[str, str], paused: bool = False) -> None:
        self.name, self.config, self.paused = name, config, paused
        self.state, self.trace = "PAUSED" if paused else "UNASSIGNED", ""
        self.failures = 0
        self._capture: Capture | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with self._lock:
            if self._thread and self._thread.is_alive():
                return
            self._stopping, self.trace = False, ""
            self._wake.clear()
            self._thread = threading.Thread(target=self._run, name=f"connector-{self.name}", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 60.0) -> None:
        with self._lock:
            self._stopping = True
            self._wake.set()
            if self._capture:
                self._capture.close()
            if self._thread:
                self._thread.join(timeout)
                if self._thread.is_alive():
                    raise LandingError(
                        f"Connector {self.name!r} did not stop within {timeout:.0f} s. Restart the worker."
                    )
            self._thread = None

    def refresh(self) -> None:
        """Read the declaration again, as tables may have joined the running stream. A failed one is tried at once."""
        if self._capture:
            self._capture.refresh()
        self._wake.set()

    def _run(self) -> None:
        pause_s = 1.0
        while not self._stopping:
            began = time.monotonic()
            try:
                self._capture = Capture(self.config, resolve(self.config), on_running=self._is_running)
                if not self._stopping:
                    self._capture.run()
            except Exception as error:
                self.trace = str(error) if isinstance(error, HnaiError) else traceback.format_exc()
            else:
                if not self._stopping:
                    self.trace = "The engine stopped by itself"
            if self._stopping:
                break
            self.failures += 1
            self.state = "FAILED"
            log.error("Connector %s failed, trying again in %.0f s: %s", self.name, pause_s, self.trace)
            self._wake.wait(pause_s)
            self._wake.clear()
            pause_s = 1.0 if time.monotonic() - began > 300 else min(pause_s * 2, _LONGEST_PAUSE_S)
        self.state = "PAUSED" if self.paused else "STOPPED"

    def _is_running(self) -> None:
        self.state, self.trace = "RUNNING", ""

    def status(self) -> dict[str, Any]:
        """As Kafka Connect answers, and what only we know under `hnai`."""
        worker = f"{settings.host}:{settings.port('connect')}"
        state = {"state": "PAUSED" if self.paused else self.state, "worker_id": worker}
        if self.trace:
            state["trace"] = self.trace
        return {
            "name": self.name,
            "type": "source",
            "connector": {"state": "PAUSED" if self.paused else "RUNNING", "worker_id": worker},
            "tasks": [{"id": 0, **state}],
            "hnai": {"failures": self.failures, **(self._capture.report() if self._capture else {})},
        }


class Connectors:
    """All connectors of this worker. Every change is on disk before it takes effect."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._all: dict[str, Connector] = {}

    def restore(self) -> None:
        """Start what was registered when the worker last ran."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                kept = json.loads(path.read_text())
                connector = Connector(path.stem, check(path.stem, kept["config"]), kept.get("paused", False))
            except (ValueError, KeyError, HnaiError) as error:
                log.error("%s cannot be used and is left alone: %s", path, error)
                continue
            self._all[path.stem] = connector
            if not connector.paused:
                connector.start()

    def names(self) -> list[str]:
        return sorted(self._all)

    def get(self, name: str) -> Connector:
        try:
            return self._all[name]
        except KeyError:
            raise LookupError(f"Connector {name} not found") from None

    def put(self, name: str, config: Any) -> bool:
        """Register or change a connector; True where it is new. An unchanged one goes on undisturbed."""
        config = check(name, config)
        with self._lock:
            old = self._all.get(name)
            if old and old.config == config:
                old.refresh()
                return False
            self._keep(name, config, bool(old and old.paused))
            if old:
                old.stop()
            new = self._all[name] = Connector(name, config, bool(old and old.paused))
            if not new.paused:
                new.start()
            return old is None

    def pause(self, name: str) -> None:
        with self._lock:
            connector = self.get(name)
            connector.paused = True
            self._keep(name, connector.config, True)
            connector.stop()

    def resume(self, name: str) -> None:
        with self._lock:
            connector = self.get(name)
            connector.paused = False
            self._keep(name, connector.config, False)
            connector.start()

    def restart(self, name: str) -> None:
        with self._lock:
            connector = self.get(name)
            if not connector.paused:
                connector.stop()
                connector.start()

    def delete(self, name: str) -> None:
        with self._lock:
            connector = self.get(name)
            (self._folder / f"{name}.json").unlink(missing_ok=True)
            connector.stop()
            del self._all[name]

    def stop(self) -> None:
        for connector in list(self._all.values()):
            try:
                connector.stop(20)
            except LandingError as error:
                log.error("%s", error)

    def _keep(self, name: str, config: dict[str, str], paused: bool) -> None:
        half = self._folder / f".{name}.half"
        half.write_text(json.dumps({"config": config, "paused": paused}, indent=1))
        half.replace(self._folder / f"{name}.json")
