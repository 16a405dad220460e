"""Models keep to the SQL that DuckDB and Trino read alike; whatever differs between them lives in macros."""

import re
from pathlib import Path

import pytest

from include.catalog import MODELS

FUNCTIONS = {
    "abs", "cast", "coalesce", "count", "date_trunc", "extract", "lag", "lead", "lower", "max", "min", "nullif",
    "replace", "row_number", "sign", "sum", "upper",
}  # fmt: skip
WORDS = {
    "as",
    "and",
    "or",
    "on",
    "in",
    "over",
    "not",
    "by",
    "when",
    "then",
    "else",
    "values",
    "decimal",
    "from",
    "join",
    "where",
    "exists",
    "using",
}
FORBIDDEN = {
    "/": r"/",
    "a modulo sign": r"%",
    "avg": r"\bavg\b",
    "concat": r"\bconcat\b",
    "at time zone": r"\bat\s+time\s+zone\b",
    "a cast by ::": r"::",
    "qualify": r"\bqualify\b",
    "group by all": r"\bgroup\s+by\s+all\b",
    "exclude, except or replace of columns": r"\*\s*(exclude|except|replace)\b",
    "a clock": r"\b(now|current_date|current_timestamp|localtimestamp|today)\b",
    "greatest or least": r"\b(greatest|least)\b",
    "union by name": r"\bunion\s+(all\s+)?by\s+name\b",
    "an implicit unnest": r"\bunnest\b",
    "using sample": r"\busing\s+sample\b",
}  # fmt: skip
MODEL_FILES = sorted(MODELS.rglob("*.sql"))


def bare_sql(text: str) -> str:
    """The model without Jinja, comments and literals: what the engines would have to agree on."""
    for pattern in (r"\{#.*?#\}", r"\{\{.*?\}\}", r"\{%.*?%\}", r"--[^\n]*", r"/\*.*?\*/", r"'[^']*'"):
        text = re.sub(pattern, " x ", text, flags=re.DOTALL)
    return text.lower()


def offences(text: str) -> list[str]:
    sql = bare_sql(text)
    found = [name for name, pattern in FORBIDDEN.items() if re.search(pattern, sql)]
    called = set(re.findall(r"\b([a-z_][a-z0-9_]*)\s*\(", sql))
    return found + sorted(called - FUNCTIONS - WORDS)


@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda p: p.stem)
def test_a_model_uses_only_what_both_engines_read_alike(path: Path):
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "select a / b from t",
        "select avg(a) from t",
        "select a::date from t",
        "select concat(a, b) from t",
        "select a at time zone 'UTC' from t",
        "select strptime(a, '%Y') from t",
        "select * from t qualify row_number() over (order by a) = 1",
        "select * exclude (a) from t",
        "select current_date",
    ],
)
def test_the_lint_sees_what_engines_read_differently(sql: str):
    assert offences(sql)


def test_macros_and_literals_are_not_what_the_lint_looks_at():
    assert offences("select {{ ratio('a', 'b') }} as r, 'a/b' as path from t -- 1/2") == []


def test_every_model_has_its_yml_and_every_staging_model_its_source():
    assert [p.name for p in MODEL_FILES if not p.with_suffix(".yml").is_file()] == []
