"""The machines' past as a historian would export it: each change of state, and the counters once a minute."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo import plant_line
from demo.plant_line import COUNTS, MODULUS, SECOND, STATIONS, StationDay, words_of
from demo.plant_mes import Plant

MINUTE = 60
SCHEMA = pa.schema([("tag_id", pa.string()), ("observed_at", pa.timestamp("us", tz="UTC")), ("value", pa.string())])


def write(path: Path, plant: Plant, until: datetime, since: date | None = None) -> int:
    """Write what the machines showed before `until`, from the plant's first day or a later one; gives the readings."""
    rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as file:
        for day in _days(max(plant.start, since or plant.start), until):
            for station in STATIONS:
                table = pa.concat_tables(_of_day(plant, station, day, until))
                rows += table.num_rows
                file.write_table(table)
    return rows


def _days(first: date, until: datetime) -> Iterator[date]:
    day = first
    while plant_line.at_clock(day, plant_line.DAY_STARTS_H) < until:
        yield day
        day += timedelta(days=1)


def _of_day(plant: Plant, station: str, day, until: datetime) -> Iterator[pa.Table]:
    found = plant_line.station_day(station, day, plant.seed)
    starts_us = int(found.starts_at.timestamp()) * SECOND
    length = min(len(found.kind), max(0, int((until - found.starts_at).total_seconds())))
    for measurement, values in _states(station, found, length).items():
        changes = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if length else np.array([], int)
        yield _table(station, measurement, starts_us + changes * SECOND, values[changes])
    # The last millisecond of a minute shows what was made in it, so that a shift's last minute counts for the shift.
    minutes = np.arange(MINUTE, length + 1, MINUTE)
    for row, measurement in enumerate(COUNTS):
        before = plant_line.made_before(station, day, plant.seed)[row]
        shown = (before + found.counted[row][minutes]) % MODULUS
        is_news = np.diff(shown, prepend=-1) != 0
        at = starts_us + minutes[is_news] * SECOND - 1000
        yield _table(station, measurement, at, shown[is_news].astype(str))


def _states(station: str, found: StationDay, length: int) -> dict[str, np.ndarray]:
    said, kinds = words_of(station), found.kind[:length]
    codes = np.array([code or "none" for code in found.codes], dtype=object)
    return {"execution": said[kinds, 0], "mode": said[kinds, 1], "fault_code": codes[found.code[:length]]}


def _table(station: str, measurement: str, at_us: np.ndarray, values: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "tag_id": pa.repeat(pa.scalar(f"{station}.{measurement}"), len(at_us)),
            "observed_at": pa.array(at_us, pa.int64()).cast(SCHEMA.field("observed_at").type),
            "value": pa.array(values, pa.string()),
        },
        schema=SCHEMA,
    )
