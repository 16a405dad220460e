"""A gate on the real lakehouse: verdicts, acceptances and results go through its tables."""

from datetime import UTC, datetime, timedelta

import pytest

from include.gate import accept
from include.gate.run import check_layer
from tests.gate.figures import LAST_DAY

pytestmark = pytest.mark.platform
PATTERN = "fct_well_production_daily.expect_column_values_to_be_between.oil_sm3"
WRONG = (
    f"update fct_well_production_daily set oil_sm3 = -1 where well_id = 'W07' and production_date = date '{LAST_DAY}'"
)


def test_a_failure_is_recorded_accepted_for_its_close_and_recorded_again(lake_platform, operator):
    from include.ops.store import read

    close = operator.close
    operator.workspace(WRONG)
    accept.accept(["2026-11-22@permian"], PATTERN, "ada", "another day")

    first = check_layer(close, "mart")
    accept.accept(list(close.keys), PATTERN, "ada", "booked offset", datetime.now(UTC) + timedelta(hours=1))
    accept.accept(list(close.keys), "fct_field_production_daily.*", "ada", "follows from it")
    second = check_layer(close, "mart")
    accept.withdraw(list(close.keys), PATTERN, "bob", "no offset after all")
    third = check_layer(close, "mart")

    assert PATTERN in {r.pattern for r in first.failures}
    assert second.success and {r.accepted_by for r in second.accepted} == {"ada"}
    assert [r.pattern for r in third.failures] == [PATTERN]
    rows = read("gate_results", run_id=close.run_id, column_name="oil_sm3", success=False)
    assert [(row["failing_rows"], row["accepted_by"]) for row in rows] == [(1, None), (1, "ada"), (1, None)]
    assert rows[0]["sample_keys"] == '[{"well_id":"W07","production_date":"2026-11-23","oil_sm3":"-1"}]'
