"""A small operator in a real lakehouse: raw tables as a full load leaves them, and closes to build on them."""

from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pytest

from tests.dbt.operator_lake import LOADED_AT, NOW, land_operator


@pytest.fixture(scope="session")
def operator(lake_platform) -> dict[str, pa.Table]:
    """The operator's tables, loaded into raw at commit 1000."""
    return land_operator()


@pytest.fixture(scope="session")
def close_of(operator) -> Callable[..., object]:
    """Make a close by hand, as freezing would: `close_of("permian", first, last, "run", cut_off=…)`."""
    from include.publish.freeze import Close

    def make(
        calendar: str, first: date, last: date, run_id: str, *, commit: int = LOADED_AT, files: int = 0, history=None
    ):
        position, batches = {"epoch": 1, "commit_lsn": commit}, {"epoch": 0, "commit_lsn": files}
        return Close(
            pack="energypack",
            calendar=calendar,
            from_date=first,
            to_date=last,
            run_id=run_id,
            reason="test",
            keys={},
            cut_off={"fieldops": position, "npd": batches, "flow_computer": batches},
            history=history or {},
            frozen_at=NOW,
            history_at=NOW,
        )

    return make
