"""The models' own unit tests, whose figures were worked out by hand, on a plain DuckDB."""

from include.build import run_dbt


def test_dbt_s_unit_tests_pass(tmp_path):
    outcome = run_dbt(["test", "--select", "test_type:unit"], None, tmp_path, target="plain")

    assert outcome.exception is None
    failed = [(r.node.name, r.message) for r in outcome.result.results if str(r.status) != "pass"]
    assert failed == []
    assert len(outcome.result.results) >= 12
