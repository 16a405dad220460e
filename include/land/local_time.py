"""Local times to UTC, once, at landing: which offset a wall clock showed, and whose wall clock it was.

A clock that is put back shows an hour twice. Nothing in a bare local time says which of the two is meant, so the
first is taken, always. A clock that is put forward skips an hour; a time within it is read by the offset that held
before, which moves it forward by the size of the gap. Both are what Python's `zoneinfo` gives for `fold=0`, so the
same row always lands on the same instant, whether it came by the stream, by a full load or by a replay.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa

from include.errors import DeclarationError

FIRST_YEAR, LAST_YEAR = 1900, 2100
_EPOCH = datetime(1970, 1, 1)
_STEP = timedelta(days=1)


@cache
def offsets(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """The wall-clock instants (microseconds) from which an offset holds in `zone`, and these offsets (microseconds)."""
    try:
        tz = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise DeclarationError(f"{zone!r} is not an IANA time zone") from error

    def offset(local: datetime) -> timedelta:
        return local.replace(tzinfo=tz).utcoffset() or timedelta(0)

    local, known = datetime(FIRST_YEAR, 1, 1), offset(datetime(FIRST_YEAR, 1, 1))
    starts, values = [np.iinfo(np.int64).min], [known // timedelta(microseconds=1)]
    while local.year <= LAST_YEAR:
        following = local + _STEP
        if (new := offset(following)) != known:
            low, high = local, following
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                low, high = (low, middle) if offset(middle) == new else (middle, high)
            start = high.replace(microsecond=0)
            starts.append((start - _EPOCH) // timedelta(microseconds=1))
            values.append(new // timedelta(microseconds=1))
            known = new
        local = following
    return np.array(starts, dtype=np.int64), np.array(values, dtype=np.int64)


def to_utc(local: pa.Array | pa.ChunkedArray, zones: str | Sequence[str | None]) -> pa.Array:
    """The instants of wall-clock times: one zone for all, or one per value. No zone or no time gives null."""
    if isinstance(local, pa.ChunkedArray):
        local = local.combine_chunks()
    instants = pa.timestamp("us", tz="UTC")
    if not len(local):
        return pa.array([], instants)
    missing = np.asarray(local.is_null())
    wall = np.asarray(local.cast(pa.timestamp("us")).cast(pa.int64()).fill_null(0))
    utc = np.zeros(len(wall), dtype=np.int64)
    if isinstance(zones, str):
        utc = wall - _offset_at(wall, zones)
    else:
        names = np.array([z or "" for z in zones], dtype=object)
        for zone in set(names):
            here = names == zone
            if zone:
                utc[here] = wall[here] - _offset_at(wall[here], zone)
            else:
                missing = missing | here
    return pa.array(utc, pa.int64(), mask=missing).cast(instants)


def _offset_at(wall: np.ndarray, zone: str) -> np.ndarray:
    starts, values = offsets(zone)
    return values[np.searchsorted(starts, wall, side="right") - 1]


def offsets_table(zones: Sequence[str]) -> pa.Table:
    """The same rule as rows `(zone, local_from, offset_us)`, for an as-of join in SQL."""
    columns: dict[str, list] = {"zone": [], "local_from": [], "offset_us": []}
    floor = (datetime(1, 1, 1) - _EPOCH) // timedelta(microseconds=1)
    for zone in zones:
        starts, values = offsets(zone)
        columns["zone"] += [zone] * len(starts)
        columns["local_from"] += [max(int(s), floor) for s in starts]
        columns["offset_us"] += [int(v) for v in values]
    return pa.table(
        {
            "zone": pa.array(columns["zone"], pa.string()),
            "local_from": pa.array(columns["local_from"], pa.int64()).cast(pa.timestamp("us")),
            "offset_us": pa.array(columns["offset_us"], pa.int64()),
        }
    )
