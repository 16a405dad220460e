"""Run one suite with Great Expectations over rows that stand in a DuckDB file, and say what it found in our words.

This is the only module that knows Great Expectations' engine. Two things make it work on DuckDB: the dialect is
added to those whose connection is kept open, and the rows are tables of one local file (include/gate/rows.py).
"""

import enum
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
from great_expectations.execution_engine import sqlalchemy_execution_engine
from great_expectations.validator.v1_validator import Validator
from sqlalchemy.exc import DBAPIError

from include.gate.suites import Suite

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

SAMPLES = 5  # failing rows that a page or message shows


class _Dialect(enum.StrEnum):
    DUCKDB = "duckdb"


def _keep_connections_of_duckdb() -> None:
    """Each metric otherwise opens and closes a connection of its own and loses its temporary results."""
    known = sqlalchemy_execution_engine._PERSISTED_CONNECTION_DIALECTS
    if _Dialect.DUCKDB not in known:
        sqlalchemy_execution_engine._PERSISTED_CONNECTION_DIALECTS = (*known, _Dialect.DUCKDB)


def _config() -> DataContextConfig:
    """Everything in memory: no folder for pages that we render ourselves, no bars in the task's log."""
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars={"globally": False},
        analytics_enabled=False,
    )


class Engine:
    """Great Expectations on one file of rows. One ephemeral context; nothing is written beside the file."""

    def __init__(self, path: Path) -> None:
        _keep_connections_of_duckdb()
        self._context = gx.get_context(mode="ephemeral", project_config=_config())
        self._source = self._context.data_sources.add_or_update_sql("gate", connection_string=f"duckdb:///{path}")
        self._run = RunIdentifier(run_time=datetime.now(UTC))

    def validate(self, suite: Suite) -> "ExpectationSuiteValidationResult":
        """The raw validation result of one suite, with the keys of all failing rows."""
        asset = self._source.add_table_asset(suite.table, table_name=suite.table)
        validator = Validator(asset.add_batch_definition("rows"), result_format=_result_format(suite))
        found = validator.validate_expectation_suite(_numbered(suite))
        found.meta["run_id"] = self._run
        found.meta["validation_time"] = self._run.run_time
        found.results.sort(key=lambda r: r.expectation_config.meta["order"])
        return found

    def failing_rows(self, one: "ExpectationValidationResult") -> list[dict[str, Any]]:
        """The rows that failed: their key and the value found. Empty where the expectation is about no single row.

        Great Expectations lists the first 200; for more, the query that it reports is asked again. Where that one
        cannot be asked (a number in a set is left out of it), the first 200 are what there is.
        """
        seen = one.result or {}
        rows = seen.get("unexpected_index_list")
        if rows is None:  # uniqueness of several columns together lists the values themselves
            rows = [row for row in seen.get("unexpected_list") or [] if isinstance(row, dict)]
            return list({tuple(row.items()): row for row in rows}.values())
        query = seen.get("unexpected_index_query")
        if query and len(rows) < seen.get("unexpected_count", 0):
            with suppress(DBAPIError), self._source.get_engine().connect() as con:
                return [dict(row) for row in con.exec_driver_sql(query.rstrip(";")).mappings()]
        return rows

    def close(self) -> None:
        self._source.get_execution_engine().close()
        self._source.get_engine().dispose()


def _result_format(suite: Suite) -> dict[str, Any]:
    wanted: dict[str, Any] = {"result_format": "COMPLETE", "partial_unexpected_count": SAMPLES}
    if suite.key:
        wanted["unexpected_index_column_names"] = list(suite.key)
    return wanted


def _numbered(suite: Suite) -> gx.ExpectationSuite:
    """A copy whose expectations carry their place, since results come back in another order."""
    copies = []
    for order, expectation in enumerate(suite.expectations.expectations):
        copy = deepcopy(expectation)
        copy.meta = {**(copy.meta or {}), "order": order}
        copies.append(copy)
    return gx.ExpectationSuite(name=suite.table, expectations=copies)
