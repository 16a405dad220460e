"""The tiny pack on a lakehouse of the tests' own; every test gets a calendar that no other test closes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from include import catalog
from tests.publish import tiny, tiny_plant

_unused = iter(tiny.CALENDARS)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tinypack")


@pytest.fixture
def tinypack(lake_platform, tiny_folder, monkeypatch) -> Iterator[Path]:
    """The pack declared and the lakehouse up; gives the folder of its declarations."""
    monkeypatch.setattr(catalog, "ROOT", catalog.ROOT)  # what declare() sets is set back after the test
    monkeypatch.setattr(catalog, "DBT", catalog.DBT)
    monkeypatch.setattr(catalog, "MODELS", catalog.MODELS)
    tiny.declare(tiny_folder)
    yield tiny_folder


@pytest.fixture
def site(tinypack) -> str:
    """A calendar of the test's own."""
    return next(_unused)


@pytest.fixture
def plant(tinypack) -> str:
    """A calendar of three shifts of the test's own."""
    return tiny_plant.declare()
