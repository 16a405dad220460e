"""Whether both engines give the same figures: closes built by DuckDB and by Trino, every mart compared row by row.

The closes are those that would be frozen now: what has landed up to this moment, read at one cut-off by both engines.
Nothing is recorded as a close and nothing is published. Figures of another platform, whose raw came by another way,
can be set beside those of this one: saved there with `--save`, compared here with `--against`.

    python -m stack.parity                          # the newest published window of every calendar
    python -m stack.parity --calendar permian --from 2026-11-01 --to 2026-11-23
"""

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from include.catalog import Calendar, Mart, calendars, marts
from include.engine import engine
from include.errors import HnaiError
from include.publish.freeze import Close, cut_off_now, published_snapshots
from include.settings import settings

RELATIVE = 1e-9  # how far apart floats may be; everything else is equal or it is not
SHOWN = 20  # differences of a mart that are printed
Rows = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Difference:
    """One value that differs, or a row that only one side has (its column is `row`)."""

    table: str
    key: tuple[Any, ...]
    column: str
    left: Any
    right: Any

    def __str__(self) -> str:
        key = ", ".join(str(part) for part in self.key)
        return f"{self.table} ({key}) {self.column}: {self.left} | {self.right}"


def differences(mart: Mart, left: pa.Table, right: pa.Table) -> Iterator[Difference]:
    """What differs between two states of a mart, in the order of its key."""
    columns = set(left.column_names) ^ set(right.column_names)
    for column in sorted(columns):
        yield Difference(mart.name, (), column, column in left.column_names, column in right.column_names)
    sides = [_by_key(mart, rows) for rows in (left, right)]
    for key in sorted({*sides[0], *sides[1]}, key=repr):
        mine, theirs = (side.get(key, []) for side in sides)
        if len(mine) != len(theirs):
            yield Difference(mart.name, key, "row", f"{len(mine)} times", f"{len(theirs)} times")
            continue
        for a, b in zip(mine, theirs, strict=True):
            for column in left.column_names:
                if column not in columns and not is_same(a[column], b[column]):
                    yield Difference(mart.name, key, column, a[column], b[column])


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are the same figure: floats to nine digits, all others exactly."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=RELATIVE) or (math.isnan(a) and math.isnan(b))
    return a == b


def close_now(site: Calendar, first: str | None = None, last: str | None = None) -> Close:
    """A close of what has landed by now, as freezing would make it, without recording it.

    Without dates it is the window that was published last, or yesterday.
    """
    from include.ops.store import read
    from include.periods import between

    published = read("closes", pack=site.pack, calendar=site.name, state="published")
    newest = max((row["close_key"].partition("@")[0] for row in published), default=None)
    first = first or newest or str(datetime.now(UTC).date() - timedelta(days=1))
    periods = between(site.periods, first, last or first)
    now = datetime.now(UTC)
    cut_off, caught_up = cut_off_now(site.pack)
    return Close(
        pack=site.pack,
        calendar=site.name,
        from_date=periods[0].production_date,
        to_date=periods[-1].production_date,
        run_id=f"parity {site.name} {periods[0].name} {periods[-1].name}",
        reason="parity",
        keys={},
        cut_off=cut_off,
        history=published_snapshots(site.pack),
        frozen_at=now,
        history_at=now,
        caught_up=caught_up,
        shifts=tuple(periods) if site.shifts else (),
    )


def built(close: Close, profile: str, *, keep: bool = False) -> dict[str, pa.Table]:
    """The close's window of every mart of its pack, built by the engine of a profile as publish would read it."""
    from include.build import build_layer
    from include.publish.workspace import mart_rows

    by = engine(profile)
    try:
        for layer in ("stage", "mart"):
            build_layer(close, layer, by)
        with by.opened(close) as workspace:
            return {mart.name: mart_rows(workspace, close, mart) for mart in marts(close.pack)}
    finally:
        if not keep:
            by.drop(close)


def compared(pack: str, left: Rows, right: Rows) -> dict[str, list[Difference]]:
    """Mart -> its differences, for every mart of a pack; one that a side lacks is a difference as a whole."""
    found = {}
    for mart in marts(pack):
        if mart.name in left and mart.name in right:
            found[mart.name] = list(differences(mart, left[mart.name], right[mart.name]))
        else:
            found[mart.name] = [Difference(mart.name, (), "table", mart.name in left, mart.name in right)]
    return found


def _by_key(mart: Mart, rows: pa.Table) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: repr(sorted(row.items()))):
        found.setdefault((row["calendar"], *(row[name] for name in mart.key)), []).append(row)
    return found


def _report(close: Close, left: Rows, found: Mapping[str, list[Difference]]) -> int:
    for name, differing in found.items():
        rows = left[name].num_rows if name in left else 0
        print(f"  {name:<36} {rows:>9,} rows  {f'{len(differing)} differences' if differing else 'equal'}")
        for difference in differing[:SHOWN]:
            print(f"    {difference}")
    return sum(len(differing) for differing in found.values())


def _saved(folder: Path, close: Close) -> dict[str, pa.Table]:
    files = (folder / close.calendar).glob("*.parquet")
    return {path.stem: pq.read_table(path) for path in files}


def _save(folder: Path, close: Close, rows: Rows) -> None:
    (folder / close.calendar).mkdir(parents=True, exist_ok=True)
    for name, table in rows.items():
        pq.write_table(table, folder / close.calendar / f"{name}.parquet")


def run(closes: Iterable[Close], save: Path | None = None, against: Path | None = None, keep: bool = False) -> int:
    """Compare the closes, print what was found, and give the number of differences."""
    total = 0
    for close in closes:
        rows, seconds = {}, {}
        for profile in ("embedded", "distributed") if not (save or against) else (settings.profile,):
            started = time.monotonic()
            rows[profile] = built(close, profile, keep=keep)
            seconds[profile] = time.monotonic() - started
        print(f"{close.label}: " + ", ".join(f"{name} {s:.0f} s" for name, s in seconds.items()))
        mine = next(iter(rows.values()))
        if save:
            _save(save, close, mine)
            continue
        other = _saved(against, close) if against else rows["distributed"]
        left, right = (other, mine) if against else (mine, other)
        total += _report(close, left, compared(close.pack, left, right))
    return total


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stack.parity",
        description="Build the same closes with DuckDB and with Trino, compare every mart.",
    )
    parser.add_argument("--calendar", help="one calendar; all unless given")
    parser.add_argument(
        "--from", dest="first", help="a production date or a shift; the window published last unless given"
    )
    parser.add_argument("--to", dest="last")
    parser.add_argument("--keep", action="store_true", help="keep what was built, to look into it")
    parser.add_argument("--save", type=Path, help="write this platform's figures to a folder and compare nothing")
    parser.add_argument("--against", type=Path, help="compare this platform's figures with those saved in a folder")
    a = parser.parse_args(arguments)
    if not settings.is_distributed and not (a.save or a.against):
        print("Trino is a service of the distributed profile. Set HNAI_PROFILE=distributed and run `make up`.")
        return 2
    try:
        sites = [site for site in calendars() if a.calendar in (None, site.name)]
        total = run((close_now(site, a.first, a.last) for site in sites), a.save, a.against, a.keep)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 2
    if not a.save:
        print(f"{total} differences" if total else "Both sides give the same figures.")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
