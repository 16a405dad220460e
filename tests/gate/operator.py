"""A tiny operator in plain DuckDB files: what gates read of a lakehouse and a workspace, small enough to check by eye.

Twelve wells of field EAGLE (contract day 07:00 Central) flow to one facility for 40 days up to 23 November 2026.
Well Wn makes n x 100 bbl and n x 200 Mcf a day, 24 hours on; the facility sells exactly that. One flow computer
measures all gas, the same every hour. Tests change what they are about by SQL.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from include.contract_day import ContractDay
from include.gate.rows import Reader, duckdb_reader
from include.ops.tables import TABLES, schema
from include.publish.freeze import Close
from tests.gate import figures
from tests.gate.figures import FROZEN_AT, LAST_DAY


@dataclass
class Operator:
    """The files, and the close that reads them."""

    folder: Path
    close: Close

    def connect(self, into: Path) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(str(into))
        con.execute(f"set TimeZone = 'UTC'; attach '{self.folder / 'lakehouse.duckdb'}' as lakehouse (read_only)")
        return con

    def reader(self, close: Close, into: Path) -> AbstractContextManager[Reader]:
        return duckdb_reader(close, into, self.connect)

    def lakehouse(self, *statements: str) -> None:
        _run(self.folder / "lakehouse.duckdb", statements)

    def workspace(self, *statements: str) -> None:
        _run(self.close.workspace, statements)


def _run(path: Path, statements: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("set TimeZone = 'UTC'")
        for statement in statements:
            con.execute(statement)


def a_close(
    first: date = LAST_DAY, last: date = LAST_DAY, calendar: str = "permian", run_id: str = "test run"
) -> Close:
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    known = {"epoch": 1, "commit_lsn": 100}
    return Close(
        pack="energypack",
        calendar=calendar,
        from_date=first,
        to_date=last,
        run_id=run_id,
        reason="test",
        keys={f"{day}@{calendar}": 1 for day in days},
        cut_off={"fieldops": known, "flow_computer__gas_hourly": known, "npd__daily_production": known},
        history={},
        history_at=FROZEN_AT,
        frozen_at=FROZEN_AT,
        caught_up=True,
    )


def settle(operator: Operator) -> Operator:
    """Write the files of a good operator."""
    logs = [f"create table ops.{log} ({_columns(log)})" for log in TABLES]
    operator.lakehouse("create schema raw", "create schema ops", *figures.raw(), *logs)
    operator.workspace(*figures.staging(), *marts("permian", LAST_DAY, LAST_DAY))
    return operator


def marts(calendar: str, first: date, last: date) -> list[str]:
    """The marts as dbt would build them for a window, with the columns that suites read."""
    site = ContractDay("America/Chicago", 7) if calendar == "permian" else ContractDay("Europe/Oslo", 0)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    hours = ", ".join(f"(date '{d}', {(site.ends_at(d) - site.starts_at(d)).total_seconds() / 3600})" for d in days)
    return figures.marts(calendar, f"production_date between date '{first}' and date '{last}'", hours)


def _columns(log: str) -> str:
    con = duckdb.connect()
    con.register("declared", schema(log).empty_table())
    return ", ".join(f'"{name}" {kind}' for name, kind, *_ in con.execute("describe declared").fetchall())
