"""Airflow's own command line in a process that has imported the platform's heavy libraries first.

The LocalExecutor forks its workers, and they their tasks, from the scheduler: what it has imported costs a task
nothing, and its memory is shared. Imports only: nothing here may open a connection or start a thread.
"""

import importlib
import sys
import threading
import time
import warnings

# What tasks import, dearest first; a fork after any of these is safe because none starts a thread.
LIBRARIES = (
    "great_expectations",
    "great_expectations.expectations.core",
    "duckdb_engine",
    "dbt.cli.main",
    "dbt.adapters.duckdb",
    "duckdb",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pyarrow.compute",
    "pandas",
    "pyiceberg.catalog.rest",
    "pyiceberg.table",
    "pyiceberg.io.pyarrow",
    "psycopg",
    "airflow.sdk",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.openlineage.plugins.listener",
)


def warm_up() -> None:
    begun = time.monotonic()
    for name in LIBRARIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    print(f"stack: imported the platform's libraries in {time.monotonic() - begun:.1f} s", flush=True)
    if threads:
        print(f"stack: warning: imports started threads, forks may not be safe: {threads}", flush=True)


def main() -> None:
    warm_up()
    from airflow.__main__ import main as airflow

    sys.argv[0] = "airflow"
    airflow()


if __name__ == "__main__":
    main()
