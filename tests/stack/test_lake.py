import pytest

from include.settings import postgres_dsn


@pytest.mark.platform
def test_the_lake_answers(lake_platform):
    import psycopg

    with psycopg.connect(postgres_dsn("cdc", "fieldops")) as connection:
        assert connection.execute("show wal_level").fetchone() == ("logical",)
