"""Every suite judges the same rows alike on both engines: in a good lake, and in one where much is wrong."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from include import lakehouse
from include.build import build_layer
from include.catalog import calendar, marts
from include.engine import engine
from include.gate import rows, rows_trino, run, suites
from include.gate.report import Result
from include.ops.store import record
from include.publish.freeze import Close
from include.publish.publish import ensure_mart
from stack.parity import close_now
from tests.cluster import sample_lake
from tests.dbt.operator_lake import LOADED_AT

pytestmark = [pytest.mark.platform, pytest.mark.torture]

PACKS = ("energypack", "factorypack")
WITH_HISTORY = ("fct_well_production_daily", "fct_field_production_daily", "fct_oee_site_shift")
DAYS_BEFORE = 7
KEYS = ("shift", "reading_id", "well_test_id", "order_id", "correction_id")
READERS = (rows.duckdb_reader, rows_trino.trino_reader)
Tables = dict[str, pa.Table]


@dataclass(frozen=True)
class Lake:
    """A close of each pack: what was built of it, and the same with much of it broken."""

    good: Mapping[str, Close]
    broken: Mapping[str, Close]


@pytest.fixture(scope="module")
def lake(landed) -> Iterator[Lake]:
    _trouble_of_landing()
    good, broken = {}, {}
    for pack, source, site, window in (
        ("energypack", "fieldops", "permian", sample_lake.PERMIAN),
        ("factorypack", "mes", "riverside", sample_lake.SHIFTS),
    ):
        now = close_now(calendar(site), *map(str, window))
        loaded = {source: {"epoch": 1, "commit_lsn": LOADED_AT}}
        close = replace(now, run_id=f"gates good {pack}", cut_off={**now.cut_off, **loaded})
        built = _built(close)
        good[pack] = replace(close, history=_published_before(close, built))
        late = close.frozen_at + timedelta(hours=30)
        broken[pack] = replace(good[pack], run_id=f"gates broken {pack}", frozen_at=late, caught_up=False)
        for judged, tables in ((good[pack], built), (broken[pack], _broken(built))):
            engine("embedded").fill(judged, tables)
            engine("distributed").fill(judged, tables)
    yield Lake(good, broken)
    for pack, close in good.items():
        for mart, snapshot in close.history.items():
            if snapshot is not None:
                lakehouse.catalog().purge_table(f"{pack}.{mart}")


@pytest.mark.parametrize("pack", PACKS)
def test_of_a_good_lake_both_engines_judge_the_same_rows(lake, pack, tmp_path):
    found = suites.find_suites(pack)

    files = [tmp_path / f"{n}.duckdb" for n in range(len(READERS))]
    for path, reader in zip(files, READERS, strict=True):
        assert rows.take_rows(lake.good[pack], found, path, reader) == {}
    for suite in found:
        by_duckdb, by_trino = (_rows_of(path, suite.table) for path in files)
        assert by_trino == by_duckdb, suite.table


@pytest.mark.parametrize("layer", suites.LAYERS)
@pytest.mark.parametrize("pack", PACKS)
def test_a_broken_lake_gets_the_same_verdicts_and_the_same_failing_rows(lake, pack, layer, tmp_path):
    embedded, distributed = _judged(lake.broken[pack], layer, tmp_path)

    assert _differing(embedded, distributed) == []
    assert {r.table for r in embedded} == set(suites.gated_tables(pack, layer))
    assert sum(not r.success for r in embedded) > 2 and any(r.sample_keys for r in embedded if not r.success)


def test_a_suite_whose_sql_fails_is_told_and_the_others_are_judged(lake, tmp_path):
    good = suites.find_suites("factorypack", "mart")
    gone = replace(good[0], rows="select no_such_column from dim_line")

    verdicts, _ = run.judge(
        lake.good["factorypack"], [gone, good[1]], tmp_path / "gate.duckdb", rows_trino.trino_reader
    )

    first, *others = [result for result, _ in verdicts]
    assert (first.expectation, first.success) == ("rows_can_be_read", False) and "no_such_column" in first.observed
    assert others and all(r.table == good[1].table and r.success for r in others)


def _judged(close: Close, layer: suites.Layer, folder: Path) -> tuple[list[Result], list[Result]]:
    found = suites.find_suites(close.pack, layer)
    verdicts = [run.judge(close, found, folder / f"{n}.duckdb", reader)[0] for n, reader in enumerate(READERS)]
    return [r for r, _ in verdicts[0]], [r for r, _ in verdicts[1]]


def _rows_of(path: Path, table: str) -> list[list[str]]:
    """All rows that a suite judges, as text: floats to nine digits, decimals without trailing zeros."""

    def text(value: object) -> str:
        if isinstance(value, float):
            return f"{value:.9g}"
        return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)

    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        found = con.execute(f'from "{table}"')
        names = [column[0] for column in found.description]
        return sorted([f"{n}={text(v)}" for n, v in sorted(zip(names, row, strict=True))] for row in found.fetchall())


def _differing(embedded: list[Result], distributed: list[Result]) -> list[tuple[Result, Result]]:
    """What the engines do not agree on: verdict, observed value, failing rows or their samples."""
    return [(one, other) for one, other in zip(embedded, distributed, strict=True) if one != other]


def _trouble_of_landing() -> None:
    """What the logs of landing hold when things go wrong: a difference, quarantined changes, a file set aside."""
    at = datetime.combine(sample_lake.PERMIAN[1] + timedelta(days=1), time(14), UTC)
    compared = {"source": "fieldops", "column_name": "rows", "source_value": "2", "raw_value": "1", "is_equal": False}
    record("reconciliations", [{**compared, "table_name": t} for t in ("wells", "daily_readings")])
    transfer = {"feed": "npd.daily_production", "sha256": "a", "received_at": at, "reason": "no such column"}
    record("file_transfers", [{**transfer, "file_name": "x.csv", "state": "quarantined", "rows_quarantined": 3}])
    raw = lakehouse.table("raw.fieldops__wells")
    held = raw.scan().to_arrow().slice(0, 2)
    held = held.append_column("reason", pa.array(["the key is missing"] * 2))
    lakehouse.ensure_table("quarantine.fieldops__wells", held.schema)
    lakehouse.append("quarantine.fieldops__wells", held)


def _built(close: Close) -> Tables:
    """Every table and view of the close's workspace, as dbt builds it on DuckDB."""
    by = engine("embedded")
    for layer in ("stage", "mart"):
        build_layer(close, layer, by)
    with lakehouse.connect() as con:
        con.execute(f"attach '{close.workspace}' (read_only)")
        relations = con.execute(
            "select table_catalog, table_schema, table_name from information_schema.tables where table_catalog = $name",
            {"name": close.workspace.stem},
        ).fetchall()
        return {name: con.execute(f'from "{c}"."{s}"."{name}"').to_arrow_table() for c, s, name in relations}


