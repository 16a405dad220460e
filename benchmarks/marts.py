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

import pyarrow as pa

os.environ["HNAI_PROFILE"] = "distributed"
from stack import testing

STATE_DIR, _ = testing.reserve()  # before anything imports include.settings

BATCH = 500_000
LAPS = 1_000  # how often the days are gone back before readings are told again, as corrections
TIMES = 3
TABLE = "raw.fieldops__daily_readings"


def grow(known: pa.Table, rows: int) -> None:
    """Append what is known, moved to earlier days, until raw has `rows` rows: each with figures of its own."""
    from include import lakehouse

    with lakehouse.connect() as con:
        con.register("given", known)
        con.execute("create temp table known as from given")
        (own, days, ids) = con.execute(
            "select count(*), max(production_date) - min(production_date) + 1, max(reading_id) from known"
        ).fetchone()
        types = con.execute("select column_name, data_type from duckdb_columns() where table_name = 'known'").fetchall()
        figures = "".join(
            f", ({name} * (0.8 + 0.4 * random()))::{kind} as {name}"
            for name, kind in types
            if kind.startswith("DECIMAL") and name != "reading_id"
        )
        have = lakehouse.table(TABLE).scan().count()
        while have < rows:
            first = have // own
            more = min(BATCH, rows - have) // own + 1
            again = con.execute(
                f"select k.* replace (k._seq + n * 1000 as _seq, "
                f"k.reading_id + (n % {LAPS} + 1) * {ids} as reading_id, "
                f"k.production_date - ((n % {LAPS} + 1) * {days})::int as production_date{figures}) "
                f"from known as k cross join range({first}, {first + more}) as r (n)"
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
        from include import lakehouse
        from include.catalog import calendar
        from stack.parity import close_now
        from tests.cluster import sample_lake

        folder = Path(STATE_DIR) / "benchmark"
        folder.mkdir()
        sample_lake.land_energy(folder)
        known = lakehouse.table(TABLE).scan("production_date >= '2024-01-01'").to_arrow()
        for rows in sizes:
            grow(known, rows)
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
