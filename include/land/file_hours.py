"""Local times of a file as UTC instants: the hour that autumn repeats, the hour that spring skips.

The two `01:00-02:00` of a fall-back day look the same. A logger writes them one after the other, so the order of
the rows tells which is which: within the repeated stretch, the first pass is the earlier one, and where the time
repeats or steps back, the second pass has begun. In a file that runs backwards it is the other way round.
"""

import re
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from include.land.file_types import Reasons, _shown, by_distinct, read_date, read_timestamp

HOUR = timedelta(hours=1)
_RANGE = re.compile(r"(?P<day>.+?)[\sT]+(?P<start>\d{1,2}:\d{2})(:00)?\s*(?:-|–|to)\s*(?P<end>\d{1,2}:\d{2})(:00)?")
_OFFSET = re.compile(r".+\d:\d\d.*?(Z|[+-]\d\d(:?\d\d)?)")  # a time of day, then how far it is from UTC
LOCAL, INSTANT = pa.timestamp("us"), pa.timestamp("us", tz="UTC")


def read_hour_range(text: str, formats: tuple[str, ...], zone: ZoneInfo) -> datetime:
    """The local start of an hour such as `05/07/2024 23:00-00:00`; raises `ValueError` where it is not one hour."""
    match = _RANGE.fullmatch(text)
    if not match:
        raise ValueError(
            f"{_shown(text)} is not an hour such as '{datetime(2024, 5, 7).strftime(formats[0])} 13:00-14:00'"
        )
    start = datetime.combine(_day(match["day"], formats), _clock(match["start"], text))
    end = f"{_clock(match['end'], text):%H:%M}"
    fitting = {(start + HOUR).strftime("%H:%M")}
    for fold in (0, 1):  # 01:00-03:00 in spring and 01:00-01:00 in autumn are one hour as well
        begin = start.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        fitting.add((begin + HOUR).astimezone(zone).strftime("%H:%M"))
    if end not in fitting:
        raise ValueError(f"{_shown(text)} is not one hour")
    return start


@lru_cache(maxsize=10_000)
def _day(text: str, formats: tuple[str, ...]) -> date:
    return read_date(text, formats)


def _clock(text: str, whole: str) -> time:
    hour, minute = (int(part) for part in text.split(":"))
    try:
        return time(0 if text == "24:00" else hour, minute)
    except ValueError:
        raise ValueError(f"{_shown(whole)} holds no time of day ({text})") from None


def read_local(texts: pa.Array, kind: str, formats: tuple[str, ...], zone: ZoneInfo) -> tuple[pa.Array, Reasons]:
    """The local times as written, without a zone, of a column of type `hour_range` or `timestamp`."""
    if kind == "hour_range":
        return by_distinct(texts, lambda text: read_hour_range(text, formats, zone), LOCAL)

    def read(text: str) -> datetime:
        instant = said_instant(text)
        return instant.astimezone(zone).replace(tzinfo=None) if instant else read_timestamp(text, formats)

    return by_distinct(texts, read, LOCAL)


def said_instant(text: str) -> datetime | None:
    """The instant of an ISO time that says its offset itself, as `2024-05-07T13:00:00Z`; None where it says none."""
    if not _OFFSET.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def said_instants(texts: pa.Array) -> pa.Array:
    """The instants of those texts that say their offset; null for all others."""
    found, _ = by_distinct(texts, said_instant, INSTANT)
    return found


def to_instants(local: pa.Array, series: list[object], zone: ZoneInfo) -> tuple[pa.Array, Reasons, list[str]]:
    """The UTC instant of each local time, the cells that the clock skips, and notes on what had to be assumed.

    `series` says of each row to which meter or well it belongs: the order of rows counts within one series.
    """
    encoded = local.dictionary_encode()
    times = encoded.dictionary.to_pylist()
    first = [_instant(t, zone, 0) for t in times]
    second = [_instant(t, zone, 1) for t in times]
    skipped = {code for code, t in enumerate(times) if not _exists(t, zone)}
    repeated = {code for code in range(len(times)) if first[code] != second[code] and code not in skipped}
    instants = pa.array(first, INSTANT).take(encoded.indices)
    if not skipped and not repeated:
        return instants, {}, []
    codes = encoded.indices.to_pylist()
    reasons = {
        place: f"{times[code]} does not exist in {zone.key}: the clock skips it"
        for place, code in enumerate(codes)
        if code in skipped
    }
    later, notes = _second_passes(codes, times, repeated, series, local, zone)
    if later:
        values = instants.to_pylist()
        for place in later:
            values[place] = second[codes[place]]
        instants = pa.array(values, INSTANT)
    return instants, reasons, notes


def _second_passes(
    codes: list[int | None],
    times: list[datetime],
    repeated: set[int],
    series: list[object],
    local: pa.Array,
    zone: ZoneInfo,
) -> tuple[list[int], list[str]]:
    """The rows that belong to the second pass of a repeated stretch, and a note where there is only one pass."""
    stretches: dict[tuple[object, date], list[int]] = defaultdict(list)
    for place, code in enumerate(codes):
        if code in repeated:
            stretches[(series[place], times[code].date())].append(place)
    later, notes = [], []
    backwards = _runs_backwards(local)
    for (of, day), places in stretches.items():
        ordered = places[::-1] if backwards else places
        seen: datetime | None = None
        second = False
        for place in ordered:
            now = times[codes[place]]
            second = second or (seen is not None and now <= seen)
            seen = now
            if second:
                later.append(place)
        if not second:
            notes.append(
                f"{day}{f' of {of}' if of else ''}: the hour that {zone.key} repeats occurs once; "
                "taken as the first of the two"
            )
    return later, notes


def _runs_backwards(local: pa.Array) -> bool:
    """Whether the newest row stands first: more steps back in time than forward."""
    known = pc.drop_null(local).cast(pa.int64())
    if len(known) < 2:
        return False
    steps = pc.subtract(known.slice(1), known.slice(0, len(known) - 1))
    return (pc.sum(pc.less(steps, 0)).as_py() or 0) > (pc.sum(pc.greater(steps, 0)).as_py() or 0)


def _instant(local: datetime, zone: ZoneInfo, fold: int) -> datetime:
    return local.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _exists(local: datetime, zone: ZoneInfo) -> bool:
    return _instant(local, zone, 0).astimezone(zone).replace(tzinfo=None) == local
