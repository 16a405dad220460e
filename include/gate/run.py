"""Run every suite of one layer over one close and say whether the close may go on.

python -m include.gate.run --run-id RUN --layer mart
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import HnaiError
from include.gate import accept, rows, suites
from include.gate.data_docs import page, write_site
from include.gate.report import Report, Result
from include.gate.suites import LAYERS, Layer, Suite
from include.settings import settings

if TYPE_CHECKING:
    from include.publish.freeze import Close

log = logging.getLogger(__name__)
Verdict = tuple[Result, frozenset[date] | None]


def check_layer(close: "Close", layer: Layer) -> Report:
    """Judge the close's rows of one layer; record the results, build their Data Docs and return the report.

    Nothing is raised for a failed expectation: the report's `failures` decide. The rows are those at the close's
    cut-off, so the same run gets the same verdict again; an acceptance is the one thing that may change it.
    """
    began = time.monotonic()
    found = suites.find_suites(close.pack, layer)
    loaded = time.monotonic()
    scratch = settings.state_dir / "tmp" / f"gate-{close.workspace.stem}-{layer}"
    _remove(scratch)  # what a killed gate of this run left
    try:
        verdicts, pages = judge(close, found, scratch.with_name(f"{scratch.name}-{os.getpid()}.duckdb"))
    finally:
        _remove(scratch)
    valid = accept.acceptances(close.keys, datetime.now(UTC))
    keys = {key.partition("@")[0]: key for key in close.keys}
    results = tuple(accept.apply(result, periods, keys, valid) for result, periods in verdicts)
    report = report_of(close, layer, results)
    site = write_site(close, report, {s.table: s.description for s in found}, pages)
    _record(report, close)
    log.info(
        "%s gate: %d expectations on %d tables in %.1f s (after %.1f s to load)",
        layer, len(results), len(found), time.monotonic() - loaded, loaded - began,
    )  # fmt: skip
    return replace(report, data_docs=str(site))


def _remove(scratch: Path) -> None:
    for leftover in scratch.parent.glob(f"{scratch.name}-*"):
        leftover.unlink()


def judge(
    close: "Close", found: Iterable[Suite], path: Path, reader: rows.OpenReader = rows.open_reader
) -> tuple[list[Verdict], dict[str, str]]:
    """Every result with the periods it is about, and every table's page. Nothing is recorded."""
    from include.gate import verdict
    from include.gate.validate import Engine

    broken = rows.take_rows(close, found, path, reader)
    verdicts: list[Verdict] = []
    pages = {}
    engine = Engine(path)
    try:
        for suite in found:
            if suite.table in broken:
                verdicts.append((verdict.unreadable(suite, broken[suite.table]), None))
                continue
            validated = engine.validate(suite)
            for one in validated.results:
                failing = [] if one.success else engine.failing_rows(one)
                verdicts.append(verdict.result(suite, one, failing))
            pages[suite.table] = page(suite, validated)
    finally:
        engine.close()
    return verdicts, pages


def report_of(close: "Close", layer: Layer, results: tuple[Result, ...]) -> Report:
    return Report(
        pack=close.pack,
        calendar=close.calendar,
        window=close.window,
        version=max(close.keys.values()),
        run_id=close.run_id,
        layer=layer,
        results=results,
    )


def _record(report: Report, close: "Close") -> None:
    from include.ops.store import record

    shared = {
        "run_id": report.run_id,
        "pack": report.pack,
        "calendar": report.calendar,
        "close_key": close.label,
        "version": report.version,
        "layer": report.layer,
    }
    record(
        "gate_results",
        [
            {
                **shared,
                "suite": r.suite,
                "table_name": r.table,
                "expectation": r.expectation,
                "column_name": r.column,
                "severity": r.severity,
                "success": r.success,
                "observed": r.observed,
                "bound": r.bound,
                "failing_rows": r.failing_rows,
                "sample_keys": list(r.sample_keys),
                "accepted_by": r.accepted_by,
                "reason": r.reason,
            }
            for r in report.results
        ],
    )


def main(arguments: list[str] | None = None) -> int:
    from include.publish.freeze import load_close

    parser = argparse.ArgumentParser(
        prog="python -m include.gate.run", description="Run one gate of a frozen close again."
    )
    parser.add_argument("--run-id", required=True, help="the run that froze the close")
    parser.add_argument("--layer", required=True, choices=LAYERS)
    given = parser.parse_args(arguments)
    try:
        report = check_layer(load_close(given.run_id), given.layer)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    for result in report.warnings + report.accepted:
        print(result)
    if report.failures:
        print(report.what_on_call_needs(), file=sys.stderr)
    return 0 if report.success else 2


if __name__ == "__main__":
    sys.exit(main())
