"""Fixtures of the whole suite. A platform for tests never touches the one that `make up` started."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import testing

# The room of the distributed profile runs in a process of its own.
IS_CLUSTER = any("tests/cluster" in argument for argument in sys.argv)
os.environ["HNAI_PROFILE"] = "distributed" if IS_CLUSTER else "embedded"
if IS_CLUSTER:
    os.environ.setdefault("HNAI_CLUSTER__COMMIT_EVERY_S", "1")  # so that nobody waits long for Kafka Connect's sink
STATE_DIR, PORT_SHIFT = testing.reserve()  # before anything imports include.settings
PARSED = Path(__file__).parents[1] / ".pytest_cache" / "dbt"  # dbt's parsed projects, by content: half a minute each


def pytest_configure() -> None:
    PARSED.mkdir(parents=True, exist_ok=True)
    (STATE_DIR / "tmp").mkdir()
    (STATE_DIR / "tmp" / "dbt").symlink_to(PARSED)


def pytest_unconfigure() -> None:
    """Remove the state folder; HNAI_KEEP_TEST_STATE=1 keeps it for reading."""
    if not os.environ.get("HNAI_KEEP_TEST_STATE"):
        shutil.rmtree(STATE_DIR, ignore_errors=True)


@pytest.fixture(scope="session")
def platform() -> Iterator[type[testing]]:
    """The platform on its own state folder and ports: `platform.start(services)` adds services to it.

    Everything is stopped at the end.
    """
    yield testing
    testing.stop()


@pytest.fixture(scope="session")
def lake_platform(platform) -> Path:
    """Object store, catalog and PostgreSQL, healthy. Returns the state folder."""
    platform.start(("seaweedfs", "postgres"))
    return STATE_DIR


@pytest.fixture(scope="session")
def real_files() -> Path:
    """The operator's original production files; a clone without them skips what needs them."""
    folder = Path(os.environ.get("HNAI_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "volve_production"
    if not folder.is_dir():
        pytest.skip(f"the Volve production files are not here ({folder}); set HNAI_TEST_DATA to the folder above them")
    return folder
