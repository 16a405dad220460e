"""The change stream through Kafka, Debezium and the Iceberg sink, and through the embedded worker: the same rows.

    python -m benchmarks.connect [ROWS]

Both are measured as `benchmarks.cdc` says, one after the other on the same machine.
"""

import bisect
import json
import os
import subprocess
import sys

os.environ["HNAI_PROFILE"] = "distributed"  # before anything imports include.settings

from benchmarks._wide_table import platform
from benchmarks.cdc import flat_out, steady
from tests.cluster.connect_trial import ConnectTrial, open_trial


def latencies(trial: ConnectTrial, table: str) -> list[float]:
    """Seconds from each row's commit in the source to the commit in the lake that holds it.

    Rows land in the order of their position, so a row is in the first commit that reaches up to it.
    """
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import LongType

    from include import lakehouse

    rows = lakehouse.table(f"raw.trial__{table}")
    field = rows.schema().find_field("_commit_lsn").field_id
    reached: list[tuple[int, float]] = []
    for snapshot in rows.metadata.snapshots:
        if snapshot.summary and "kafka.connect.commit-id" in snapshot.summary.additional_properties:
            for manifest in snapshot.manifests(rows.io):
                for entry in manifest.fetch_manifest_entry(rows.io):
                    if entry.snapshot_id == snapshot.snapshot_id:
                        highest = from_bytes(LongType(), entry.data_file.upper_bounds[field])
                        reached.append((highest, snapshot.timestamp_ms / 1000))
    reached.sort()
    found = rows.scan(selected_fields=("_source_at", "_commit_lsn", "_op")).to_arrow().to_pylist()
    return [
        reached[bisect.bisect_left(reached, (row["_commit_lsn"], 0.0))][1] - row["_source_at"].timestamp()
        for row in found
        if row["_op"] == "c"
    ]


def describe() -> None:
    from include.land.connect import _call
    from include.settings import settings

    plugins = {p["class"].rpartition(".")[2]: p["version"] for p in _call("GET", "/connector-plugins")}
    versions = {name: plugins[name] for name in ("PostgresConnector", "IcebergSinkConnector")}
    print(f"Kafka Connect {_call('GET', '/')['version']}, {json.dumps(versions)}")
    print(f"heap of Connect {settings.cluster.connect_memory}, a commit every {settings.cluster.commit_every_s} s")


def main(rows: int) -> int:
    print("== embedded worker", flush=True)
    embedded = {**os.environ, "HNAI_PROFILE": "embedded"}
    subprocess.run([sys.executable, "-m", "benchmarks.cdc", str(rows)], env=embedded, check=True)
    print("== Kafka Connect", flush=True)
    with platform("kafka", "connect") as folder:
        describe()
        with open_trial(folder) as trial:
            flat_out(trial, rows)
            steady(trial, latencies)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000))
