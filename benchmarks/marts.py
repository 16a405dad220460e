"""The marts of a close by Trino beside DuckDB, over raw tables that grow: from which size on is a cluster faster.

    python -m benchmarks.marts [ROWS …]      1,000,000 and 10,000,000 rows unless given

Raw is the demo operator's, its daily readings repeated into the past until the table has that many rows; a close of two
days takes the latest row of each key from all of them. Each engine builds every seed, model and test of both layers
three times over what landed; the best time counts, since Trino's first queries are slow in any life of its process.
"""

import os
import platform as machine
import shutil
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

os.environ["HNAI_PROFILE"] = "distributed"
from stack import testing

STATE_DIR, _ = testing.reserve()  # before anything imports include.settings

BATCH = 500_000
TIMES = 3
TABLE = "raw.fieldops__daily_readings"


def grow(rows: int) -> None:
    """Append readings of ever earlier days until the raw table has `rows` rows."""
    from include import lakehouse

    with lakehouse.connect() as con:
        con.execute(f"create temp table known as select * from lakehouse.{TABLE} where production_date >= '2024-01-01'")
        (own, days, ids) = con.execute(
            "select count(*), max(production_date) - min(production_date) + 1, max(reading_id) from known"
        ).fetchone()
        have = lakehouse.table(TABLE).scan().count()
        while have < rows:
            first = have // own
            more = min(BATCH, rows - have) // own + 1
            again = con.execute(
                f"select k.* replace (k.reading_id + n * {ids} as reading_id, k.production_date - (n * {days})::int "
                f"as production_date) from known as k cross join range({first}, {first + more}) as r (n)"
            ).to_arrow_table()
            lakehouse.append(TABLE, again)
            have += again.num_rows


def describe() -> None:
    from include import lakehouse
    from include.settings import settings

    files = lakehouse.table(TABLE).inspect.files()
    rows, size = (sum(files[name].to_pylist()) for name in ("record_count", "file_size_in_bytes"))
    columns = len(lakehouse.table(TABLE).schema().fields)
    print(f"\n{TABLE}: {rows:,} rows of {columns} columns, {size / rows:.0f} bytes a row as stored")
    print(
        f"{os.cpu_count()} cores, Python {machine.python_version()}, dbt {version('dbt-core')}, "
        f"DuckDB {version('duckdb')} with {settings.engine_threads} threads, "
        f"Trino 476 with {settings.cluster.trino_threads} models side by side"
    )


def seconds(close, profile: str) -> tuple[float, float]:
    """Wall time of both layers, and what of it the models themselves took one after the other; the best of some."""
    from include.build import build_layer
    from include.engine import engine

    best = (float("inf"), 0.0)
    for _ in range(TIMES):
        began = time.perf_counter()
        results = [r for layer in ("stage", "mart") for r in build_layer(close, layer, engine(profile))]
        best = min(best, (time.perf_counter() - began, sum(r.duration_s for r in results)))
    return best


def main(sizes: list[int]) -> int:
    testing.start(("seaweedfs", "postgres", "recover", "trino"))
    try:
        from include.catalog import calendar
        from stack.parity import close_now
        from tests.cluster import sample_lake

        folder = Path(STATE_DIR) / "benchmark"
        folder.mkdir()
        sample_lake.land_energy(folder)
        for rows in sizes:
            grow(rows)
            describe()
            close = close_now(calendar("permian"), *map(str, sample_lake.PERMIAN))
            close = replace(close, cut_off={**close.cut_off, "fieldops": sample_lake.position("fieldops")})
            taken = {profile: seconds(close, profile) for profile in ("embedded", "distributed")}
            for profile, (wall, models) in taken.items():
                print(f"{profile:<12} {wall:7.1f} s, {models:7.1f} s of it in models")
            print(f"Trino took {taken['distributed'][0] / taken['embedded'][0]:.1f} times as long as DuckDB")
    finally:
        testing.stop()
        shutil.rmtree(STATE_DIR, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main([int(n) for n in sys.argv[1:]] or [1_000_000, 10_000_000]))
