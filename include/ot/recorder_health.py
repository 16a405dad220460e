"""`health.json` of the recorder: what supervision, on-call and benchmarks read."""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from include.errors import HnaiError
from include.ot.hot import HotConsumer
from include.ot.spool import CONSUMERS, SpoolReader

if TYPE_CHECKING:
    from include.ot.recorder import Recorder

log = logging.getLogger(__name__)

HEALTH_S = 2.0


class Input(Protocol):
    """Where messages come from: `Subscriber`, `KafkaSubscriber`."""

    url: str
    problem: str | None  # why nothing comes, or None

    @property
    def is_connected(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Health:
    """`health.json`: how the recorder is, written every `HEALTH_S`, and at once when told."""

    def __init__(
        self, recorder: "Recorder", reader: SpoolReader, inputs: Mapping[str, Input], hot: HotConsumer
    ) -> None:
        self._recorder, self._reader, self._inputs, self._hot = recorder, reader, inputs, hot
        self._path = reader.folder / "health.json"
        self._written_at = self._readings = 0.0
        self._last_error: dict[str, str] | None = None

    def write_if_due(self) -> None:
        if time.monotonic() - self._written_at >= HEALTH_S:
            self.write()

    def write(self) -> None:
        now, readings = time.monotonic(), self._recorder.readings
        rows_per_s = (readings - self._readings) / (now - self._written_at) if self._written_at else 0.0
        self._written_at, self._readings = now, readings
        try:
            text = json.dumps(self.found(round(rows_per_s, 1)), indent=2) + "\n"
        except (HnaiError, OSError, sqlite3.Error) as error:
            log.error("The recorder cannot tell how it is: %s", error)
            return
        _write_even_when_full(self._path, text.encode())

    def found(self, rows_per_s: float) -> dict[str, Any]:
        recorder, hot = self._recorder, self._hot
        segments, size, corrupt = recorder.totals()
        newest = self._reader.newest()
        inputs = {
            name: {"url": each.url, "is_connected": each.is_connected, "problem": each.problem}
            for name, each in self._inputs.items()
        }
        problems = {name: each["problem"] for name, each in inputs.items()}
        problems |= {"spool": recorder.problem, "hot": hot.problem}
        for name, problem in problems.items():
            if problem:
                self._last_error = {"at": _now(), "what": f"{name}: {problem}"}
        return {
            "at": _now(),
            "pid": os.getpid(),
            **inputs,
            "rows_per_s": rows_per_s,
            "spool": {
                "id": recorder.writer.spool,
                "newest": newest,
                "segments": segments,
                "bytes": size,
                "corrupt": corrupt,
                "rows_waiting": recorder.writer.rows,
                "problem": recorder.problem,
            },
            "consumers": {name: self._consumer(name, newest) for name in CONSUMERS},
            "hot": {**hot.figures(), "problem": hot.problem},
            "messages": {"repeated": recorder.repetitions, "missing": recorder.missing()},
            "refused": {"count": recorder.refused.count, "kept": len(recorder.refused), "last": recorder.refused.last},
            "last_error": self._last_error,
        }

    def _consumer(self, name: str, newest: int) -> dict[str, Any]:
        number = self._reader.progress(name)
        return {"number": number, "behind": newest - number, "lag_s": round(self._reader.lag_s(name), 1)}


def _write_even_when_full(path: Path, data: bytes) -> None:
    """Replace a file as a whole; in place where the disk has no room for a second one."""
    half = path.with_name(path.name + ".half")
    try:
        half.write_bytes(data)
        half.replace(path)
    except OSError:
        with suppress(OSError):
            half.unlink()
        with suppress(OSError), path.open("r+b") as out:
            out.write(data)
            out.truncate()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
