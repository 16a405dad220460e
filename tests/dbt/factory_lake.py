"""A factory's lakehouse as one DuckDB file, and closes built on it by dbt alone: no service is needed."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from include import build
from include.catalog import DBT, calendar, feeds
from include.land.file_types import arrow_type
from include.periods import Period, between
from tests.dbt.operator_lake import at_position

INSTANT = pa.timestamp("us", "UTC")
READINGS = {
    "tag_id": pa.string(),
    "observed_at": INSTANT,
    "sequence": pa.int32(),
    "value_double": pa.float64(),
    "value_text": pa.string(),
    "value_bool": pa.bool_(),
    "quality": pa.int64(),
    "clock": pa.string(),
    "received_at": INSTANT,
    "unit": pa.string(),
    "_segment_id": pa.string(),
    "_ordinal": pa.int64(),
}
GAPS = {
    "gap_id": pa.string(),
    "tag_id": pa.string(),
    "source": pa.string(),
    "from_at": INSTANT,
    "to_at": INSTANT,
    "cause": pa.string(),
    "state": pa.string(),
    "recovered_rows": pa.int64(),
    "reason": pa.string(),
    "recorded_at": INSTANT,
    "_ordinal": pa.int64(),
}


class Lake:
    """The tables of `raw` and `ot` in one file; what is given in a second call replaces the table."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.closes = folder, 0
        self.path = folder / "lakehouse.duckdb"
        with self.open() as con:
            con.execute("create schema if not exists raw")
            con.execute("create schema if not exists ot")
        self.put("ot.readings", empty(READINGS))
        self.put("ot.gaps", empty(GAPS))
        for feed in feeds():
            if feed.pack == "factorypack":
                self.feed(feed.name)

    def open(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(str(self.path))
        con.execute("set TimeZone = 'UTC'")
        return con

    def put(self, name: str, rows: pa.Table) -> None:
        with self.open() as con:
            con.register("rows", rows)
            con.execute(f"create or replace table {name} as select * from rows")

    def land(self, tables: dict[str, pa.Table]) -> None:
        for name, rows in tables.items():
            self.put(f"raw.mes__{name}", at_position(rows, "r", 1000))

    def feed(self, name: str, rows: Iterable[dict[str, Any]] = ()) -> None:
        """Rows of a feed, its local times given as instants."""
        declared = next(f for f in feeds() if f.full_name == f"plant_files.{name}")
        types = {}
        for column in declared.columns:
            is_local = column.type == "timestamp"
            types[f"{column.name}_utc" if is_local else column.name] = INSTANT if is_local else arrow_type(column.type)
        named = [{key if key in types else f"{key}_utc": value for key, value in row.items()} for row in rows]
        self.put(f"raw.plant_files__{name}", at_position(pa.Table.from_pylist(named, pa.schema(types)), "r", 1000))

    def read(self, readings: Iterable[tuple[str, datetime, str | int]]) -> None:
        """Good readings of tags: texts, or whole numbers."""
        rows = [
            {
                "tag_id": tag_id,
                "observed_at": at,
                "sequence": 0,
                "value_double": None if isinstance(value, str) else float(value),
                "value_text": value if isinstance(value, str) else None,
                "quality": 0,
                "clock": "source",
                "received_at": at,
                "_segment_id": "test",
                "_ordinal": 1,
            }
            for tag_id, at, value in readings
        ]
        self.put("ot.readings", pa.Table.from_pylist(rows, pa.schema(READINGS)))

    def close(self, first: str, last: str | None = None, **more: Any) -> duckdb.DuckDBPyConnection:
        """Build the shifts from `first` to `last` and give the workspace."""
        periods = between(calendar("riverside").periods, first, last or first)
        self.closes += 1
        work = self.folder / f"close-{self.closes}"
        work.mkdir()
        target = {
            "type": "duckdb",
            "path": ":memory:",
            "database": "workspace",
            "schema": "main",
            "threads": 2,
            "config_options": {"allow_unsigned_extensions": True},
            "plugins": [{"module": "include.dbt_lakehouse", "config": {"attach": False}}],
            "attach": [
                {"path": str(work / "workspace.duckdb"), "alias": "workspace"},
                {"path": str(self.path), "alias": "lakehouse"},
            ],
        }
        profile = {"hnai": {"target": "plain", "outputs": {"plain": target}}}
        (work / "profiles.yml").write_text(yaml.safe_dump(profile))
        run(work, variables(periods) | more)
        con = duckdb.connect(str(work / "workspace.duckdb"), read_only=True)
        con.execute("set TimeZone = 'UTC'")
        return con


def empty(types: dict[str, pa.DataType]) -> pa.Table:
    return pa.schema(types).empty_table()


def variables(periods: list[Period]) -> dict[str, Any]:
    site = calendar("riverside")
    before = site.periods.last_ended(periods[0].starts_at)
    return {
        "pack": "factorypack",
        "calendar": site.name,
        "zone": site.zone,
        "contract_hour": site.contract_hour,
        "from_date": periods[0].production_date.isoformat(),
        "to_date": periods[-1].production_date.isoformat(),
        "cut_off": "all",
        "history": {},
        "periods": [
            {**p.as_json(), "production_date": p.production_date.isoformat(), "shift": p.shift} for p in periods
        ],
        "since": before.ends_at.isoformat() if before else "",
    }


def run(work: Path, said: dict[str, Any]) -> None:
    """`dbt build` of the pack with the profile in `work`; a failure says which model."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters
    from dbt.cli.main import dbtRunner

    paths = [p for layer in ("stage", "mart") for p in build.selected_paths("factorypack", layer)]
    command = [
        "--no-version-check",
        "--no-write-json",
        "--log-level",
        "none",
        "--log-path",
        str(work / "logs"),
        "build",
    ]
    command += ["--select", *paths, "--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"]
    command += ["--project-dir", str(DBT), "--profiles-dir", str(work), "--target-path", str(work / "target")]
    kept = build.parsed_project()
    try:
        outcome = dbtRunner(manifest=build._load_parsed(kept)).invoke([*command, "--vars", json.dumps(said)])
    finally:
        DuckDBConnectionManager.close_all_connections()
        reset_adapters()
        build._keep_parsed(work / "target" / "partial_parse.msgpack", kept)
    failed = [(r.node.name, r.message) for r in outcome.result or [] if str(r.status) not in ("success", "pass")]
    assert outcome.success and not failed, outcome.exception or failed


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
