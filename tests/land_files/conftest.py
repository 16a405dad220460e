"""An inbox of its own for each test, and feeds that a test can declare."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def inbox(lake_platform) -> Path:
    """The platform's inbox, emptied; archive and quarantine too."""
    from include.settings import settings

    for folder in ("inbox", "quarantine", "archive"):
        shutil.rmtree(settings.state_dir / folder, ignore_errors=True)
    settings.inbox_dir.mkdir(parents=True)
    return settings.inbox_dir


@pytest.fixture
def raw_rows(lake_platform):
    """`raw_rows(feed, where)`: what raw holds of a feed, one dict a row, in order of position."""

    def read(identifier: str, where: str = "true") -> list[dict]:
        from include import lakehouse

        with lakehouse.connect() as con:
            sql = f"select * from lakehouse.raw.{identifier} where {where} order by _epoch, _commit_lsn, _seq"
            return con.execute(sql).to_arrow_table().to_pylist()

    return read
