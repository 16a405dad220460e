"""Every model, compiled for Trino, is SQL that Trino's own parser takes. No Trino runs; only its parser is asked."""

import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from include.build import run_dbt
from include.catalog import MODELS
from include.settings import ROOT
from stack.cluster.fetch import TRINO

JARS = ("trino-parser-476", "trino-grammar-476", "antlr4-runtime-4.13.2", "guava_guava-*", "failureaccess-*")


@pytest.fixture(scope="module")
def jars() -> list[str]:
    found = [next(iter(sorted(TRINO.folder.rglob(f"*{name}.jar"))), None) for name in JARS]
    if not all(found):
        pytest.skip(f"Trino is not fetched ({TRINO.folder}); `make cluster-up` does")
    return [str(path) for path in found]


@pytest.fixture(scope="module")
def refusals(jars, request) -> Callable[[list[str]], list[str | None]]:
    """Ask the parser about statements: None, or what is wrong with each. It is not asked twice for one that it took."""
    cache, key = request.config.cache, f"trino/{request.node.name}"
    known, taken = set(cache.get(key, [])), set()

    def ask(statements: list[str]) -> list[str | None]:
        names = [sha256(f"{jars} {statement}".encode()).hexdigest() for statement in statements]
        unseen = {name: text for name, text in zip(names, statements, strict=True) if name not in known}
        said = dict(zip(unseen, _parsed(jars, list(unseen.values())), strict=True)) if unseen else {}
        taken.update(name for name in names if not said.get(name))
        cache.set(key, sorted(taken))
        return [said.get(name) for name in names]

    return ask


def _parsed(jars: list[str], statements: list[str]) -> list[str | None]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.dbt.trino_parser", *jars],
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return json.loads(done.stdout)


def compiled(folder: Path) -> dict[str, str]:
    """Model, or data test -> its SQL for Trino, of a close with shifts, compiled without a connection."""
    from tests.dbt.factory_lake import between, calendar, variables

    shifts = variables(between(calendar("riverside").periods, "2026-10-31", "2026-11-01"))
    offline = ["compile", "--no-introspect", "--no-populate-cache"]
    outcome = run_dbt(offline, "ws_syntax", folder, shifts, target="distributed")
    assert outcome.success, outcome.exception
    return {r.node.name: r.node.compiled_code for r in outcome.result.results if r.node.resource_type != "seed"}


def test_trino_s_parser_takes_every_model(refusals, tmp_path):
    models = compiled(tmp_path)

    assert set(models) >= {path.stem for path in MODELS.rglob("*.sql")}
    wrong = dict(zip(models, refusals(list(models.values())), strict=True))
    assert {name: said for name, said in wrong.items() if said} == {}


def test_the_parser_refuses_what_only_duckdb_reads(refusals):
    foreign = ["select a::date from t", "select * exclude (a) from t", "select a // 2 from t", "select {'a': 1}"]

    assert all(refusals(foreign))
    assert refusals(["select cast(a as date) from t"]) == [None]
