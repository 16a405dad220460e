"""Rows a second of a full load, PostgreSQL to committed Iceberg, beside the bare read of the same table.

    python -m benchmarks.full_load [ROWS]

The load is `load_table` as the landing DAG runs it: exact snapshot, plan, chunks, one commit. The baseline reads the
table by COPY in binary form and throws it away: no tool that asks PostgreSQL for every row can be faster.
"""

import sys
import time

from benchmarks._wide_table import COLUMNS, describe, platform, values
from tests.land_cdc.trial import open_trial

TARGET = 200_000


def main(rows: int) -> int:
    from include.land.full_load import load_table

    with platform() as folder, open_trial(folder) as trial:
        trial.make("wide", COLUMNS)
        from include.land import connect

        connect.pause("trial")  # the rows arrive by the load, not by the stream
        for first in range(1, rows + 1, 250_000):
            trial.db.execute(f"insert into wide {values(first, min(first + 249_999, rows))}")
        trial.db.execute("vacuum analyze wide")
        describe(trial.db, "wide")

        began = time.perf_counter()
        size = 0
        with trial.db.cursor().copy("copy wide to stdout (format binary)") as copy:
            for block in copy:
                size += len(block)
        bare = time.perf_counter() - began
        print(f"baseline, COPY read and thrown away: {rows / bare:,.0f} rows/s ({size / bare / 1e6:.0f} MB/s)")

        done = load_table("trial", "wide", "benchmark")
        rate = done.rows / done.seconds
        assert done.rows == rows
        print(
            f"full load: {done.rows:,} rows in {done.seconds:.2f} s = {rate:,.0f} rows/s, "
            f"{100 * bare / done.seconds:.0f} % of the baseline"
        )
        print(f"target {TARGET:,} rows/s: {'met' if rate >= TARGET else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000))
