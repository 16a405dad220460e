"""Fixtures of the whole suite. A platform for tests never touches the one that `make up` started."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import testing

STATE_DIR, PORT_SHIFT = testing.reserve()  # before anything imports include.settings


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
