"""How long a recall takes over many links: the search by itself, and `make recall` whole, from a lakehouse.

    python -m benchmarks.recall [--links 1000000]

The plant it makes up: deliveries that are split into lots, lots that are blended two by two, and units of four
components, a tenth of them with another unit inside. Asked are a delivery that tens of thousands of units hold some
of, a lot, and units in both directions. What is reached is held against breadth-first search in plain Python. For the
command, the marts are filled on a platform of the benchmark's own.
"""

import argparse
import csv
import os
import platform as machine
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict, deque
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from stack import testing

STATE_DIR, _ = testing.reserve()  # before anything imports include.settings

TARGET_S = 10.0


def main() -> None:
    from include.packs.factorypack.genealogy import Genealogy

    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__.splitlines()[0])
    parser.add_argument("--links", type=int, default=1_000_000)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {machine.machine()}, DuckDB {duckdb.__version__}, load {os.getloadavg()[0]:.1f}")
    links = made_up(given.links)
    units = sum(name.startswith("U") for name in set(links["output_id"].to_pylist()))
    print(f"{links.num_rows:,} links, {units:,} units, {links.nbytes / 1e6:.0f} MB of columns")
    begun, cpu = time.monotonic(), time.process_time()
    with Genealogy(links) as genealogy:
        print(f"links taken in: {time.monotonic() - begun:.2f} s ({time.process_time() - cpu:.2f} s of CPU)")
        forward, backward = neighbours(links)
        for start, direction, edges in (
            ("D0", "forward", forward),
            ("L7", "forward", forward),
            ("U0", "forward", forward),
            (f"U{units - 1}", "backward", backward),
        ):
            begun, cpu = time.monotonic(), time.process_time()
            found = genealogy.follow(start, direction)
            took, cpu = time.monotonic() - begun, time.process_time() - cpu
            begun = time.monotonic()
            expected = searched(edges, start)
            plain = time.monotonic() - begun
            assert {one.item_id: one.depth for one in found} == expected, f"{start} {direction} differs"
            exact = sum(one.is_exact for one in found)
            print(
                f"{start} {direction}: {len(found):,} items, {exact:,} with exact quantities, {took:.2f} s "
                f"({cpu:.2f} s of CPU), "
                f"{'within' if took < TARGET_S else 'OVER'} {TARGET_S:.0f} s; items alone in plain Python {plain:.2f} s"
            )
        begun = time.monotonic()
        genealogy.nearest("L-7")
        print(f"nearest names of an unknown lot: {time.monotonic() - begun:.2f} s")
    testing.start(("seaweedfs", "postgres"))
    try:
        publish(links)
        for start in ("D0", "L7"):
            expected = {name for name in searched(forward, start) if name.startswith("U")}
            ask(start, expected)
    finally:
        testing.stop()
        shutil.rmtree(STATE_DIR, ignore_errors=True)


def publish(links: pa.Table) -> None:
    """Fill the marts that a recall reads: the links, their units, a shipment of every other unit."""
    from include import lakehouse

    serials = sorted({name for name in links["output_id"].to_pylist() if name.startswith("U")})
    now = datetime.now(UTC)
    instant = pa.timestamp("us", "UTC")
    units = pa.table(
        {
            "serial": serials,
            **{name: ["-"] * len(serials) for name in ("order_id", "line_id", "product_id", "serial_status")},
            "made_at": pa.array([now] * len(serials), instant),
        }
    )
    sent = serials[::2]
    shipments = pa.table(
        {
            "serial": sent,
            "customer": [f"customer {n % 50}" for n in range(len(sent))],
            "sales_order": [f"SO-{n // 10}" for n in range(len(sent))],
            "shipped_at": pa.array([now] * len(sent), instant),
        }
    )
    lots = pa.table({"lot_id": pa.array([], pa.string()), "received_quantity": pa.array([], pa.decimal128(18, 3))})
    for mart, rows in (
        ("fct_genealogy_link", links), ("fct_unit", units), ("fct_unit_shipment", shipments), ("fct_lot_balance", lots)
    ):  # fmt: skip
        lakehouse.ensure_table(f"factorypack.{mart}", rows.schema)
        lakehouse.append(f"factorypack.{mart}", rows)
    size = sum(lakehouse.table("factorypack.fct_genealogy_link").inspect.files()["file_size_in_bytes"].to_pylist())
    print(
        f"in Iceberg: {len(serials):,} units, {len(sent):,} shipments, links of {size / links.num_rows:.0f} bytes each"
    )


