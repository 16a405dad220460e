"""What the worker knows of one table while it runs: declaration, source columns, raw table, and how far it is in."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from include import lakehouse
from include.catalog import Table
from include.land import local_time, raw_table
from include.land.raw_table import Mark
from include.land.source_schema import INSTANT, Column
from include.land.worker import decode

QUARANTINE = pa.schema(
    [
        ("row", pa.string()),
        ("reason", pa.string()),
        *((name, kind) for name, kind in raw_table.POSITION.items() if name != "_unchanged"),
    ]
)


@dataclass
class Rows:
    """Changes of one table in the order of delivery, not yet converted. `commits` fills as transactions end."""

    values: list[dict[str, Any] | None] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    lsns: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    instants: list[int] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def extend(self, other: "Rows", commit_lsn: int) -> None:
        self.values += other.values
        self.operations += other.operations
        self.lsns += other.lsns
        self.places += other.places
        self.instants += other.instants
        self.commits += [commit_lsn] * len(other)


class LandingTable:
    """One captured table. `learn` reads its columns in the source again, and lets raw follow them."""

    def __init__(
        self,
        table: Table,
        describe: Callable[[Table], tuple[tuple[Column, ...], frozenset[str] | None]],
        zones_of: Callable[[Table, list[Any]], list[str | None]],
    ) -> None:
        self.table = table
        self._describe = describe
        self._zones_of = zones_of
        self.columns: dict[str, Column] = {}
        self.ignored: set[str] = set()  # columns that the source has and the drift policy keeps out
        self.refused: Counter[str] = Counter()  # rows set aside, by reason
        self.wants_load = ""  # why the table has to be loaded again, until a commit has said so
        self.learn()
        self.mark = raw_table.mark(self.target)

    def learn(self) -> None:
        self.is_stale = False
        columns, self.identity = self._describe(self.table)
        self.columns |= {c.name: c for c in columns}
        self.target = raw_table.ensure(self.table, columns)
        self._see_target()

    def reload(self) -> None:
        """Read the raw table again after somebody else committed to it."""
        self.target = lakehouse.table(f"raw.{self.table.identifier}")
        self._see_target()

    def _see_target(self) -> None:
        self.kinds = {f.name: f.type for f in self.target.schema().as_arrow()}

    def to_arrow(self, rows: Rows, epoch: int) -> tuple[pa.Table, pa.Table | None]:
        """The rows as raw keeps them, and those set aside. `_commit_lsn` is there for rows whose transaction ended."""
        if self.is_stale:
            self.learn()
        if (
            self.identity is not None
        ):  # of a deleted row only these are told; Debezium makes up the rest where null may not be
            for i, operation in enumerate(rows.operations):
                if operation == "d":
                    rows.values[i] = {k: v for k, v in (rows.values[i] or {}).items() if k in self.identity}
        names = self._names(rows.values)
        aside: dict[int, str] = {}
        if strange := [n for n in names if n in self.ignored and self.table.drift_of(n) == "quarantine"]:
            for i, row in enumerate(rows.values):
                if row and any(n in row for n in strange):
                    aside[i] = f"the source has columns that this table's drift policy sets aside: {', '.join(strange)}"
        arrays, unchanged = self._source_columns(names, rows, aside)
        for name in self.table.local_times:
            if name in arrays:
                arrays[f"{name}_utc"] = local_time.to_utc(arrays[name], self._zones(rows.values))
        position = self._position(rows, epoch)
        arrays |= position
        arrays["_unchanged"] = pa.array(unchanged, pa.string())
        whole = pa.table({name: arrays[name] for name in self.kinds if name in arrays})
        if not aside:
            return whole, None
        self.refused.update(aside.values())
        places = pa.array(list(aside), pa.int64())
        originals = [orjson.dumps(rows.values[i]).decode() for i in aside]
        refused = pa.table(position).take(places)
        refused = refused.append_column("row", pa.array(originals, pa.string()))
        refused = refused.append_column("reason", pa.array(list(aside.values()), pa.string()))
        if strange:
            kept = pa.array(
                [i for i in range(len(rows)) if not (i in aside and "drift policy" in aside[i])], pa.int64()
            )
            whole = whole.take(kept)
        return whole, refused

    def _names(self, values: Iterable[dict[str, Any] | None]) -> list[str]:
        shapes = {tuple(row) for row in values if row}
        names = list(dict.fromkeys(name for shape in shapes for name in shape))
        if any(name not in self.kinds and name not in self.ignored for name in names):
            self.learn()
            gone = [n for n in names if n not in self.kinds and n not in self.columns]
            if gone:  # renamed or dropped since: keep what came, as text
                columns = [Column(0, n, "text", -1) for n in gone]
                self.columns |= {c.name: c for c in columns}
                self.target = raw_table.ensure(self.table, columns)
                self._see_target()
            self.ignored |= {n for n in names if n not in self.kinds}
        return names

    def _source_columns(
        self, names: list[str], rows: Rows, aside: dict[int, str]
    ) -> tuple[dict[str, pa.Array], list[str | None]]:
        arrays: dict[str, pa.Array] = {}
        unchanged: list[str | None] = [None] * len(rows)
        learned = False
        for name in names:
            if name not in self.kinds:
                continue
            values = [row.get(name) if row else None for row in rows.values]
            kind, source_type = self.kinds[name], self.columns[name].type if name in self.columns else "text"
            if decode.is_text(kind) or decode.is_bytes(kind):
                for i in decode.take_unchanged(values):
                    unchanged[i] = f"{unchanged[i]},{name}" if unchanged[i] else name
            arrays[name], refused = decode.convert(values, kind, source_type)
            if refused and not learned:  # retyped at the source?
                learned = True
                self.learn()
                kind, source_type = self.kinds[name], self.columns[name].type if name in self.columns else "text"
                arrays[name], refused = decode.convert(values, kind, source_type)
            for i, reason in refused.items():
                aside[i] = f"{name}: {reason}"
        if any(names for names, op in zip(unchanged, rows.operations, strict=True) if op == "c"):
            self.wants_load = "a key changed in a row whose long values were not sent again"
        return arrays, unchanged

    def _zones(self, values: list[dict[str, Any] | None]) -> str | list[str | None]:
        if self.table.zone != "@field":
            return self.table.zone or "UTC"
        column = self.table.zone_lookup["column"]
        return self._zones_of(self.table, [row.get(column) if row else None for row in values])

    def _position(self, rows: Rows, epoch: int) -> dict[str, pa.Array]:
        count = len(rows)
        position = {
            "_op": pa.array(rows.operations, pa.string()),
            "_epoch": pa.repeat(pa.scalar(epoch, pa.int64()), count),
            "_lsn": pa.array(rows.lsns, pa.int64()),
            "_seq": pa.array(rows.places, pa.int64()),
            "_source_at": decode.at_microseconds(rows.instants),
            "_landed_at": pa.repeat(pa.scalar(decode.now(), INSTANT), count),
        }
        if rows.commits:
            position["_commit_lsn"] = pa.array(rows.commits, pa.int64())
        return position


def is_behind(mark: Mark, epoch: int, commit_lsn: int) -> bool:
    """Whether a transaction is in already."""
    return (epoch, commit_lsn) <= (mark.epoch, mark.commit_lsn)
