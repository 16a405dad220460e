"""SHDR, the lines that MTConnect adapters send and log: `timestamp|key|value|key|value …`.

    2026-03-01T12:00:00.5Z|execution|ACTIVE|Xload|12.5     two data items at one time
    2026-03-01T12:00:00.5Z|Mazak01:execution|              of a named device; nothing as value
    2026-03-01T12:00:00.5Z|temp_cond|FAULT|1010|2|HIGH|Spindle hot     a condition: level, native code, native
                                                           severity, qualifier, text; alone or last in its line
    2026-03-01T12:00:00.5Z|note|CHG|Change tool            a message: native code and text, alone in its line
    2026-03-01T12:00:00.5Z|vibration|3|100|1.5 1.6 1.4     a time series: count, rate in Hz, values
    2026-03-01T12:00:00.5Z@60|avg_power|4.2                a statistic over 60 s
    |execution|READY                                       without a time: as it comes in
    2026-03-01T12:00:00.5Z|note|CHG|"a \\| in a text"       in quotes, a backslash takes the next character as it is
    2026-03-01T12:00:00.5Z|@ASSET@|T1|CuttingTool|…        assets are no data of a tag: counted, not read
    * PONG 10000                                           protocol: counted, not read

A line does not say what its keys are. What reads as a condition, message or time series is one; where that is
wrong for a key, its kind is declared. Times without a zone are UTC, as the standard wants them, unless a zone is given.
A line that cannot be read is refused as a whole, with its reason: half a line is no evidence.
"""

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from include.ot.observations import PARTS, Kind, Observation, condition_text, is_unavailable

LEVELS = ("NORMAL", "WARNING", "FAULT", "UNAVAILABLE")
QUALIFIERS = ("", "HIGH", "LOW")
MULTILINE = "--multiline--"
MOST_LINES = 10_000  # of one multi-line text
REMEMBERED = 20  # refused lines

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))?\s*(?:(Z)|([+-])(\d\d):?(\d\d))?", re.ASCII | re.I
)
_QUOTED = re.compile(r'\s*"((?:[^"\\|]|\\.|"(?!\s*(?:\||$)))*)"\s*(?=\||$)', re.S)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?", re.I)
_TERMS = {"condition": 5, "message": 2, "time_series": 3, "value": 1}  # fields after the key


class Unreadable(ValueError):
    """A line that is no SHDR; the message is the reason."""


class Parser:
    """Reads lines one after the other, and counts what it met. One parser for one stream or file."""

    def __init__(self, kinds: Mapping[str, Kind] = {}, timezone: tzinfo = UTC, device: str | None = None) -> None:
        self.kinds, self.timezone = kinds, timezone
        self.device = device  # of keys that name none
        self.counts: Counter[str] = Counter(lines=0, observations=0, protocol=0, assets=0, refused=0)
        self.refused: Counter[str] = Counter()  # by reason
        self.last_refused: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)  # line and reason
        self._text: list[str] = []  # of a multi-line text that is not at its end
        self._end = ""

    @property
    def is_open(self) -> bool:
        """Whether the last line is the beginning of a text that goes on."""
        return bool(self._text)

    def feed(self, line: str) -> list[Observation]:
        """The observations of one line; none of one that is refused, told in `refused`."""
        line = line.strip("\r\n\ufeff")
        if self._text and not self._is_whole(line):
            return []
        if self._text:
            line, self._text = "\n".join(self._text), []
        elif MULTILINE in line:
            start, _, mark = line.rpartition(MULTILINE)
            self._text, self._end = [start], MULTILINE + mark.strip()
            return []
        if not line.strip():
            return []
        self.counts["lines"] += 1
        try:
            found = list(self._read(line))
        except Unreadable as error:
            self.counts["refused"] += 1
            self.refused[str(error)] += 1
            self.last_refused.append((line[:200], str(error)))
            return []
        self.counts["observations"] += len(found)
        return found

    def _is_whole(self, line: str) -> bool:
        """Add a line to a multi-line text; whether it is the end of it."""
        if line.strip() == self._end:
            return True
        self._text.append(line)
        if len(self._text) > MOST_LINES:
            self.counts["lines"] += 1
            self.counts["refused"] += 1
            self.refused["a multi-line text without its end"] += 1
            self._text = []
        return False

    def _read(self, line: str) -> Iterator[Observation]:
        if line.startswith("*"):
            self.counts["protocol"] += 1
            return
        first, *rest = fields_of(line)
        at, duration_s = _time_and_duration(first, self.timezone)
        if not rest:
            raise Unreadable("nothing after the time")
        if rest[0].startswith("@"):
            self.counts["assets"] += 1
            return
        start = 0
        while start < len(rest):
            name = rest[start]
            device, _, key = name.partition(":") if ":" in name else ("", "", name)
            if not key:
                raise Unreadable("an empty key")
            kind = self.kinds.get(name) or self.kinds.get(key) or _kind(rest, start)
            end = min(start + 1 + _TERMS[kind], len(rest))
            yield _observation(key, kind, rest[start + 1 : end], at, device or self.device, duration_s)
            start = end


