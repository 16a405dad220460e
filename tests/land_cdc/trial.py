"""A source of its own, `trial`: a database, a declaration outside the repository, a connector and a worker process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "trial"


class Trial:
    """The trial source, its declaration, the worker that lands it, and what raw has of it."""

    def __init__(self, models: Path, log: Path) -> None:
        from include.settings import postgres_dsn

        self._models, self._log = models, log
        self.worker: subprocess.Popen | None = None
        self.tables: list[dict[str, Any]] = []
        self.dsn = postgres_dsn(SOURCE, SOURCE)
        self.db = psycopg.connect(self.dsn, autocommit=True)
        self.write_declaration()

    def write_declaration(self) -> None:
        land = {"every": "*/5 * * * *", "owner": "nobody", "connector": "fieldops"}
        entry = {"name": SOURCE, "schema": "raw", "config": {"meta": {"land": land}}, "tables": self.tables}
        path = self._models / "trialpack" / "staging" / SOURCE / f"_{SOURCE}__sources.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"sources": [entry]}))

    def declare(self, name: str, key: Sequence[str] = ("id",), **land: Any) -> None:
        """Declare a table, as an edit of the YAML does, and run what the landing DAG runs."""
        self.tables.append({"name": name, "config": {"meta": {"land": {"key": list(key), **land}}}})
        self.write_declaration()

    def make(self, name: str, columns: str, key: Sequence[str] = ("id",), **land: Any) -> None:
        """Create a table in the source, declare it, and land it."""
        self.db.execute(f"create table {name} ({columns})")
        self.declare(name, key, **land)
        self.land()

    def forget(self, name: str) -> None:
        self.tables = [t for t in self.tables if t["name"] != name]
        self.write_declaration()

    def land(self) -> dict[str, Any]:
        from include.land.connect import register_connector
        from include.land.schema_check import check_source

        register_connector(SOURCE)
        return check_source(SOURCE)

    def settle(self, timeout: float = 90) -> None:
        """Wait until everything that is committed now is in raw."""
        from include.land.connect import source_position, wait_until

        wait_until(SOURCE, source_position(SOURCE), timeout)

    def rows(self, name: str, columns: str = "*", where: str = "true") -> list[tuple]:
        """What raw has of a table, in order of position."""
        from include import lakehouse

        with lakehouse.connect() as engine:
            return engine.execute(
                f"select {columns} from lakehouse.raw.{SOURCE}__{name} where {where} order by _epoch, _commit_lsn, _seq"
            ).fetchall()

    def latest(self, name: str, columns: str) -> list[tuple]:
        """The rows that raw says the source has now."""
        from include import lakehouse
        from include.catalog import source
        from include.land.connect import source_position
        from include.land.reconcile import latest_sql

        with lakehouse.connect() as engine:
            names = [c.strip() for c in columns.split(",")]
            inner = latest_sql(engine, source(SOURCE).table(name), names, source_position(SOURCE))
            return engine.execute(f"select {columns} from ({inner}) order by all").fetchall()

    def differences(self, *names: str) -> list[str]:
        """The figures in which source and raw differ, at one position."""
        from include.land.reconcile import compare_source

        found = compare_source(SOURCE, names or None, must_match=False)
        assert found
        return [f"{c.table}.{c.column}: {c.source_value} / {c.raw_value}" for c in found if not c.is_equal]

    def start_worker(self) -> None:
        with self._log.open("ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "tests.land_cdc.worker_on", str(self._models)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        from include.errors import LandingError
        from include.land.connect import connectors

        deadline = time.monotonic() + 90
        while True:
            try:
                connectors()
                return
            except LandingError:
                assert self.worker.poll() is None, self._log.read_text()[-2000:]
                assert time.monotonic() < deadline, "the worker did not come up"
                time.sleep(0.3)

    def kill_worker(self) -> None:
        assert self.worker is not None
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()

    def wait_running(self, timeout: float = 90) -> None:
        from include.errors import LandingError
        from include.land.connect import running

        deadline = time.monotonic() + timeout
        while True:
            try:
                running(SOURCE)
                return
            except LandingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def stop(self) -> None:
        self.db.close()
        if self.worker and self.worker.poll() is None:
            self.worker.terminate()
            try:
                self.worker.wait(30)
            except subprocess.TimeoutExpired:
                self.kill_worker()


def _make_database() -> None:
    from include.settings import postgres_dsn, settings

    path = settings.secrets_dir / f"postgres_{SOURCE}"
    path.touch(0o600)
    path.write_text("a-password-of-the-trial\n")
    with psycopg.connect(postgres_dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"create role {SOURCE} login password 'a-password-of-the-trial'")
        connection.execute(f"create database {SOURCE} owner {SOURCE}")
        connection.execute(f"grant connect on database {SOURCE} to cdc")
    with psycopg.connect(postgres_dsn("postgres", SOURCE), autocommit=True) as connection:
        connection.execute("create schema hnai authorization cdc")
        connection.execute(f"grant usage, create on schema public to {SOURCE}")
        connection.execute("grant usage on schema public to cdc")
        connection.execute(f"alter default privileges for role {SOURCE} in schema public grant select on tables to cdc")


@contextmanager
def declared_in(models: Path) -> Iterator[None]:
    from include import catalog

    real = catalog.MODELS, catalog.ROOT
    catalog.MODELS, catalog.ROOT = models, models.parent
    try:
        yield
    finally:
        catalog.MODELS, catalog.ROOT = real


@contextmanager
def open_trial(folder: Path) -> Iterator[Trial]:
    """The trial source with its worker running, its files in `folder`. Object store and PostgreSQL must be up."""
    _make_database()
    with declared_in(folder / "models"):
        trial = Trial(folder / "models", folder / "worker.log")
        try:
            trial.start_worker()
            trial.db.execute("create table first (id int primary key, v text)")
            trial.declare("first", ["id"])
            trial.land()
            trial.wait_running()
            yield trial
        finally:
            trial.stop()
