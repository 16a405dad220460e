"""The models' own unit tests, whose figures were worked out by hand, on a plain DuckDB."""

import pytest
import sqlparse
from sqlparse.sql import Statement, Token
from sqlparse.tokens import CTE, Comment, Text, Whitespace

from include.build import run_dbt
from include.catalog import MODELS, read_yaml

parse = sqlparse.parse


def parse_head(sql: str) -> tuple[Statement, ...]:
    """A statement's tokens up to the one after `with`, and the rest of it as one token.

    dbt puts the given rows behind a model's `with`. To find it, it has the whole model parsed: half of the time that
    unit tests take.
    """
    tokens, words = [], []
    for kind, text in sqlparse.lexer.tokenize(sql):
        tokens.append(Token(kind, text))
        if kind not in Whitespace and kind not in Comment:
            words.append(kind)
        if len(words) == 2 or words and words[0] is not CTE:
            break
    if words[:1] != [CTE]:
        return parse(sql)
    rest = sql[sum(len(token.value) for token in tokens) :]
    return (Statement([*tokens, Token(Text, rest)]),)


@pytest.mark.parametrize(
    "sql",
    [
        "with a as (select 1 as x) select x from a",
        "\n-- why\nWITH /* so */ recursive a(x) as (select 1) select x from a",
    ],
)
def test_the_head_of_a_statement_is_all_that_dbt_needs_of_it(sql, monkeypatch):
    from dbt.compilation import InjectedCTE, inject_ctes_into_sql

    given = [InjectedCTE(id="given", sql=" given as (select 2)")]
    by_all = inject_ctes_into_sql(sql, given)
    monkeypatch.setattr(sqlparse, "parse", parse_head)

    assert inject_ctes_into_sql(sql, given) == by_all
    assert "given as (select 2)" in by_all


def test_dbt_s_unit_tests_pass(tmp_path, monkeypatch):
    declared = [one for path in MODELS.rglob("*.yml") for one in read_yaml(path).get("unit_tests", [])]
    monkeypatch.setattr(sqlparse, "parse", parse_head)

    outcome = run_dbt(["test", "--select", "test_type:unit"], None, tmp_path, target="plain")

    assert outcome.exception is None
    failed = [(r.node.name, r.message) for r in outcome.result.results if str(r.status) != "pass"]
    assert failed == []
    assert len(outcome.result.results) == len(declared) >= 12