def fields_of(line: str) -> list[str]:
    """The fields of a line, trimmed. One in quotes may hold pipes after backslashes."""
    if '"' not in line:
        return [field.strip() for field in line.split("|")]
    found, at = [], 0
    while at <= len(line):
        quoted = _QUOTED.match(line, at)
        if quoted:
            found.append(re.sub(r"\\(.)", r"\1", quoted[1], flags=re.S))
            at = quoted.end() + 1
        else:
            end = line.find("|", at)
            end = len(line) if end < 0 else end
            found.append(line[at:end].strip())
            at = end + 1
    return found


def _kind(fields: list[str], at: int) -> Kind:
    """What the key at `at` reads as, by what follows it."""
    after = len(fields) - at - 1
    if after >= 5 and fields[at + 1].upper() in LEVELS and fields[at + 4].upper() in QUALIFIERS:
        return "condition"
    if at == 0 and after == 2:
        return "message"
    if at == 0 and after == 3 and _is_series(*fields[1:]):
        return "time_series"
    return "value"


def _is_series(count: str, rate: str, values: str) -> bool:
    if not count.isdecimal() or not (rate == "" or _NUMBER.fullmatch(rate)):
        return False
    if is_unavailable(values):
        return True
    numbers = values.split()
    return len(numbers) == int(count) > 0 and all(map(_NUMBER.fullmatch, numbers))


def _observation(
    key: str, kind: Kind, terms: list[str], at: datetime | None, device: str | None, duration_s: float | None
) -> Observation:
    if kind == "condition":
        parts = dict(zip(PARTS, [*terms, *[""] * (5 - len(terms))], strict=True))
        parts["level"] = parts["level"].upper()
        value = None if is_unavailable(parts["level"]) else condition_text(parts)
        return Observation(key, value, at, device, kind, parts, duration_s=duration_s)
    if kind == "message":
        code, text = (terms + [""])[:2] if terms else ("", "")
        parts = {"code": code, "text": text}
        return Observation(key, None if is_unavailable(text) else text, at, device, kind, parts)
    if kind == "time_series":
        values = terms[-1] if terms else ""
        if is_unavailable(values):
            return Observation(key, None, at, device, kind)
        rate = terms[1] if len(terms) == 3 else ""
        if len(terms) != 3 or not terms[0].isdecimal() or int(terms[0]) != len(values.split()):
            raise Unreadable("a time series whose count is not that of its values")
        if rate and not (_NUMBER.fullmatch(rate) and 0 < float(rate) < float("inf")):
            raise Unreadable("a time series whose rate is no number above 0")
        return Observation(key, values, at, device, kind, rate_hz=float(rate) if rate else None, duration_s=duration_s)
    value = terms[0] if terms else ""
    return Observation(key, None if is_unavailable(value) else value, at, device, kind, duration_s=duration_s)


def _time_and_duration(text: str, timezone: tzinfo) -> tuple[datetime | None, float | None]:
    time, at, duration = text.partition("@")
    if at and not (_NUMBER.fullmatch(duration) and 0 <= float(duration) < float("inf")):
        raise Unreadable("a duration that is no number")
    return (time_of(time, timezone) if time else None), (float(duration) if at else None)


@lru_cache(maxsize=4096)
def time_of(text: str, timezone: tzinfo = UTC) -> datetime:
    """A time in UTC; digits beyond microseconds are left out. One without a zone is in `timezone`."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise Unreadable("a time that is none")
    year, month, day, hour, minute, second, fraction, z, sign, hours, minutes = found.groups()
    micros = int(f"{fraction or '0':0<6}"[:6])
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), min(int(second), 59), micros)
        if int(second) > 60:
            raise ValueError
        leap = timedelta(seconds=int(second) == 60)
        if z:
            return local.replace(tzinfo=UTC) + leap
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            return local.replace(tzinfo=UTC) - (offset if sign == "+" else -offset) + leap
        return local.replace(tzinfo=timezone).astimezone(UTC) + leap
    except (ValueError, OverflowError):
        raise Unreadable("a time that is none") from None
