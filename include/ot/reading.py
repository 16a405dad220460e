"""What a source said (`Sample`), what travels and is stored (`Reading`), what may be missing (`Gap`), and the payload.

A payload is JSON, version 1; times are microseconds since 1970 UTC, and NaN is a quality, never a number:

    {"v": 1, "bridge": "field_scada", "store": "<uuid of the outbox>", "n": 17, "sent_us": …,
     "readings": [[tag_id, observed_us, sequence, value, quality, clock, served_us, received_us, unit], …],
     "gaps": [[gap_id, source, [tag_id, …], from_us, to_us, cause], …]}

`(store, n)` names a message for ever: who sees the pair twice has a repetition before him, not news.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from include.errors import PayloadError
from include.ot.tags import Tag

VERSION = 1

# OPC UA status codes. The two highest bits tell good (00), uncertain (01) and bad (10) apart.
GOOD = 0
UNCERTAIN = 0x40000000
BAD = 0x80000000
BAD_NO_COMMUNICATION = 0x80310000
BAD_NOT_CONNECTED = 0x808A0000
BAD_OUT_OF_RANGE = 0x803C0000  # NaN, infinity, a scaled value that its register cannot hold
BAD_TYPE_MISMATCH = 0x80740000  # a text where the dictionary promises a number
BAD_DEVICE_FAILURE = 0x808B0000
BAD_SENSOR_FAILURE = 0x808C0000
BAD_NO_DATA = 0x809B0000
BAD_NODE_ID_UNKNOWN = 0x80340000
BAD_TIMEOUT = 0x800A0000
BAD_TOO_LONG = 0x80080000  # a text that no reading holds

Value = float | int | str | bool | None
Clock = Literal["source", "server", "bridge"]
CLOCKS = ("source", "server", "bridge")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
EXACT = 2**53  # beyond it a double cannot hold every integer
LONGEST_TEXT = 32_768
_US = timedelta(microseconds=1)


def is_good(quality: int) -> bool:
    return quality >> 30 == 0


def is_bad(quality: int) -> bool:
    return quality >> 30 >= 2


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (moment - EPOCH) // _US


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a protocol client saw. Every time is aware and in UTC."""

    tag_id: str
    value: Value
    quality: int  # OPC UA status code
    observed_at: datetime | None  # the source's own time
    served_at: datetime | None  # the server's
    received_at: datetime  # ours


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one tag. Key: tag_id, observed_at, sequence.

    An integer that no double holds exactly (beyond 2**53) has its nearest double and all its digits as text.
    """

    tag_id: str
    value_double: float | None
    value_text: str | None
    value_bool: bool | None
    quality: int
    observed_at: datetime
    clock: Clock  # whose time observed_at is
    served_at: datetime | None
    received_at: datetime
    sequence: int  # ordinal among the samples of this tag at this observed_at
    unit: str


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which samples of some tags may be missing.

    Causes: queue_overflow, connection_lost, bridge_stopped, first_seen, outbox_full, no_response, spool_corrupt,
    sequence_jump, birth_missing.
    """

    gap_id: str
    source: str
    tag_ids: tuple[str, ...]
    from_at: datetime
    to_at: datetime
    cause: str


def gap(source: str, tag_ids: Iterable[str], from_at: datetime, to_at: datetime, cause: str) -> Gap:
    """A gap under the id that its source, cause and start give it: told twice, it is still one gap."""
    name = f"{source} {cause} {microseconds(from_at)}"
    return Gap(hashlib.sha256(name.encode()).hexdigest()[:16], source, tuple(tag_ids), from_at, to_at, cause)


@dataclass(frozen=True, slots=True)
class Message:
    """What a bridge sends in one piece; `number` counts 1, 2, 3 … within its store."""

    bridge: str
    store: str
    number: int
    sent_at: datetime
    readings: tuple[Reading, ...] = ()
    gaps: tuple[Gap, ...] = ()