def ask(item: str, expected: set[str]) -> None:
    """Ask as a user does, in a process of its own."""
    file = Path(STATE_DIR) / "units.csv"
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "include.packs.factorypack.recall", item, "--csv", str(file)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    took = time.monotonic() - begun
    with file.open(newline="") as lines:
        found = {row["serial"] for row in csv.DictReader(lines)}
    assert found == expected, f"{item} differs"
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(
        f"make recall LOT={item}: {len(found):,} units in {took:.1f} s, Python's start included, "
        f"{'within' if took < TARGET_S else 'OVER'} {TARGET_S:.0f} s; at most {most:.1f} GB"
    )


def made_up(count: int) -> pa.Table:
    """`count` links, the same each time."""
    from include.packs.factorypack.genealogy import COLUMNS

    rng = random.Random(7)
    columns: dict[str, list] = {name: [] for name in COLUMNS}

    def add(
        kind: str, key: str | None, source: tuple[str, str, int], target: tuple[str, str, int], quantity: int | None
    ):
        values = (len(columns["kind"]), kind, key, *_item(source), *_item(target), quantity, False)
        for name, value in zip(COLUMNS, values, strict=True):
            columns[name].append(value)

    lots = max(10, count // 400)
    for n in range(lots):
        add("split", f"S{n % 20}", (f"D{n % 20}", "lot", 1000), (f"L{n}", "lot", 1000 // 20), 50)
    for n in range(0, lots - 1, 2):
        for source in (n, n + 1):
            add("blended", f"B{n}", (f"L{source}", "lot", 50), (f"M{n // 2}", "lot", 99), 50)
    unit = 0
    while len(columns["kind"]) < count:
        for _ in range(4):
            lot = f"M{rng.randrange(lots // 2)}" if rng.random() < 0.5 else f"L{rng.randrange(lots)}"
            add("assembled", None, (lot, "lot", 2), (f"U{unit}", "unit", 1), 2)
        if unit and rng.random() < 0.1:
            add("assembled", None, (f"U{rng.randrange(unit)}", "unit", 1), (f"U{unit}", "unit", 1), 1)
        unit += 1
    columns["link_id"] = [f"K{n}" for n in columns["link_id"]]
    types = {"input_quantity": "d", "output_quantity": "d", "quantity": "d", "is_on_cycle": "b"}
    kinds = {"d": pa.decimal128(18, 3), "b": pa.bool_()}
    return pa.table({n: pa.array(v, kinds[types[n]] if n in types else pa.string()) for n, v in columns.items()})


def _item(item: tuple[str, str, int]) -> tuple[str, str, str, int]:
    name, kind, quantity = item
    return name, kind, "P", quantity


def neighbours(links: pa.Table) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    forward, backward = defaultdict(list), defaultdict(list)
    for source, target in zip(links["input_id"].to_pylist(), links["output_id"].to_pylist(), strict=True):
        forward[source].append(target)
        backward[target].append(source)
    return forward, backward


def searched(edges: dict[str, list[str]], start: str) -> dict[str, int]:
    found, waiting = {start: 0}, deque([start])
    while waiting:
        item = waiting.popleft()
        for other in edges.get(item, ()):
            if other not in found:
                found[other] = found[item] + 1
                waiting.append(other)
    del found[start]
    return found


if __name__ == "__main__":
    main()
