"""The machines' past as a historian would export it: each change of state, the counters once a minute, and what the
drives' sensors showed each quarter of an hour. A reading without a value says that the controller did not answer."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo import plant_calendar, plant_line, plant_shown, plant_signals
from demo.plant_calendar import ONE_DAY
from demo.plant_line import MODULUS, SECOND, STATIONS, Kind
from demo.plant_mes import Plant
from demo.plant_shown import COUNTS

MINUTE = 60
SIGNALS_EVERY_S = 900
MILLISECOND = 1000  # microseconds
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
    while plant_calendar.starts_at(day) < until:
        yield day
        day += ONE_DAY


def _of_day(plant: Plant, station: str, day: date, until: datetime) -> Iterator[pa.Table]:
    found = plant_line.station_day(station, day, plant.seed)
    starts_us = int(found.starts_at.timestamp()) * SECOND
    length = min(len(found.kind), max(0, int((until - found.starts_at).total_seconds())))
    for measurement, values in plant_shown.states(station, found).items():
        changes = np.flatnonzero(_is_news(values[:length]))
        yield _table(station, measurement, starts_us + changes * SECOND, values[changes])
    is_away = found.kind == Kind.UNAVAILABLE
    # The last millisecond of a minute shows what was made in it, so that a shift's last minute counts for the shift.
    # So does the last one before the controller stops answering.
    goes_away = np.flatnonzero(is_away[1:length] & ~is_away[: max(length - 1, 0)]) + 1
    ends = np.union1d(np.arange(MINUTE, length + 1, MINUTE), goes_away)
    for row, measurement in enumerate(COUNTS):
        counts = (plant_line.made_before(station, day, plant.seed)[row] + found.counted[row][ends]) % MODULUS
        values = np.where(is_away[ends - 1], None, counts.astype(str).astype(object))
        news = _is_news(values)
        yield _table(station, measurement, starts_us + ends[news] * SECOND - MILLISECOND, values[news])
    at = np.arange(0, length, SIGNALS_EVERY_S)
    measured = plant_signals.signals(station, day, plant.seed)[:, at // plant_signals.MINUTE_S]
    for signal, shown in zip(plant_signals.SIGNALS, measured, strict=True):
        values = np.where(is_away[at], None, shown.astype(str).astype(object))
        yield _table(station, signal.name, starts_us + at * SECOND, values)


def _is_news(values: np.ndarray) -> np.ndarray:
    """Where a value is another than the one before it."""
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])


def _table(station: str, measurement: str, at_us: np.ndarray, values: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "tag_id": pa.repeat(pa.scalar(f"{station}.{measurement}"), len(at_us)),
            "observed_at": pa.array(at_us, pa.int64()).cast(SCHEMA.field("observed_at").type),
            "value": pa.array(values, pa.string()),
        },
        schema=SCHEMA,
    )