class Sequencer:
    """Gives samples their time and their ordinal, the same ones whoever asks: live bridge or history.

    *Time.* `observed_at` is the source's; without one the server's (clock "server"); without either ours
    (clock "bridge"). A time before 2000 or more than a day ahead of ours is a clock that was never set: ours is
    taken instead, and clock "bridge" tells.

    *Ordinal.* Samples of one tag at one time count 0, 1, 2 … in the order in which they come. One that
    repeats the value and quality of the one before it at that time is no news: None.

    *Memory.* The latest `DEPTH` times of each tag are remembered, in the order in which they were first seen, so a
    late or repeated sample of one of those meets its own ordinals. An older one starts at 0 again, and stores
    keep what they had under that key.
    """

    DEPTH = 8

    def __init__(self, last: Mapping[str, Sequence[Sequence[Any]]] = {}) -> None:
        self._seen = {
            tag_id: {us: (n, value, quality) for us, n, value, quality in times} for tag_id, times in last.items()
        }

    def of(self, sample: Sample, tag: Tag) -> Reading | None:
        """The reading of a sample, or None where it repeats the last one."""
        value, quality = _told(sample.value, sample.quality, tag.data_type)
        observed_at, clock = _time_of(sample)
        us = (observed_at - EPOCH) // _US
        times = self._seen.get(sample.tag_id)
        before = times.get(us) if times is not None else None
        if before is None:
            sequence = 0
        elif before[1] == value and before[2] == quality:
            return None
        else:
            sequence = before[0] + 1
        self._keep(sample.tag_id, us, sequence, value, quality)
        double, text, flag = _columns(value)
        return Reading(
            sample.tag_id,
            double,
            text,
            flag,
            quality,
            observed_at,
            clock,
            sample.served_at,
            sample.received_at,
            sequence,
            tag.unit,
        )

    def saw(self, reading: Reading) -> None:
        """Remember a reading that was given its ordinal earlier: how a restart goes on where the outbox stopped."""
        us = microseconds(reading.observed_at)
        self._keep(reading.tag_id, us, reading.sequence, _value(reading), reading.quality)

    def state(self) -> dict[str, list[tuple[int, int, Value, int]]]:
        """All that is remembered, ready for JSON and for another `Sequencer`."""
        return {tag_id: [(us, *rest) for us, rest in times.items()] for tag_id, times in self._seen.items()}

    def _keep(self, tag_id: str, us: int, sequence: int, value: Value, quality: int) -> None:
        times = self._seen.setdefault(tag_id, {})
        times[us] = (sequence, value, quality)
        if len(times) > self.DEPTH:
            del times[next(iter(times))]


def _time_of(sample: Sample) -> tuple[datetime, Clock]:
    for at, clock in ((sample.observed_at, "source"), (sample.served_at, "server")):
        if at is not None:
            if EARLIEST <= at <= sample.received_at + AHEAD:
                return at, clock
            break
    return sample.received_at, "bridge"


def _told(value: Value, quality: int, data_type: str) -> tuple[Value, int]:
    """Value and quality as they are stored: of the tag's type, or none and the reason as a bad quality.

    A bad quality has no number or flag; a text that a source gives instead ("No Data") is kept as evidence.
    """
    if isinstance(value, str):
        value = _plain(value)
        if len(value) > LONGEST_TEXT:
            return None, quality if is_bad(quality) else BAD_TOO_LONG
    if is_bad(quality):
        return (value if isinstance(value, str) else None), quality
    if value is None:
        return None, BAD_NO_DATA
    if not isinstance(value, float | int | str):
        return None, BAD_TYPE_MISMATCH
    if data_type == "text":
        return (value if isinstance(value, str) else _as_text(value)), quality
    if isinstance(value, str):
        value = _number(value)
        if isinstance(value, str):
            return value, BAD_TYPE_MISMATCH
    if isinstance(value, float) and not math.isfinite(value):
        return None, BAD_OUT_OF_RANGE
    if data_type == "boolean":
        return (value == 1, quality) if value in (0, 1) else (None, BAD_TYPE_MISMATCH)
    if isinstance(value, float):
        return value, quality
    if data_type == "long" and abs(value) > EXACT and -(2**63) <= value < 2**64:
        return (value if int(float(value)) != value else float(value)), quality
    try:
        return float(value), quality
    except OverflowError:
        return None, BAD_OUT_OF_RANGE


