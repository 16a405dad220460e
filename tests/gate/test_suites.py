"""What holds for every suite: severities, reasons, and names that dbt's models really have."""

import re
from functools import cache

import pytest

from include.catalog import DBT, MODELS, marts, packs, read_yaml
from include.gate import suites
from include.gate.suites import LAYERS, find_suites, gated_tables, layer_of

SUITES = [suite for pack in packs() for suite in find_suites(pack)]
JUDGED = [(suite, expectation) for suite in SUITES for expectation in suite.expectations.expectations]


@cache
def declared_columns() -> dict[str, set[str]]:
    """The columns of every model by its YAML, and of every seed by its heading."""
    found = {}
    for path in MODELS.rglob("*.yml"):
        for model in read_yaml(path).get("models", []):
            found[model["name"]] = {column["name"] for column in model.get("columns", [])}
    for path in DBT.glob("seeds/*/*.csv"):
        found[path.stem] = set(path.read_text().splitlines()[0].split(","))
    return found


@pytest.mark.parametrize(("suite", "expectation"), JUDGED, ids=lambda x: getattr(x, "table", type(x).__name__))
def test_every_expectation_has_a_severity_and_a_reason(suite, expectation):
    assert expectation.severity.value in ("critical", "warning")
    assert len(expectation.notes) > 30


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.table)
def test_every_suite_says_what_it_is_and_names_its_rows(suite):
    assert suite.description and suite.key


@pytest.mark.parametrize("pack", packs())
def test_every_layer_and_every_published_mart_is_gated(pack):
    gated = gated_tables(pack)

    assert {layer_of(table) for table in gated} == set(LAYERS)
    assert {mart.name for mart in marts(pack)} <= set(gated)


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.table)
def test_a_suite_reads_only_columns_that_its_models_declare(suite):
    """Columns are found as `alias.column`, and the alias as `from table as alias`."""
    columns, sql = declared_columns(), suite.rows or ""
    if not sql and suite.table in columns:
        asked = {e.column for e in suite.expectations.expectations if getattr(e, "column", None)}
        assert asked <= columns[suite.table]
    for table, alias in re.findall(r"(?:from|join) (\w+) as (\w+)", sql):
        known = columns.get(table.removeprefix("history_"))
        if known:
            used = set(re.findall(rf"\b{alias}\.([a-z_0-9]+)\b", sql))
            others = {a for t, a in re.findall(r"(?:from|join) (\w+) as (\w+)", sql) if a == alias and t != table}
            assert others or used <= known, f"{suite.table}: {table} has no {used - known}"


def test_a_suite_without_a_reason_is_refused(tmp_path, monkeypatch):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "fct_bare.py").write_text(
        "import great_expectations as gx\n"
        "at_least_one = gx.expectations.ExpectTableRowCountToBeBetween(min_value=1)\n"
        "SUITE = gx.ExpectationSuite(name='fct_bare', expectations=[at_least_one])\n"
    )
    monkeypatch.setattr(suites, "EXPECTATIONS", tmp_path)

    with pytest.raises(suites.DeclarationError, match="gives no reason"):
        find_suites("pack")
