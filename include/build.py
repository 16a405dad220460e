"""Build one layer of a close in its workspace: one dbt process, in this Python process, per layer.

The workspace is of the run alone: a DuckDB file with the lakehouse attached, or a namespace of the lakehouse that
Trino fills (include/engine.py). Raw is read at the close's cut-off. What a close is about reaches dbt as variables.
Parsing is the dear part of dbt, so a parsed project is kept by the hash of its files and used again by every later
close.

    python -m include.build layer --run-id RUN --layer mart    # build it again, as a close would
    python -m include.build dbt ls                             # any dbt command, on the last workspace or a scratch one
"""

import argparse
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from include.catalog import DBT, calendar, feeds, sources
from include.engine import Engine, engine
from include.errors import HnaiError
from include.settings import ROOT, settings

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult

    from include.publish.freeze import Close

log = logging.getLogger(__name__)
Layer = Literal["stage", "mart"]
FOLDERS: dict[Layer, tuple[str, ...]] = {"stage": ("staging", "intermediate"), "mart": ("marts",)}
FAILING_ROWS = 5


class BuildFailed(HnaiError):
    """Models or tests of a layer failed; the message names each, its compiled SQL and some failing rows."""


@dataclass(frozen=True)
class ModelResult:
    """What became of one seed, model or test."""

    name: str
    kind: str  # seed, model, test
    status: str  # success, pass, warn, error, fail, skipped
    duration_s: float
    rows: int | None = None  # of the table it built
    failures: int | None = None  # rows that a test found
    message: str = ""
    compiled: Path | None = None

    @property
    def is_failed(self) -> bool:
        return self.status in ("error", "fail", "runtime error")


def build_layer(close: "Close", layer: Layer, by: Engine | None = None) -> list[ModelResult]:
    """Build `layer` of the close's pack in its workspace and record every result in `ops.model_runs`.

    `by` names another engine than that of the platform's profile. Running it again builds the same tables again.
    Raises `BuildFailed` where a model or data test failed.
    """
    by = by or engine()
    if layer == "stage":
        _require_raw(close.pack)
    paths = selected_paths(close.pack, layer)
    no_unit_tests = ("--exclude-resource-type", "unit_test", "--indirect-selection", "cautious")
    arguments = ["build", "--select", *paths, *no_unit_tests]
    folder = work_folder(close.workspace)
    variables = close_variables(close)
    by.prepare(close)
    outcome = run_dbt(arguments, by.workspace(close), folder, variables, target=by.target)
    (folder / "close.json").write_text(json.dumps(variables))
    results = _results(outcome, close, by)
    _record(close, layer, results)
    for result in results:
        log.info(
            "%-60s %-8s %6.2f s %s",
            result.name,
            result.status,
            result.duration_s,
            "" if result.rows is None else f"{result.rows} rows",
        )
    if not outcome.success:
        raise BuildFailed(_what_failed(close, layer, results, outcome, by))
    return results


def _require_raw(pack: str) -> None:
    """Make the tables that no file and no reading has reached yet; name the captured ones that have not landed."""
    from include import lakehouse
    from include.land import files
    from include.ot import tables as mirror

    landed = {name[-1] for name in lakehouse.catalog().list_tables("raw")}
    if any(feed.identifier not in landed for feed in feeds() if feed.pack == pack):
        files.prepare()
    if (DBT / "seeds" / pack / f"{pack}_tags.csv").is_file():
        mirror.ensure()
    staged = {path.stem for path in (DBT / "models" / pack / "staging").rglob("stg_*.sql")}
    declared = [table for source in sources() if source.pack == pack for table in source.tables]
    if missing := [t for t in declared if f"stg_{t.identifier}" in staged and t.identifier not in landed]:
        names = ", ".join(f"{t.source}.{t.name}" for t in missing)
        raise BuildFailed(f"Not landed yet: {names}. Run the DAG land_{missing[0].source}, then clear this task")


def selected_paths(pack: str, layer: Layer) -> list[str]:
    """The folders of the project that a layer of a pack consists of; the pack's seeds belong to `stage`."""
    found = [DBT / "models" / owner / name for owner in ("shared", pack) for name in FOLDERS[layer]]
    if layer == "stage":
        found.append(DBT / "seeds" / pack)
    return [f"path:{path.relative_to(DBT)}" for path in found if path.is_dir() and any(path.rglob("*.*"))]


