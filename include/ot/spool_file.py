"""One segment as a Parquet file, and how a file becomes durable.

A segment tells by itself, in the metadata of its file, what the index says of it; the message ranges are those of
the whole spool up to it. So the newest file alone suffices to know every message that was ever taken.
"""

import io
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.errors import SpoolError
from include.ot.reading import Gap, Message, decode, encode, microseconds, moment

PREFIX, SUFFIX = "segment-", ".parquet"


def file_name(number: int) -> str:
    return f"{PREFIX}{number:012d}{SUFFIX}"


def number_of(path: Path) -> int | None:
    """The number of a segment's file; None for other files."""
    digits = path.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    return int(digits) if digits.isdecimal() and path.name == file_name(int(digits)) else None


@dataclass(frozen=True, slots=True)
class Label:
    """What a segment's file says of itself."""

    spool: str
    number: int
    sealed_at: datetime
    bridges: tuple[tuple[str, int], ...]  # in the order of the rows: whose they are, and how many
    gaps: tuple[Gap, ...]
    seen: str  # `Seen` of the whole spool, this segment included


def to_bytes(readings: pa.Table, label: Label) -> bytes:
    metadata = {
        "hnai.spool": label.spool,
        "hnai.number": str(label.number),
        "hnai.sealed_us": str(microseconds(label.sealed_at)),
        "hnai.bridges": json.dumps(label.bridges),
        "hnai.gaps": gaps_to_text(label.gaps),
        "hnai.seen": label.seen,
    }
    out = io.BytesIO()
    pq.write_table(
        readings.replace_schema_metadata(metadata), out, compression="zstd", write_page_checksum=True, store_schema=True
    )
    return out.getvalue()


def of_bytes(data: bytes) -> tuple[pa.Table, Label]:
    """Readings and label of a file's content. Raises `SpoolError` where it is not a whole segment."""
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        said = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        label = Label(
            spool=said["hnai.spool"],
            number=int(said["hnai.number"]),
            sealed_at=moment(int(said["hnai.sealed_us"])),
            bridges=tuple((bridge, rows) for bridge, rows in json.loads(said["hnai.bridges"])),
            gaps=gaps_of_text(said["hnai.gaps"]),
            seen=said["hnai.seen"],
        )
        table.select(["tag_id", "observed_at"])
        if sum(rows for _, rows in label.bridges) != table.num_rows:
            raise ValueError(f"it says {label.bridges} of its {table.num_rows} rows")
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise SpoolError(f"is no whole segment: {error}") from error
    return table.replace_schema_metadata(None), label


def gaps_to_text(gaps: Sequence[Gap]) -> str:
    """Gaps as they travel: a message without readings."""
    return encode(Message("", "", 0, moment(0), gaps=tuple(gaps))).decode()


def gaps_of_text(text: str) -> tuple[Gap, ...]:
    return decode(text.encode()).gaps


def write_durably(path: Path, data: bytes) -> None:
    """Make a file that is there whole after a crash, or not at all. Raises `OSError`, and leaves nothing half done."""
    half = path.with_name(f"{path.name}.tmp")
    try:
        write_half(half, data)
        half.rename(path)
    except OSError:
        with suppress(OSError):
            half.unlink()
        raise
    sync_folder(path.parent)


def write_half(path: Path, data: bytes) -> None:
    with path.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