def _published_before(close: Close, built: Tables) -> dict[str, int | None]:
    """Publish the built figures for some days before the window, a little lower each day; gives the history."""
    history: dict[str, int | None] = {mart.name: None for mart in marts(close.pack)}
    for mart in marts(close.pack):
        if mart.name in WITH_HISTORY:
            target = ensure_mart(close.pack, mart)
            for days in range(2, DAYS_BEFORE + 2):
                lakehouse.append(f"{close.pack}.{mart.name}", _days_before(built[mart.name], days))
            history[mart.name] = lakehouse.table(".".join(target.name())).metadata.current_snapshot_id
    return history


def _days_before(rows_: pa.Table, days: int) -> pa.Table:
    shift_id = f", 'before-{days}-' || shift_id as shift_id" * ("shift_id" in rows_.column_names)
    with duckdb.connect() as con:
        con.register("built", rows_)
        moved = f"(production_date - {days})::date as production_date{shift_id}"
        return con.execute(f"select * replace ({moved}) from built").to_arrow_table()


def _broken(tables: Tables) -> Tables:
    """The tables with every third row's figures turned upside down, some rows gone and some there twice."""
    return {name: _break(table) if re.match("stg_|int_|fct_|dim_", name) else table for name, table in tables.items()}


def _break(table: pa.Table) -> pa.Table:
    is_third = pa.array([row % 3 == 1 for row in range(table.num_rows)], pa.bool_())
    is_kept = pa.array([row % 7 != 5 for row in range(table.num_rows)], pa.bool_())
    for place, column in enumerate(table.schema):
        is_figure = pa.types.is_decimal(column.type) or pa.types.is_floating(column.type)
        if is_figure or (pa.types.is_integer(column.type) and column.name not in KEYS):
            values = table[column.name]
            turned = pc.if_else(is_third, pc.negate(values), values).cast(column.type)
            table = table.set_column(place, column, turned)
    kept = table.filter(is_kept)
    return pa.concat_tables([kept, kept.slice(0, 2)])