def close_variables(close: "Close") -> dict[str, Any]:
    """What dbt's models may know of a close; the names are those of `vars` in `dbt/dbt_project.yml`.

    The clock of shifts is reckoned here alone: models of any engine get its UTC instants.
    """
    site = calendar(close.calendar)
    before = site.periods.last_ended(close.periods[0].starts_at) if close.shifts else None
    return {
        "pack": close.pack,
        "calendar": close.calendar,
        "zone": site.zone,
        "contract_hour": site.contract_hour,
        "from_date": close.from_date.isoformat(),
        "to_date": close.to_date.isoformat(),
        "cut_off": close.cut_off,
        "history": close.history,
        "history_names": _history_names(close),
        "run_id": close.run_id,
        "close_keys": close.keys,
        "periods": [
            {**p.as_json(), "production_date": p.production_date.isoformat(), "shift": p.shift} for p in close.shifts
        ],
        "since": before.ends_at.isoformat() if before else "",
    }


def _history_names(close: "Close") -> dict[str, str]:
    """Mart -> the name under which the catalog itself shows it as the close froze it, where it has such names."""
    from include import lakehouse

    frozen = {mart: snapshot for mart, snapshot in close.history.items() if snapshot is not None}
    names = {mart: lakehouse.name_at(f"{close.pack}.{mart}", snapshot) for mart, snapshot in frozen.items()}
    return {mart: name.rpartition(".")[2] for mart, name in names.items() if name}


def work_folder(workspace: Path) -> Path:
    """Where dbt writes for this workspace, beside the file that it would be: two closes never meet."""
    return workspace.with_suffix(".dbt")


def run_dbt(
    arguments: Sequence[str],
    workspace: Path | str | None,
    folder: Path,
    variables: Mapping[str, Any] | None = None,
    *,
    target: str = "embedded",
    is_quiet: bool = True,
) -> "dbtRunnerResult":
    """Run one dbt command in this process, with dbt's own files in `folder`.

    `workspace` is a DuckDB file, a namespace for Trino, or None for a scratch one.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters
    from dbt.cli.main import dbtRunner

    folder.mkdir(parents=True, exist_ok=True)
    known = dict(variables or {})
    if isinstance(workspace, Path):
        workspace.parent.mkdir(parents=True, exist_ok=True)
    if workspace:
        known["workspace"] = str(workspace)
    command = ["--no-version-check", "--no-write-json", "--log-level-file", "info", "--log-path", str(folder / "logs")]
    if is_quiet:
        command += ["--log-level", "none"]
    command += [
        *arguments,
        "--project-dir",
        str(DBT),
        "--profiles-dir",
        str(DBT),
        "--target-path",
        str(folder),
        "--target",
        target,
    ]
    kept = parsed_project(target)
    manifest = _load_parsed(kept)
    if manifest and target == "distributed":
        _move(manifest, str(workspace))
    try:
        with _profile(target) as needed:
            command += ["--vars", json.dumps(known | needed, default=str)]
            return dbtRunner(manifest=manifest).invoke(command)
    finally:
        DuckDBConnectionManager.close_all_connections()  # gives the workspace's lock back
        reset_adapters()
        _keep_parsed(folder / "partial_parse.msgpack", kept)


@contextmanager
def _profile(target: str) -> Iterator[dict[str, Any]]:
    """The variables that the target's entry in `dbt/profiles.yml` reads."""
    if target != "distributed":
        yield {}
        return
    from include.engine_trino import dbt_profile

    with dbt_profile() as trino:
        yield {"trino": trino}


KEPT_PROJECTS = 3  # parsed ones per adapter: branches and copies that are worked on by turns


def parsed_project(target: str = "embedded") -> Path:
    """Where the parsed project is kept: named by the content of dbt's files, so that a change is parsed anew."""
    adapter = "trino" if target == "distributed" else "duckdb"
    content = sha256(version("dbt-core").encode() + version(f"dbt-{adapter}").encode())
    files = (p for p in DBT.rglob("*") if p.is_file() and p.suffix in (".sql", ".yml", ".csv", ".dbtignore", ""))
    for path in sorted(files):
        content.update(str(path.relative_to(DBT)).encode() + b"\0" + path.read_bytes())
    return settings.state_dir / "tmp" / "dbt" / f"parsed-{adapter}-{content.hexdigest()[:20]}.msgpack"


