"""The tag dictionary: every `dbt/seeds/<pack>/<pack>_tags.csv`, a row a tag."""

import csv
import io
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal

from include.errors import DeclarationError
from include.settings import ROOT

SEEDS = ROOT / "dbt" / "seeds"
DATA_TYPES = ("double", "long", "boolean", "text")
DEADBAND_TYPES = ("absolute", "percent")


@dataclass(frozen=True, slots=True)
class Tag:
    """One measured value as the plant knows it."""

    tag_id: str
    path: str  # ISA-95: enterprise/site/area/unit/measurement
    asset_id: str
    measurement: str
    source: str  # file stem in include/ot/sources
    address: str  # what the protocol client needs; empty where the source publishes by itself
    data_type: Literal["double", "long", "boolean", "text"]
    unit: str  # as measured
    range_low: float | None = None
    range_high: float | None = None
    deadband: float | None = None
    deadband_type: Literal["absolute", "percent"] | None = None
    sampling_ms: int | None = None
    owner: str = ""
    description: str = ""
    silence_s: float | None = None  # longest that a sound tag is silent; a column that a dictionary may leave out


OPTIONAL = ("silence_s",)
COLUMNS = tuple(field.name for field in fields(Tag) if field.name not in OPTIONAL)


def tags(source: str | None = None) -> tuple[Tag, ...]:
    """The tags of one source, or of all, in the order of the dictionary.

    Raises `DeclarationError` naming file and line where the dictionary cannot be used; nothing is half taken.
    """
    found = _all(fingerprint())
    return found if source is None else tuple(tag for tag in found if tag.source == source)


def fingerprint() -> tuple[tuple[str, int, int, int], ...]:
    """What changes when the dictionary does; cheap enough to be asked every second."""
    found = []
    for path in _files():
        with suppress(FileNotFoundError):  # it is being replaced
            stat = path.stat()
            found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


def _files() -> list[Path]:
    return sorted(SEEDS.glob("*/*_tags.csv"))


@lru_cache(maxsize=1)
def _all(_fingerprint: tuple) -> tuple[Tag, ...]:
    found: dict[str, Tag] = {}
    for path in _files():
        for tag in read(path):
            if tag.tag_id in found:
                raise DeclarationError(f"{path}: the tag {tag.tag_id!r} is declared twice; give one another name")
            found[tag.tag_id] = tag
    return tuple(found.values())


def read(path: Path) -> Iterable[Tag]:
    """The tags of one file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DeclarationError(f"{path} is not UTF-8: {error}. Save it as a CSV in UTF-8") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if missing := set(COLUMNS) - set(rows.fieldnames or ()):
        raise DeclarationError(f"{path}: the columns {sorted(missing)} are missing; it needs {','.join(COLUMNS)}")
    for row in rows:
        try:
            yield _tag(row)
        except ValueError as error:
            raise DeclarationError(f"{path}, line {rows.line_num}: {error}") from error


def _tag(row: dict[str, str | None]) -> Tag:
    row = {name: (row.get(name) or "").strip() for name in (*COLUMNS, *OPTIONAL)}
    for name in ("tag_id", "path", "asset_id", "measurement", "source", "unit"):
        if not row[name]:
            raise ValueError(f"{name} is empty")
    if len([element for element in row["path"].split("/") if element]) < 2:
        raise ValueError(f"path {row['path']!r} has no level above the measurement")
    _one_of(row, "data_type", DATA_TYPES)
    deadband = _float(row, "deadband")
    if deadband is not None:
        _one_of(row, "deadband_type", DEADBAND_TYPES)
        if deadband < 0:
            raise ValueError(f"deadband {deadband} is negative")
    low, high = _float(row, "range_low"), _float(row, "range_high")
    if low is not None and high is not None and low >= high:
        raise ValueError(f"range_low {low} is not below range_high {high}")
    if deadband is not None and row["deadband_type"] == "percent" and (low is None or high is None):
        raise ValueError("a percent deadband needs range_low and range_high")
    sampling_ms = _float(row, "sampling_ms")
    if sampling_ms is not None and (sampling_ms <= 0 or sampling_ms != int(sampling_ms)):
        raise ValueError(f"sampling_ms {row['sampling_ms']!r} is not a whole number above 0")
    silence_s = _float(row, "silence_s")
    if silence_s is not None and silence_s <= 0:
        raise ValueError(f"silence_s {row['silence_s']!r} is not above 0")
    return Tag(
        tag_id=row["tag_id"],
        path=row["path"],
        asset_id=row["asset_id"],
        measurement=row["measurement"],
        source=row["source"],
        address=row["address"],
        data_type=row["data_type"],
        unit=row["unit"],
        range_low=low,
        range_high=high,
        deadband=deadband,
        deadband_type=row["deadband_type"] if deadband is not None else None,
        sampling_ms=None if sampling_ms is None else int(sampling_ms),
        owner=row["owner"],
        description=row["description"],
        silence_s=silence_s,
    )


def _one_of(row: dict[str, str], name: str, known: tuple[str, ...]) -> None:
    if row[name] not in known:
        raise ValueError(f"{name} {row[name]!r} is none of {', '.join(known)}")


def _float(row: dict[str, str], name: str) -> float | None:
    if not row[name]:
        return None
    try:
        number = float(row[name])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} {row[name]!r} is no number")
    return number
