"""Replacing a window of a table whose rows lie in many manifests."""

import time
from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo, visitors

from include import lakehouse

SCHEMA = pa.schema([("calendar", pa.string()), ("production_date", pa.date32()), ("oil_sm3", pa.int64())])


def rows(calendar: str, oil: int) -> pa.Table:
    return pa.Table.from_pylist(
        [{"calendar": calendar, "production_date": date(2026, 11, 5), "oil_sm3": oil}], schema=SCHEMA
    )


@pytest.fixture
def spread(tmp_path, monkeypatch):
    """A table with a manifest for each of 24 calendars."""
    catalog = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    monkeypatch.setattr(lakehouse, "catalog", lambda: catalog)
    table = lakehouse.ensure_table(
        "pack.mart",
        SCHEMA,
        partition_by=[("calendar", "identity"), ("production_date", "month")],
        properties={"commit.manifest-merge.enabled": "false"},
    )
    for i in range(24):
        table.append(rows(f"site_{i}", i))
    return table


@pytest.fixture
def threads_change_places(monkeypatch):
    """pyiceberg's threads change places in the middle of judging a manifest, as they may at any time."""
    visit = visitors.visit

    def slow(expression, visitor):
        time.sleep(0.001)
        return visit(expression, visitor)

    monkeypatch.setattr(visitors, "visit", slow)


@pytest.mark.trial
def test_the_file_of_a_window_is_found_among_the_manifests_of_others(spread, threads_change_places):
    for _ in range(5):
        prepared = lakehouse.replaced(spread, rows("site_7", 100), EqualTo("calendar", "site_7"))
    prepared.commit_transaction()

    assert sum(spread.scan().to_arrow()["oil_sm3"].to_pylist()) == sum(range(24)) - 7 + 100
