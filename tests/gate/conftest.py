"""One operator's files are written once; each test works on a copy. Great Expectations is imported once a process."""

import shutil
from pathlib import Path

import pytest

from include.gate import accept, run, suites
from include.gate.report import Report
from include.settings import settings
from tests.gate.operator import Operator, a_close, settle


@pytest.fixture(scope="session")
def settled(tmp_path_factory) -> Path:
    operator = settle(Operator(tmp_path_factory.mktemp("operator"), a_close(run_id="settled")))
    shutil.move(operator.close.workspace, operator.folder / "workspace.duckdb")
    return operator.folder


@pytest.fixture
def operator(settled, tmp_path, request):
    """A good operator whose files the test may change; `close` it by `judge`."""
    shutil.copy(settled / "lakehouse.duckdb", tmp_path)
    close = a_close(run_id=request.node.name)
    close.workspace.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(settled / "workspace.duckdb", close.workspace)
    yield Operator(tmp_path, close)
    close.workspace.unlink(missing_ok=True)
    shutil.rmtree(settings.data_docs_dir, ignore_errors=True)


@pytest.fixture
def judge(tmp_path):
    """Judge one layer, or one table, of an operator's close, with the given acceptances in force."""

    def judge_layer(operator: Operator, layer: str, table: str | None = None, accepted=(), close=None) -> Report:
        close = close or operator.close
        found = [s for s in suites.find_suites("energypack", layer) if table in (None, s.table)]
        verdicts, pages = run.judge(close, found, tmp_path / "gate.duckdb", operator.reader)
        keys = dict(zip(close.names, close.keys, strict=True))
        results = tuple(accept.apply(result, periods, keys, list(accepted)) for result, periods in verdicts)
        report = run.report_of(close, layer, results)
        run.write_site(close, report, {s.table: s.description for s in found}, pages)
        return report

    return judge_layer
