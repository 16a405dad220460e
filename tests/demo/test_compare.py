"""`python -m demo.scada compare` and `python -m demo.replay check` against a real lakehouse."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from demo import replay, scada
from demo.replay import Served, folder_of
from demo.scada import SECOND, microseconds, moment
from demo.scada_compare import true_at
from demo.simulators import Runs, simulator_dir

pytestmark = pytest.mark.platform
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def readings(lake_platform):
    """Appends readings: tag, time, value, quality, and whose clock."""
    from include.lakehouse import append
    from include.ot import tables

    tables.ensure()

    def add(*rows: tuple) -> None:
        columns = {name: [] for name in tables.READINGS.names}
        for tag_id, at, value, quality, clock in rows:
            of = {
                "tag_id": tag_id,
                "observed_at": at,
                "sequence": 0,
                "value_double": value if isinstance(value, float) else None,
                "value_text": value if isinstance(value, str) else None,
                "quality": quality,
                "clock": clock,
                "received_at": at,
                "landed_at": at + timedelta(seconds=2),
                "unit": "1",
                "_segment_id": "spool-000000000001",
                "_ordinal": 1,
            }
            for name, column in columns.items():
                column.append(of.get(name))
        append(tables.READINGS_TABLE, pa.table(columns, schema=tables.READINGS))

    return add


def true_rows(tag_id: str, at: np.ndarray) -> list[tuple]:
    values, codes = true_at(tag_id, at)
    plain = [v if isinstance(v, str) else None if v is None or np.isnan(v) else float(v) for v in values]
    return [(tag_id, moment(t), v, int(q), "source") for t, v, q in zip(at, plain, codes, strict=True)]


def test_a_mirror_is_compared_with_the_truth_of_each_reading(readings, capsys):
    at = microseconds(NOON) + np.arange(60) * SECOND
    for simulator in ("opcua", "modbus", "mtconnect", "line"):
        runs = Runs(simulator_dir() / f"{simulator}_runs.txt")
        runs.begin(int(at[0]))
        runs.reach(int(at[-1]))
    window = ["--from", NOON.isoformat(), "--to", (NOON + timedelta(minutes=1)).isoformat()]
    readings(
        *true_rows("MES-01.tubing_head_pressure", at),
        *true_rows("EAG-07.casing_pressure", at),
        *true_rows("MES-01.is_running", at[:1]),
        *true_rows("PKG-40.execution", at),
        *true_rows("MCH-40.execution", at),
        *true_rows("MCH-40.vibration_mm_per_s", at),
    )

    assert scada.main(["compare", *window]) == 0
    said = capsys.readouterr().out
    assert "564 tags" in said and "readings          301" in said and "p95 2.0" in said

    readings(("MES-01.casing_pressure", NOON, 1.0, 0, "source"))
    assert scada.main(["compare", *window, "--only", "MES-01.casing_pressure"]) == 1
    assert "MES-01.casing_pressure: 1 of 1 readings differ" in capsys.readouterr().out


def test_a_replay_is_compared_value_by_value(readings, capsys):
    served = Served(folder_of("replay_trial") / "served.parquet")
    told = [(1.5, 0), (1.5, 0), (None, 0x80000000), ("text", 0), (float("nan"), 0)]
    for n, cell in enumerate(told):
        served.add("TRIAL.a", NOON + timedelta(seconds=n), cell)
    served.close()
    news = [(0, 1.5, 0), (2, None, 0x80000000), (3, "text", 0), (4, None, 0x803C0000)]
    readings(*(("TRIAL.a", NOON + timedelta(seconds=n), value, code, "source") for n, value, code in news[:-1]))

    assert replay.main(["check", "replay_trial"]) == 1
    assert "missing              1" in capsys.readouterr().out

    readings(*(("TRIAL.a", NOON + timedelta(seconds=n), value, code, "source") for n, value, code in news[-1:]))
    assert replay.main(["check", "replay_trial"]) == 0

    readings(("TRIAL.a", NOON + timedelta(seconds=1), 99.0, 0, "source"))
    assert replay.main(["check", "replay_trial"]) == 1
