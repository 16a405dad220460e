"""Messages small enough to check by eye, and what a spool holds of them."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.ot.reading import GOOD, Gap, Message, Reading, gap
from include.ot.spool import SpoolReader

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def reading(n: int, value: float | str | bool | None = None, **other) -> Reading:
    """Reading `n` of a stream: of tag W<n % 3>, observed n seconds after noon."""
    value = float(n) if value is None else value
    given = {
        "tag_id": f"W{n % 3}.pressure",
        "value_double": value if isinstance(value, float) else None,
        "value_text": value if isinstance(value, str) else None,
        "value_bool": value if isinstance(value, bool) else None,
        "quality": GOOD,
        "observed_at": NOON + n * SECOND,
        "clock": "source",
        "served_at": None,
        "received_at": NOON + n * SECOND + SECOND / 2,
        "sequence": 0,
        "unit": "psi",
    }
    return Reading(**{**given, **other})


def message(
    number: int, *readings: Reading, store: str = "a", bridge: str = "field_scada", gaps: Iterable[Gap] = (), **other
) -> Message:
    """Message `number` of a store; unless told otherwise it carries reading `number`."""
    gaps = tuple(gaps)
    sent_at = other.pop("sent_at", NOON + number * SECOND)
    return Message(bridge, store, number, sent_at, readings or (() if gaps else (reading(number),)), gaps)


def a_gap(tag_id: str = "W1.pressure", cause: str = "connection_lost") -> Gap:
    return gap("field_scada", [tag_id], NOON, NOON + 60 * SECOND, cause)


def values(folder: Path) -> list[float]:
    """value_double of every reading in the spool, segment by segment."""
    reader = SpoolReader(folder)
    return [v for segment in reader.sealed(0) for v in reader.read(segment)["value_double"].to_pylist()]


def until(holds: Callable[[], object], what: str, deadline_s: float = 60) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {deadline_s} s"
        time.sleep(0.02)
