"""A message as columns: how the recorder reads payloads by the thousand without an object per reading.

What a payload must be is said by `reading.decode` alone. Here only what is plainly right is taken at once; anything
else goes to `decode`, which takes it or names what is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa

from include.errors import PayloadError
from include.ot.reading import CLOCKS, EXACT, Gap, Message, decode, microseconds
from include.ot.tables import SEGMENT_SCHEMA

FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999: what a datetime can hold
_NULL = type(None)


@dataclass(frozen=True, slots=True)
class Columns:
    """A message; of its readings a sequence for each column of `SEGMENT_SCHEMA`, times in microseconds."""

    bridge: str
    store: str
    number: int
    sent_us: int
    readings: Sequence[Sequence[Any]]
    gaps: tuple[Gap, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.readings[0])


def read_message(payload: bytes) -> Columns:
    """The message of a payload. Raises `PayloadError` naming what is wrong; nothing is half taken."""
    try:
        found = orjson.loads(payload)
        readings = _plain(found["readings"])
        head = decode(orjson.dumps({**found, "readings": ()}))
    except (ValueError, TypeError, KeyError, OverflowError, PayloadError):
        return of(decode(payload))
    return Columns(head.bridge, head.store, head.number, microseconds(head.sent_at), readings, head.gaps)


def of(message: Message) -> Columns:
    rows = message.readings
    columns = [
        [r.tag_id for r in rows],
        [microseconds(r.observed_at) for r in rows],
        [r.sequence for r in rows],
        [r.value_double for r in rows],
        [r.value_text for r in rows],
        [r.value_bool for r in rows],
        [r.quality for r in rows],
        [r.clock for r in rows],
        [None if r.served_at is None else microseconds(r.served_at) for r in rows],
        [microseconds(r.received_at) for r in rows],
        [r.unit for r in rows],
    ]
    return Columns(message.bridge, message.store, message.number, microseconds(message.sent_at), columns, message.gaps)


def table(messages: Iterable[Columns]) -> pa.Table:
    """The readings of some messages, in their order."""
    parts = [message.readings for message in messages]
    arrays = []
    for i, kind in enumerate(SEGMENT_SCHEMA.types):
        values = list(chain.from_iterable(part[i] for part in parts))
        if pa.types.is_timestamp(kind):
            arrays.append(pa.array(values, pa.int64()).cast(kind))
        else:
            arrays.append(pa.array(values, kind))
    return pa.Table.from_arrays(arrays, schema=SEGMENT_SCHEMA)


def _plain(rows: list[list[Any]]) -> Sequence[Sequence[Any]]:
    """The columns of a payload's readings. Raises `ValueError` where one asks for a closer look."""
    _only(type(rows) is list)
    if not rows:
        return [()] * len(SEGMENT_SCHEMA)
    tag_id, observed, sequence, value, quality, clock, served, received, unit = zip(*rows, strict=True)
    for column, allowed in (
        *((column, {str}) for column in (tag_id, unit)),
        *((column, {int}) for column in (observed, sequence, quality, received)),
        (served, {int, _NULL}),
    ):
        _only(set(map(type, column)) <= allowed)
    _only("" not in tag_id and set(clock) <= set(CLOCKS))
    _only(min(sequence) >= 0 and max(sequence) < 2**31 and min(quality) >= 0 and max(quality) < 2**32)
    times = (observed, received, [us for us in served if us is not None])
    _only(all(min(us) >= FIRST_US and max(us) <= LAST_US for us in times if us))
    return [tag_id, observed, sequence, *_values(value), quality, clock, served, received, unit]


def _values(values: tuple[Any, ...]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """value_double, value_text and value_bool of each reading."""
    kinds = set(map(type, values))
    _only(kinds <= {float, int, str, bool, _NULL})
    nothing = (None,) * len(values)
    if kinds <= {float, _NULL}:
        return values, nothing, nothing
    if int in kinds:
        _only(all(-EXACT <= v <= EXACT for v in values if type(v) is int))
    doubles = [float(v) if type(v) is float or type(v) is int else None for v in values]
    texts = [v if type(v) is str else None for v in values] if str in kinds else nothing
    flags = [v if type(v) is bool else None for v in values] if bool in kinds else nothing
    return doubles, texts, flags


def _only(is_plain: bool) -> None:
    if not is_plain:
        raise ValueError("this payload is for reading.decode")
