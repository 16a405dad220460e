"""A lease that cannot be asked for says what to do."""

import pytest

from include.errors import HnaiError
from include.ops import lease


def test_where_postgresql_is_down_a_lease_says_so_and_what_to_look_at(monkeypatch):
    nobody = "host=127.0.0.1 port=9 dbname=hnai user=hnai password=x connect_timeout=5"
    monkeypatch.setattr(lease, "postgres_dsn", lambda user, database: nobody)

    asked = lease.hold("publish:x", "a test")
    with pytest.raises(HnaiError, match="'publish:x' cannot be asked for: PostgreSQL does not answer.*make status"):
        asked.__enter__()
