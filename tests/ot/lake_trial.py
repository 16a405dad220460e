"""A spool of a trial's own, drained into `ot.*` tables that are empty at first, and what is in both."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include import lakehouse
from include.lakehouse_upkeep import tables as tables_of
from include.ot import mirror, tables
from include.ot.reading import GOOD, Gap, Message, Reading
from include.ot.spool import Segment, SpoolReader, SpoolWriter

SECOND = timedelta(seconds=1)
Key = tuple[str, datetime, int]


def reading(tag_id: str, at: datetime, value: float = 1.0, sequence: int = 0, quality: int = GOOD) -> Reading:
    return Reading(tag_id, value, None, None, quality, at, "source", None, at + SECOND, sequence, "psi")


def readings(count: int, start: datetime, tags: int = 3, step: timedelta = SECOND) -> list[Reading]:
    """`count` readings of some tags in turn, one a step."""
    return [reading(f"T{n % tags}", start + n * step, float(n)) for n in range(count)]


class Spool:
    """A recorder's spool, filled by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = SpoolWriter(folder)
        self.reader = SpoolReader(folder)
        self._store, self._number = str(uuid.uuid4()), 0

    def seal(self, rows: Iterable[Reading] = (), gaps: Iterable[Gap] = (), bridge: str = "field_scada") -> Segment:
        """One more segment with these readings and gaps."""
        self._number += 1
        sent_at = datetime.now(UTC)
        self.writer.add(Message(bridge, self._store, self._number, sent_at, tuple(rows), tuple(gaps)))
        return self.writer.seal()

    def drain(self, run_id: str = "", try_number: int = 1, seconds: float = 0.0) -> mirror.Drained:
        """Commit what is sealed, and end; by a run of its own unless named."""
        return mirror.drain(
            run_id or f"run {uuid.uuid4()}", try_number, minutes=seconds / 60, idle_s=0, spool=self.folder
        )

    def keys(self) -> Counter[Key]:
        """The keys of all readings that were ever sealed."""
        found: Counter[Key] = Counter()
        for segment in self.reader.sealed(0):
            found.update(_keys(self.reader.read(segment)))
        return found


def in_the_table() -> Counter[Key]:
    """The keys of `ot.readings`, and how often each is there."""
    return Counter(_keys(lakehouse.table(tables.READINGS_TABLE).scan().to_arrow()))


def rows_of(table: str, *order: str) -> list[dict]:
    found = lakehouse.table(table).scan().to_arrow()
    return found.sort_by([(name, "ascending") for name in order]).to_pylist() if order else found.to_pylist()


def ordinals() -> list[int]:
    """The ordinal of each commit to `ot.readings`, in the order of the commits; those of upkeep are left out."""
    snapshots = sorted(
        lakehouse.table(tables.READINGS_TABLE).metadata.snapshots, key=lambda snapshot: snapshot.sequence_number
    )
    said = [snapshot.summary.additional_properties for snapshot in snapshots]
    return [int(one["hnai.ot.ordinal"]) for one in said if "hnai.upkeep" not in one]


def _keys(rows) -> Iterator[Key]:
    columns = [rows[name].to_pylist() for name in ("tag_id", "observed_at", "sequence")]
    return zip(*columns, strict=True)


def empty_spool(folder: Path) -> Iterator[Spool]:
    """An empty spool, and empty tables: the body of a fixture."""
    for name in tables_of("ot"):
        lakehouse.catalog().drop_table(name)
    tables.ensure()
    spool = Spool(folder)
    yield spool
    spool.writer.close()
