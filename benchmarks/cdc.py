"""Change to committed Iceberg: latency at 500 rows a second, and rows a second flat out.

    python -m benchmarks.cdc [ROWS]

Latency is the time from the source's commit (`_source_at`) to the end of the lake's commit (the snapshot's own time),
of every row. Flat out, the rows wait in the source's log when the stream is resumed, so nothing but the stream is
measured; the time counts from the resumption to the last commit, and, beside it, from the first commit on, without the
start of the engine. A worker lives for weeks, so its virtual machine is warmed up by WARM_UP rows first. Baseline: the
server decodes the same log and sends it to nobody.
"""

import statistics
import sys
import time
from collections.abc import Callable

from benchmarks._wide_table import COLUMNS, describe, platform, values
from tests.land_cdc.trial import Trial, open_trial

RATE, SECONDS, WARM_UP = 500, 30, 60_000
TARGET_ROWS, TARGET_P95_S = 10_000, 5.0


def latencies(trial: Trial, table: str) -> list[float]:
    """Seconds from each row's commit in the source to the commit in the lake that holds it."""
    from include import lakehouse

    rows = lakehouse.table(f"raw.trial__{table}")
    commits = {
        s.summary.additional_properties.get("hnai.batch"): s.timestamp_ms / 1000
        for s in rows.metadata.snapshots
        if s.summary
    }
    found = rows.scan(selected_fields=("_source_at", "_batch_id", "_op")).to_arrow().to_pylist()
    return [
        commits[r["_batch_id"]] - r["_source_at"].timestamp()
        for r in found
        if r["_op"] == "c" and r["_batch_id"] in commits
    ]


def steady(trial: Trial, latencies: Callable[[Trial, str], list[float]] = latencies) -> None:
    trial.make("steady", COLUMNS)
    per_step = RATE // 10
    began = time.perf_counter()
    for step in range(SECONDS * 10):
        first = step * per_step + 1
        trial.db.execute(f"insert into steady {values(first, first + per_step - 1)}")
        time.sleep(max(0.0, began + (step + 1) / 10 - time.perf_counter()))
    trial.settle()
    waits = sorted(latencies(trial, "steady"))
    assert len(waits) == RATE * SECONDS, len(waits)
    p95 = waits[int(len(waits) * 0.95)]
    print(
        f"latency at {RATE} rows/s over {SECONDS} s: P50 {statistics.median(waits):.2f} s, P95 {p95:.2f} s, "
        f"max {waits[-1]:.2f} s"
    )
    print(f"target P95 {TARGET_P95_S:.0f} s: {'met' if p95 <= TARGET_P95_S else 'MISSED'}")


def flat_out(trial: Trial, rows: int) -> None:
    from include import lakehouse
    from include.land import connect

    trial.make("warm", COLUMNS)
    for first in range(1, WARM_UP, 1_000):
        trial.db.execute(f"insert into warm {values(first, first + 999)}")
    trial.make("flat", COLUMNS)
    trial.settle(timeout=300)
    connect.pause("trial")
    for first in range(1, rows + 1, 1_000):
        trial.db.execute(f"insert into flat {values(first, min(first + 999, rows))}")
    describe(trial.db, "flat")
    bare = decode_only(trial)
    print(f"baseline, the server decodes the log and sends it to nobody: {rows / bare:,.0f} rows/s")
    began, began_at = time.perf_counter(), time.time()
    connect.resume("trial")
    trial.settle(timeout=600)
    whole = time.perf_counter() - began
    commits = [
        s.timestamp_ms / 1000
        for s in lakehouse.table("raw.trial__flat").metadata.snapshots
        if s.timestamp_ms / 1000 > began_at
    ]
    landed = [
        s.summary.additional_properties["added-records"]
        for s in lakehouse.table("raw.trial__flat").metadata.snapshots
        if s.summary and s.timestamp_ms / 1000 > began_at and "added-records" in s.summary.additional_properties
    ]
    assert sum(map(int, landed)) == rows, landed
    running = max(commits) - min(commits)
    after_first = rows - int(landed[0])
    print(f"flat out: {rows:,} rows in {whole:.1f} s = {rows / whole:,.0f} rows/s, the engine's start included")
    rate = after_first / running if running else rows / whole
    print(f"flat out, from the first commit to the last: {rate:,.0f} rows/s in {len(commits)} commits")
    print(f"target {TARGET_ROWS:,} rows/s: {'met' if rate >= TARGET_ROWS else 'MISSED'}")


def decode_only(trial: Trial) -> float:
    """How long the server needs to decode what waits for the stream."""
    import psycopg

    from include.land import connect
    from include.settings import postgres_dsn

    slot = connect.lag("trial")["slot"]
    with psycopg.connect(postgres_dsn("cdc", "trial"), autocommit=True) as connection:
        began = time.perf_counter()
        connection.execute(
            "select count(*), sum(length(data)) "
            "from pg_logical_slot_peek_binary_changes(%s, null, null, 'proto_version', '1', "
            "'publication_names', 'hnai_trial')",
            [slot],
        )
        return time.perf_counter() - began


def main(rows: int) -> int:
    with platform() as folder, open_trial(folder) as trial:
        flat_out(trial, rows)
        steady(trial)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000))
