"""Suites keep to the SQL that DuckDB and Trino read alike, and Trino's own parser takes what it would be asked."""

import re
from datetime import UTC, date, datetime

import pytest

from include.catalog import calendar, packs
from include.gate import rows, rows_trino
from include.gate.relations import Relations
from include.gate.suites import find_suites
from include.periods import between
from include.publish.freeze import Close
from tests.dbt.test_trino_syntax import jars, refusals  # noqa: F401

OURS = {"greatest_of", "joined", "least_of", "median_of", "ratio", "seconds_between"}  # see include/gate/relations.py
COMMON = {
    "abs", "array_agg", "cast", "ceil", "coalesce", "count", "date_diff", "date_trunc", "floor", "greatest", "lag",
    "lead", "least", "max", "min", "nullif", "round", "row_number", "substr", "sum", "try_cast", "upper",
}  # fmt: skip
WORDS = {
    "and", "as", "by", "decimal", "else", "filter", "from", "in", "join", "not", "on", "or", "over", "then", "where",
}  # fmt: skip
FORBIDDEN = {
    "a cast by ::": r"::",
    "qualify": r"\bqualify\b",
    "union by name": r"\bby\s+name\b",
    "a filter without where": r"\bfilter\s*\((?!\s*where)",
    "a filter of a window": r"\bfilter\s*\([^()]*\)\s*over\b",
    "group by all": r"\bgroup\s+by\s+all\b",
    "exclude or replace of columns": r"\*\s*(exclude|except|replace)\b",
    "at time zone": r"\bat\s+time\s+zone\b",
    "days as numbers": r"_date\s*[-+]\s*\d",
    "division of what may be whole numbers or decimals": r"(?<!\))\s/\s(?!3600|60)",
}
SUITES = [suite for pack in packs() for suite in find_suites(pack)]


def offences(sql: str) -> list[str]:
    bare = re.sub(r"'[^']*'", "x", sql)
    found = [name for name, pattern in FORBIDDEN.items() if re.search(pattern, bare)]
    called = set(re.findall(r"\b([a-z_]+)\s*\(", bare))
    ctes = set(re.findall(r"\b([a-z_]+) as \(", bare))
    return found + sorted(called - OURS - COMMON - WORDS - ctes)


@pytest.mark.parametrize("suite", [s for s in SUITES if s.rows], ids=lambda s: f"{s.pack}.{s.table}")
def test_a_suite_uses_only_what_both_engines_have(suite):
    assert offences(suite.rows) == []


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("select a::date from t", "a cast by ::"),
        ("select median(a) from t", "median"),
        ("select count(*) filter (a > 0) from t", "a filter without where"),
        ("select sum(a) filter (where a > 0) over (partition by b) from t", "a filter of a window"),
        ("select * from t where from_date - 40 < d", "days as numbers"),
        ("select a / b from t", "division of what may be whole numbers or decimals"),
    ],
)
def test_what_only_one_engine_reads_is_an_offence(sql, what):
    assert offences(sql) == [what]


def test_both_engines_get_the_functions_that_suites_may_use():
    assert OURS == set(rows_trino.FUNCTIONS) == set(re.findall(r"macro (\w+)\(", rows.FUNCTIONS))


def test_trino_s_parser_takes_every_suite_with_all_that_it_reads(refusals):  # noqa: F811
    asked = {}
    for suite in SUITES:
        relations = Relations(a_close(suite.pack), "trino", lambda identifier: True)
        sql = suite.rows or relations.window_of(suite)
        asked[f"{suite.pack}.{suite.table}"] = rows_trino.statement(sql, relations.named_in(sql, ()))

    wrong = dict(zip(asked, refusals(list(asked.values())), strict=True))
    assert {name: said for name, said in wrong.items() if said} == {}


def a_close(pack: str) -> Close:
    name, day = {"energypack": ("permian", date(2026, 11, 1)), "factorypack": ("riverside", date(2026, 11, 1))}[pack]
    site = calendar(name)
    now = datetime(2026, 11, 3, tzinfo=UTC)
    return Close(
        pack=pack,
        calendar=name,
        from_date=day,
        to_date=day,
        run_id="parsed",
        reason="test",
        keys={},
        cut_off={"fieldops": {"epoch": 1, "commit_lsn": 7}},
        history={"fct_well_production_daily": 5},
        frozen_at=now,
        history_at=now,
        shifts=tuple(between(site.periods, str(day), str(day))) if site.shifts else (),
    )