def _plain(text: str) -> str:
    """A text that UTF-8, JSON and PostgreSQL can hold: without the NULs that pad it, or half characters."""
    if text.isascii() and "\0" not in text:
        return text
    return text.rstrip("\0").replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def _as_text(value: float | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> float | int | str:
    """A number that a source gives as text; the text itself where it is none."""
    for read in (int, float):
        try:
            return text if "_" in text else read(text)
        except ValueError:
            continue
    return text


def _columns(value: Value) -> tuple[float | None, str | None, bool | None]:
    """value_double, value_text and value_bool of a value."""
    if value is None:
        return None, None, None
    if value is True or value is False:
        return None, None, value
    if isinstance(value, str):
        return None, value, None
    if isinstance(value, int) and int(float(value)) != value:
        return float(value), str(value), None
    return float(value), None, None


def _value(reading: Reading) -> Value:
    """The one value of a reading, as `_columns` takes it."""
    if reading.value_double is not None:
        return reading.value_double if reading.value_text is None else int(reading.value_text)
    return reading.value_text if reading.value_text is not None else reading.value_bool


def encode(message: Message) -> bytes:
    """The payload of a message. Its readings must hold no NaN; those that a `Sequencer` made never do."""
    return orjson.dumps(
        {
            "v": VERSION,
            "bridge": message.bridge,
            "store": message.store,
            "n": message.number,
            "sent_us": microseconds(message.sent_at),
            "readings": [
                (
                    r.tag_id,
                    (r.observed_at - EPOCH) // _US,
                    r.sequence,
                    _value(r),
                    r.quality,
                    r.clock,
                    None if r.served_at is None else (r.served_at - EPOCH) // _US,
                    (r.received_at - EPOCH) // _US,
                    r.unit,
                )
                for r in message.readings
            ],
            "gaps": [
                (g.gap_id, g.source, g.tag_ids, microseconds(g.from_at), microseconds(g.to_at), g.cause)
                for g in message.gaps
            ],
        }
    )


def decode(payload: bytes) -> Message:
    """The message of a payload. Raises `PayloadError` naming what is wrong; nothing is half taken."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise PayloadError(f"The payload of {len(payload)} bytes is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise PayloadError(f"The payload is a JSON {type(found).__name__}, not an object")
    if found.get("v") != VERSION:
        raise PayloadError(
            f"The payload is of version {found.get('v')!r}; this recorder reads {VERSION}. Update the older side"
        )
    try:
        return Message(
            bridge=_typed(found, "bridge", str),
            store=_typed(found, "store", str),
            number=_typed(found, "n", int),
            sent_at=moment(_typed(found, "sent_us", int)),
            readings=tuple(_reading(i, entry) for i, entry in enumerate(_typed(found, "readings", list))),
            gaps=tuple(_gap(i, entry) for i, entry in enumerate(_typed(found, "gaps", list))),
        )
    except OverflowError as error:
        raise PayloadError(f"A time of the payload is no date: {error}") from error


def _typed(found: dict, name: str, kind: type) -> Any:
    value = found.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise PayloadError(f"The payload's {name!r} is {value!r:.80}, not {kind.__name__}")
    return value


def _reading(index: int, entry: Any) -> Reading:
    try:
        tag_id, observed, sequence, value, quality, clock, served, received, unit = entry
        if not (isinstance(tag_id, str) and tag_id and isinstance(unit, str) and clock in CLOCKS):
            raise TypeError("tag_id, clock or unit")
        if not (type(sequence) is int and 0 <= sequence < 2**31 and type(quality) is int and 0 <= quality < 2**32):
            raise TypeError("sequence or quality")
        if not (type(observed) is int and type(received) is int and (served is None or type(served) is int)):
            raise TypeError("a time that is no whole number of microseconds")
        if isinstance(value, list | dict):
            raise TypeError("value")
        double, text, flag = _columns(value)
        return Reading(
            tag_id,
            double,
            text,
            flag,
            quality,
            EPOCH + timedelta(microseconds=observed),
            clock,
            None if served is None else EPOCH + timedelta(microseconds=served),
            EPOCH + timedelta(microseconds=received),
            sequence,
            unit,
        )
    except (TypeError, ValueError) as error:
        raise PayloadError(f"Reading {index} of the payload is {entry!r:.200}: {error}") from error


def _gap(index: int, entry: Any) -> Gap:
    try:
        gap_id, source, tag_ids, from_us, to_us, cause = entry
        if not all(isinstance(text, str) for text in (gap_id, source, cause, *tag_ids)):
            raise TypeError("gap_id, source, cause or tag_ids")
        return Gap(gap_id, source, tuple(tag_ids), moment(from_us), moment(to_us), cause)
    except (TypeError, ValueError) as error:
        raise PayloadError(f"Gap {index} of the payload is {entry!r:.200}: {error}") from error
