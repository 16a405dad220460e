"""One database, captured twice at a time: raw of Kafka Connect and raw of the embedded worker, row by row."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from include.settings import postgres_dsn, settings
from tests.cluster.connect_trial import ConnectTrial
from tests.land_cdc.trial import ROOT

pytestmark = [pytest.mark.platform, pytest.mark.torture]

TABLES = {
    "both_typed": (
        "id int primary key, small int2, flag boolean, exact numeric(20, 8), loose numeric, wide numeric(50, 2), "
        "real4 float4, real8 float8, day date, local timestamp, zoned timestamptz, clock time, doc jsonb, mark uuid, "
        "words text[], raw bytea, fixed char(5), name varchar(9)",
        {"zone": "Europe/Oslo", "local_times": ["local"]},
    ),
    "both_swapped": ("id int primary key, v text", {}),
    "both_long": ("id int primary key, note text, n int", {}),
    "both_fields": ("id text primary key, zone text", {}),
    "both_wells": ("id int primary key, field text", {}),
    "both_readings": (
        "id int primary key, well int, at timestamp",
        {
            "zone": "@field",
            "zone_lookup": {"column": "well", "paths": [["both_wells.field", "both_fields.zone"]]},
            "local_times": ["at"],
        },
    ),
    "both_strange": ("id int primary key, n numeric(10, 2), reason date", {}),
}
TYPED = (
    "-3, true, 12345678.90123456, 1.50, 123456789012345678901234567890.25, 0.1, -1e300, '2024-02-29', {}, "
    "'2024-10-27 02:30:00.654321+02', '10:11:12.5', '{{\"b\": 1, \"a\": [1.50]}}', "
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', array['x', 'y \"z\"'], '\\x00ff', 'ab', 'é€'"
)


class Twins:
    """The trial source on Kafka Connect, and the same database as source `twin` on an embedded worker."""

    def __init__(self, trial: ConnectTrial, folder: Path) -> None:
        self.trial, self._folder = trial, folder
        self._environment = {**os.environ, "HNAI_PROFILE": "embedded", "HNAI_PORTS__CONNECT": "8085"}
        self._connectors = folder / "connectors"
        self._connectors.mkdir()
        shared = json.loads((ROOT / "include" / "land" / "connectors" / "fieldops.json").read_text())
        (self._connectors / "twin.json").write_text(json.dumps({**shared, "database.dbname": "trial"}))
        _make_owner()
        with (folder / "twin.log").open("wb") as log:
            self.worker = subprocess.Popen(self._command("run"), env=self._environment, stdout=log, stderr=log)

    def land(self) -> None:
        self.trial.land()
        tables = [t for t in self.trial.tables if t["name"] in TABLES]
        land = {"every": "*/5 * * * *", "owner": "nobody", "connector": "twin"}
        entry = {"name": "twin", "schema": "raw", "config": {"meta": {"land": land}}, "tables": tables}
        path = self.trial._models / "twinpack" / "staging" / "twin" / "_twin__sources.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"sources": [entry]}))
        deadline = time.monotonic() + 120
        while self._run("land").returncode:
            assert self.worker.poll() is None and time.monotonic() < deadline, (self._folder / "twin.log").read_text()
            time.sleep(1)

    def settle(self) -> None:
        self.trial.settle()
        assert self._run("settle").returncode == 0

    def stop(self) -> None:
        self.worker.terminate()
        self.worker.wait(60)

    def _run(self, verb: str) -> subprocess.CompletedProcess:
        return subprocess.run(self._command(verb), env=self._environment, cwd=ROOT, check=False)

    def _command(self, verb: str) -> list[str]:
        module = [sys.executable, "-m", "tests.cluster.embedded_twin"]
        return [*module, verb, str(self.trial._models), str(self._connectors)]


def _make_owner() -> None:
    path = settings.secrets_dir / "postgres_twin"
    path.touch(0o600)
    path.write_text("a-password-of-the-twin\n")
    with psycopg.connect(postgres_dsn("postgres", "trial"), autocommit=True) as connection:
        connection.execute("create role twin login password 'a-password-of-the-twin'")
        connection.execute("grant trial to twin")
        connection.execute("grant create on database trial to twin")


@pytest.fixture(scope="module")
def twins(trial, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    for name, (columns, land) in TABLES.items():
        trial.db.execute(f"create table {name} ({columns})")
        trial.declare(name, ["id"], **land)
    trial.db.execute("alter table both_long alter note set storage external")
    twins = Twins(trial, tmp_path_factory.mktemp("twins"))
    try:
        twins.land()
        yield twins
    finally:
        twins.stop()


def test_both_runtimes_land_the_same_rows_in_the_same_order(twins):
    from include import lakehouse

    db, dsn = twins.trial.db, twins.trial.dsn
    for i, local in enumerate(("2024-03-31 02:30:00.123456", "2024-10-27 02:30:00", "1969-12-31 23:59:59.5"), start=1):
        db.execute(f"insert into both_typed values ({i}, {TYPED.format(repr(local))})")
    db.execute("insert into both_typed (id) values (9)")
    db.execute("insert into both_swapped select g, 'v' || g from generate_series(1, 20) g")
    db.execute("insert into both_fields values ('N', 'Europe/Oslo'), ('S', 'America/Chicago'), ('U', null)")
    db.execute("insert into both_wells values (1, 'N'), (2, 'S'), (3, 'U')")
    db.execute("insert into both_readings select g, g, '2024-10-27 02:30' from generate_series(1, 4) g")
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        first.execute("insert into both_swapped values (101, 'first')")
        second.execute("insert into both_swapped values (102, 'second')")
        first.execute("update both_swapped set v = 'first' where id = 1")
        second.execute("update both_swapped set v = 'second' where id = 2")
        second.commit()
        first.commit()
    with db.transaction():
        db.execute("update both_swapped set id = 99 where id = 3")
        db.execute("update both_swapped set id = 3 where id = 4")
        db.execute("update both_swapped set id = 4 where id = 99")
    db.execute("delete from both_swapped where id between 5 and 9")
    db.execute("select pg_logical_emit_message(true, 'app', 'not a row')")
    db.execute("insert into both_long values (1, repeat('x', 9000), 1), (2, repeat('y', 9000), 1)")
    db.execute("update both_long set n = 2")
    with db.transaction():
        db.execute("truncate both_swapped")
        db.execute("insert into both_swapped select g, 'again' from generate_series(1, 500) g")
    db.execute("insert into both_strange values (1, 'NaN', '2024-01-01'), (2, 'NaN', null), (3, 1.25, '2024-01-02')")
    twins.settle()

    for table in TABLES:
        order = "_epoch, _commit_lsn, _seq"
        left_out = "_epoch, _commit_lsn, _landed_at, _batch_id"
        with lakehouse.connect() as engine:
            by_connect, embedded = (
                engine.execute(
                    f"select * exclude ({left_out}) from lakehouse.raw.{source}__{table} order by {order}"
                ).fetchall()
                for source in ("trial", "twin")
            )
        assert by_connect == embedded, table
        assert len(by_connect) >= 3
    aside = [
        lakehouse.table(f"quarantine.{source}__both_strange").scan(
            selected_fields=("row", "reason", "_op", "_lsn", "_seq")
        )
        for source in ("trial", "twin")
    ]
    by_connect, embedded = (sorted(map(str, found.to_arrow().to_pylist())) for found in aside)
    assert by_connect == embedded
    assert len(by_connect) == 2