def _load_parsed(kept: Path) -> Any:
    """The parsed project, or None where it must be parsed. Variables do not change what parsing finds."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    if not kept.is_file():
        return None
    manifest = Manifest.from_msgpack(kept.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _move(manifest: Any, namespace: str) -> None:
    """Let every node of a parsed project stand in another namespace: dbt fixes that while it parses."""
    for node in manifest.nodes.values():
        if node.schema != namespace and getattr(node, "relation_name", None):
            node.relation_name = node.relation_name.replace(f'."{node.schema}".', f'."{namespace}".')
        node.schema = namespace


def _keep_parsed(written: Path, kept: Path) -> None:
    if not written.is_file() or kept.is_file():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
    shutil.copyfile(written, fresh)
    fresh.replace(kept)
    found = kept.parent.glob(f"{kept.name.rsplit('-', 1)[0]}-*.msgpack")
    for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-KEPT_PROJECTS]:
        old.unlink(missing_ok=True)


def _results(outcome: "dbtRunnerResult", close: "Close", by: Engine) -> list[ModelResult]:
    found = getattr(outcome.result, "results", None) or []
    rows = by.row_counts(close) if found else {}
    return [
        ModelResult(
            name=r.node.name,
            kind=str(r.node.resource_type),
            status=str(r.status),
            duration_s=r.execution_time,
            rows=rows.get(r.node.name),
            failures=r.failures if r.node.resource_type == "test" else None,
            message=(r.message or "") if str(r.status) not in ("success", "pass") else "",
            compiled=ROOT / r.node.compiled_path if getattr(r.node, "compiled_path", None) else None,
        )
        for r in found
    ]


def _record(close: "Close", layer: Layer, results: Sequence[ModelResult]) -> None:
    from include.ops.store import record

    common = {"run_id": close.run_id, "pack": close.pack, "calendar": close.calendar, "layer": layer}
    record(
        "model_runs",
        [
            {
                **common,
                "model": r.name,
                "kind": r.kind,
                "status": r.status,
                "rows": r.rows,
                "failures": r.failures,
                "duration_s": r.duration_s,
                "message": r.message,
            }
            for r in results
        ],
    )


def _what_failed(
    close: "Close", layer: Layer, results: Sequence[ModelResult], outcome: "dbtRunnerResult", by: Engine
) -> str:
    lines = [f"{layer} of {close.label} (run {close.run_id}) did not build."]
    for r in results:
        if not r.is_failed:
            continue
        lines.append(f"  {r.kind} {r.name}: {r.message.strip()}")
        if r.compiled:
            lines.append(f"    SQL: {r.compiled}")
        if r.kind == "test" and r.compiled:
            lines += [f"    row: {row}" for row in by.failing_rows(close, r.compiled.read_text(), FAILING_ROWS)]
    if outcome.exception:
        lines.append(f"  {outcome.exception}")
    lines.append(f"Mend the cause, then clear the task that builds {layer}; a mend at the source needs a new run.")
    return "\n".join(lines)


def dbt(arguments: Sequence[str]) -> bool:
    """Run any dbt command on a scratch workspace, with the variables of the layer that was built last, if any."""
    built = sorted(settings.workspaces_dir.glob("*/*.dbt/close.json"), key=lambda p: p.stat().st_mtime)
    variables = json.loads(built[-1].read_text()) if built else {}
    scratch = settings.workspaces_dir / "scratch.duckdb"
    where = "ws_scratch" if settings.is_distributed else scratch
    outcome = run_dbt(arguments, where, work_folder(scratch), variables, target=engine().target, is_quiet=False)
    if outcome.exception:
        print(outcome.exception, file=sys.stderr)
    return outcome.success


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["dbt"]:
        return 0 if dbt(arguments[1:]) else 1
    parser = argparse.ArgumentParser(
        prog="python -m include.build", description="Build a layer of a close that was frozen."
    )
    parser.add_argument("command", choices=["layer"])
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--layer", required=True, choices=list(FOLDERS))
    a = parser.parse_args(arguments)
    from include.publish.freeze import load_close

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        build_layer(load_close(a.run_id), a.layer)
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
