"""From the file that OpenLineage appends to, into `ops.lineage_events`, each event exactly once.

How far the file has been read stands in the table itself (`segment`, `byte_offset`), so rows and progress are
one commit: a process that is killed before it loses nothing, after it repeats nothing. A file that has grown
large is set aside under a number and removed once it is all in the table.
"""

import fcntl
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.lineage.edges import dataset_keys
from include.lineage.files import lines, segment
from include.lineage.forward import forward_events, is_sent
from include.settings import settings

log = logging.getLogger(__name__)

LIVE = "events.jsonl"
SET_ASIDE_BYTES = 32 * 1024 * 1024
EVENTS_PER_COMMIT = 2_000
KEPT_UNSENT_S = 7 * 86_400  # how long events wait for a lineage server that is away


def lineage_dir() -> Path:
    """Where the transport writes."""
    return settings.state_dir / "lineage"


def load_events(folder: Path | None = None) -> int:
    """Store what is new and return the number of events; send it to the lineage server, where one is set.

    Safe to call from any task, at any time.
    """
    folder = folder or lineage_dir()
    if not folder.is_dir():
        return 0
    stored = 0
    with _one_at_a_time(folder):
        progress = _progress()
        for path in sorted(folder.glob("events*.jsonl")):
            stored += _load(path, progress)
        forward_events(folder)
        _set_aside(folder)
    return stored


def forget_events(before: datetime) -> None:
    """Drop the events of before that instant. The latest ones stay, and with them how far the file has been read."""
    from pyiceberg.expressions import LessThan

    from include import lakehouse

    if lakehouse.exists("ops.lineage_events"):
        lakehouse.table("ops.lineage_events").delete(LessThan("recorded_at", before.isoformat()))


def _load(path: Path, progress: dict[str, int]) -> int:
    from include.ops.store import record

    name, stored = segment(path), 0
    batch: list[dict[str, Any]] = []
    for line, end in lines(path, progress.get(name, 0)):
        batch.append({**_row(line), "segment": name, "byte_offset": end})
        if len(batch) == EVENTS_PER_COMMIT:
            stored += record("lineage_events", batch)
            batch = []
    stored += record("lineage_events", batch)
    return stored


def _row(line: bytes) -> dict[str, Any]:
    """One event as a row. A line that is not an event is kept as it is, so that nothing vanishes in silence."""
    try:
        event = json.loads(line)
        return {
            "event_type": event.get("eventType"),
            "event_time": datetime.fromisoformat(event["eventTime"]).astimezone(UTC),
            "run_id": event["run"]["runId"],
            "job_namespace": event["job"]["namespace"],
            "job_name": event["job"]["name"],
            "inputs": dataset_keys(event.get("inputs")),
            "outputs": dataset_keys(event.get("outputs")),
            "event": line.decode().strip(),
        }
    except (ValueError, KeyError, TypeError) as error:
        log.warning("A line of the lineage file is no OpenLineage event (%s); stored as UNREADABLE", error)
        return {"event_type": "UNREADABLE", "event": line.decode(errors="replace").strip()}


def _progress() -> dict[str, int]:
    """How far each segment is in the table."""
    from include import lakehouse

    if not lakehouse.exists("ops.lineage_events"):
        return {}
    found = lakehouse.table("ops.lineage_events").scan(selected_fields=("segment", "byte_offset")).to_arrow()
    if not found.num_rows:
        return {}
    highest = found.group_by("segment").aggregate([("byte_offset", "max")]).to_pylist()
    return {row["segment"]: row["byte_offset_max"] for row in highest if row["segment"]}


def _set_aside(folder: Path) -> None:
    """Start a new file when the live one is large; drop what was set aside at an earlier load.

    A writer may hold the old file open for a moment, so it is read once more by the next load before it goes.
    """
    for old in folder.glob("events-*.jsonl"):
        age_s = datetime.now(UTC).timestamp() - old.stat().st_mtime
        if age_s > (3600 if is_sent(folder, old) else KEPT_UNSENT_S):
            old.unlink()
    live = folder / LIVE
    if live.is_file() and live.stat().st_size > SET_ASIDE_BYTES:
        live.rename(folder / f"events-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl")


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
