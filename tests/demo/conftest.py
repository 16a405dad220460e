"""One operator for the whole room, and a field database of its own."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from demo.operator import Operator, history, operate

AUTUMN = datetime(2026, 11, 10, 15, tzinfo=UTC)  # both clock changes of 2026 lie in the 400 days before


@pytest.fixture(scope="session")
def operator() -> Operator:
    return operate(*history(days=400, wells=24, seed=5, as_of=AUTUMN))


@pytest.fixture(scope="session")
def rows(operator) -> dict[str, pd.DataFrame]:
    """The tables of the field database; decimals stay exact."""
    return {name: table.to_pandas() for name, table in operator.tables().items()}


@pytest.fixture(scope="session")
def truth(operator) -> dict[str, pd.DataFrame]:
    return {name: table.to_pandas() for name, table in operator.truth().items()}


@pytest.fixture(scope="module")
def field_database(platform) -> str:
    """A libpq string to an empty database that belongs to `fieldops`, beside the platform's own."""
    import psycopg

    platform.start(("postgres",))
    from include.settings import postgres_dsn

    with psycopg.connect(postgres_dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("drop database if exists demo_trial with (force)")
        connection.execute("create database demo_trial owner fieldops")
    return postgres_dsn("fieldops", "demo_trial")
