"""One source, one connector and one worker for all the landing trials: starting a virtual machine is dear."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.land_cdc.trial import Trial, open_trial


@pytest.fixture(scope="package")
def trial(lake_platform: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("trial")
    with open_trial(folder) as trial:
        yield trial
    if os.environ.get("HNAI_KEEP_TEST_STATE"):
        print((folder / "worker.log").read_text()[-20_000:])
