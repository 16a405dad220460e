"""A close published through Nessie: one commit of the catalog, with the history that publishing rests on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pyarrow.fs import S3FileSystem

from include import lakehouse, nessie
from include import lakehouse_upkeep as upkeep
from include.errors import PublishError
from include.ops import store
from include.ops.store import read
from include.publish.publish import publish
from include.publish.restate import published_rows, window_filter
from include.publish.rollback import roll_back
from include.settings import ROOT, secret, settings
from tests.publish import tiny
from tests.publish.conftest import site, tiny_folder, tinypack  # noqa: F401

pytestmark = [pytest.mark.platform, pytest.mark.torture]

DAY, NEXT = "2026-11-05", "2026-11-06"
FIELDS = f"{tiny.PACK}.fct_field_daily"


@pytest.fixture(scope="session")
def nessie_server(cluster) -> None:
    """Nessie, on a bucket of its own beside that of the other catalog."""
    cluster.start(("seaweedfs", "postgres"))
    keys = {"access_key": secret("s3_access_key"), "secret_key": secret("s3_secret_key")}
    S3FileSystem(**keys, endpoint_override=settings.s3_uri, allow_bucket_creation=True).create_dir("nessie")
    cluster.start(("nessie",))


@pytest.fixture
def lake_platform(nessie_server, monkeypatch) -> Iterator[None]:
    """The lakehouse of these tests is the one that Nessie keeps; closes are built in files."""
    monkeypatch.setitem(settings.__dict__, "cluster", settings.cluster.model_copy(update={"catalog": "nessie"}))
    monkeypatch.setitem(settings.__dict__, "profile", "embedded")
    _open_anew()
    yield
    _open_anew()


def _open_anew() -> None:
    lakehouse._catalog.cache_clear()
    store._ready.clear()


def published(site: str, day: str, oil: dict[str, str], ids: dict | None = None) -> dict:  # noqa: F811
    """Land a day's readings, close and publish the day; gives the ids of the readings."""
    ids = tiny.land(site, {(well, day): value for well, value in oil.items()}, ids)
    publish(tiny.close_days(site, day), rebuild=tiny.build)
    return ids


def test_a_close_is_one_commit_of_the_catalog(site):  # noqa: F811
    tiny.land(site, {("A-1", DAY): "10", ("A-2", DAY): "20", ("B-1", DAY): "5"})
    done = publish(tiny.close_days(site, DAY))

    shown = [("ALPHA", DAY, "30.000000", "2"), ("BETA", DAY, "5.000000", "1")]
    assert tiny.published("fct_field_daily", site) == shown
    commits = {next(nessie.states(lakehouse.catalog(), f"{tiny.PACK}.{mart}")).commit for mart in done.tables}
    assert len(done.tables) == 4 and len(commits) == 1
    with lakehouse.connect() as con:
        found = con.execute(f"from lakehouse.{FIELDS} select field_code, oil_sm3 where calendar = '{site}' order by 1")
        assert [(field, str(oil)) for field, oil in found.fetchall()] == [("ALPHA", "30.000000"), ("BETA", "5.000000")]


def test_a_correction_restates_and_a_rollback_brings_back_what_was(site):  # noqa: F811
    ids = published(site, DAY, {"A-1": "10", "B-1": "7"})
    first = tiny.published("fct_field_daily", site)
    published(site, DAY, {"A-1": "10000"}, ids)
    (change,) = [r for r in read("restatements", calendar=site) if r["table_name"] == "fct_field_daily"]
    assert (change["old_value"], change["new_value"]) == ("10.000000", "10000.000000")

    roll_back(tiny.PACK, f"{DAY}@{site}", "ann", "wrong unit", build=tiny.build_months)

    assert tiny.published("fct_field_daily", site) == first


def test_what_a_close_froze_reads_as_it_was_though_others_were_published_since(site):  # noqa: F811
    published(site, DAY, {"A-1": "10"})
    frozen = tiny.close_days(site, NEXT)
    ids = tiny.land(site, {("A-1", DAY): "11"})
    publish(tiny.close_days(site, DAY), rebuild=tiny.build)

    snapshot = frozen.history["fct_field_daily"]
    mart = next(m for m in tiny.catalog.marts(tiny.PACK) if m.name == "fct_field_daily")
    assert lakehouse.table(FIELDS).snapshot_by_id(snapshot) is None  # Nessie shows the current one alone
    (row,) = published_rows(lakehouse.table(FIELDS), snapshot, window_filter(mart, _of(frozen, DAY))).to_pylist()
    assert str(row["oil_sm3"]) == "10.000000" and ids
    with lakehouse.connect() as con:
        relation = lakehouse.relation_at(FIELDS, snapshot)
        (oil,) = con.execute(f"select oil_sm3 from {relation} where calendar = '{site}'").fetchone()
        assert str(oil) == "10.000000"


def test_a_snapshot_that_nessie_never_had_is_said_to_have_expired(site):  # noqa: F811
    published(site, DAY, {"A-1": "10"})
    mart = next(m for m in tiny.catalog.marts(tiny.PACK) if m.name == "fct_field_daily")
    close = tiny.close_days(site, DAY)

    with pytest.raises(PublishError, match="snapshot 42 has expired"):
        published_rows(lakehouse.table(FIELDS), 42, window_filter(mart, close))


def test_upkeep_leaves_the_files_of_what_is_remembered_and_removes_older_ones(site):  # noqa: F811
    ids = published(site, DAY, {"A-1": "10"})
    before = lakehouse.table(FIELDS).metadata.current_snapshot_id
    published(site, DAY, {"A-1": "11"}, ids)
    mart = next(m for m in tiny.catalog.marts(tiny.PACK) if m.name == "fct_field_daily")
    window = window_filter(mart, tiny.close_days(site, DAY))
    later = datetime.now(UTC) + timedelta(minutes=1)

    upkeep.remove_orphans(FIELDS, later, remembered_since=later - timedelta(days=1))
    assert published_rows(lakehouse.table(FIELDS), before, window).num_rows == 1

    assert upkeep.remove_orphans(FIELDS, later, remembered_since=later).removed > 0
    assert tiny.published("fct_field_daily", site)[0][2] == "11.000000"
    with pytest.raises(OSError):
        published_rows(lakehouse.table(FIELDS), before, window)


def test_closes_that_trino_builds_are_the_same_published_restated_and_rolled_back_on_nessie():
    """The trials of Trino once more, on a platform of their own whose catalog is Nessie."""
    environment = {**os.environ, "HNAI_CLUSTER__CATALOG": "nessie"}
    command = [sys.executable, "-m", "pytest", "-q", "tests/cluster/test_trino_close.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-5000:]


def _of(close, day: str):
    from dataclasses import replace
    from datetime import date

    return replace(close, from_date=date.fromisoformat(day), to_date=date.fromisoformat(day))
