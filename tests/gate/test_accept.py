"""An acceptance lets one failure of one close pass, says who let it, and ends."""

from datetime import UTC, datetime, timedelta

import pytest

from include.errors import DeclarationError
from include.gate import accept
from include.gate.accept import Acceptance
from include.gate.report import Result
from tests.gate.figures import LAST_DAY
from tests.gate.operator import a_close

NOW = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
KEY = f"{LAST_DAY}@permian"
PATTERN = "stg_fieldops__daily_readings.expect_column_values_to_be_between.oil_to_usual"


def acceptance(key: str = KEY, pattern: str = PATTERN) -> Acceptance:
    return Acceptance(key, pattern, "ada", "a new well came on stream", NOW + timedelta(hours=1))


def failure(**changed) -> Result:
    values = {
        "suite": "stg_fieldops__daily_readings",
        "table": "stg_fieldops__daily_readings",
        "expectation": "expect_column_values_to_be_between",
        "column": "oil_to_usual",
        "severity": "critical",
        "success": False,
        "observed": "1 of 12 rows: 1000",
        "bound": "must be at most 20",
        "failing_rows": 1,
        "sample_keys": (),
        "reason": "a unit",
    }
    return Result(**{**values, **changed})


def judged(accepted, dates=frozenset({LAST_DAY}), close=None) -> Result:
    keys = dict(zip((close or a_close()).names, (close or a_close()).keys, strict=True))
    return accept.apply(failure(), dates and frozenset(map(str, dates)), keys, list(accepted))


def test_what_is_accepted_passes_and_says_who_and_why():
    result = judged([acceptance()])

    assert (result.accepted_by, result.accepted_why) == ("ada", "a new well came on stream")
    assert str(result).endswith("(accepted by ada: a new well came on stream)")


def test_an_acceptance_of_another_close_does_not_help():
    assert judged([acceptance(key="2026-11-22@permian")]).accepted_by is None
    assert judged([acceptance(key=f"{LAST_DAY}@north_sea")]).accepted_by is None


@pytest.mark.parametrize(
    "pattern",
    [
        "stg_fieldops__daily_readings.*",
        "stg_fieldops__daily_readings.expect_column_values_to_be_between",
        "stg_fieldops__*.expect_*.oil_to_usual",
    ],
)
def test_a_pattern_may_be_wider(pattern):
    assert judged([acceptance(pattern=pattern)]).accepted_by == "ada"


@pytest.mark.parametrize(
    "pattern", ["stg_fieldops__daily_readings.expect_column_values_to_be_between.gas_to_usual", "fct_*.*"]
)
def test_another_expectation_is_not_accepted(pattern):
    assert judged([acceptance(pattern=pattern)]).accepted_by is None


def test_in_a_range_the_days_of_the_failing_rows_decide():
    close = a_close(LAST_DAY - timedelta(days=1), LAST_DAY)

    assert judged([acceptance()], close=close).accepted_by == "ada"
    assert judged([acceptance()], frozenset(close.dates), close).accepted_by is None
    assert judged([acceptance()], None, close).accepted_by is None  # a sum or count concerns the whole range
    both = [acceptance(), acceptance(key=f"{LAST_DAY - timedelta(days=1)}@permian")]
    assert judged(both, None, close).accepted_by == "ada"


@pytest.fixture
def log(monkeypatch):
    """`ops.acceptances` in memory."""
    rows = []
    monkeypatch.setattr("include.ops.store.record", lambda table, new: rows.extend(new))
    monkeypatch.setattr("include.ops.store.read", lambda table, **equals: list(rows))
    return rows


def test_an_acceptance_expires(log):
    accept.accept([KEY], PATTERN, "ada", "checked", until=datetime.now(UTC) + timedelta(hours=2))

    assert [a.who for a in accept.acceptances([KEY], datetime.now(UTC))] == ["ada"]
    assert accept.acceptances([KEY], datetime.now(UTC) + timedelta(hours=3)) == []


def test_the_latest_one_counts_so_it_can_be_taken_back(log):
    accept.accept([KEY], PATTERN, "ada", "checked")
    accept.withdraw([KEY], PATTERN, "bob", "the meter is wrong after all")

    assert accept.acceptances([KEY], datetime.now(UTC) + timedelta(seconds=1)) == []
    assert [row["who"] for row in log] == ["ada", "bob"]  # both stay


@pytest.mark.parametrize(
    ("pattern", "who", "why", "until", "message"),
    [
        (PATTERN, "ada", " ", None, "who accepts and why"),
        (PATTERN, "", "checked", None, "who accepts and why"),
        (PATTERN, "ada", "checked", "2026-01-01T00:00Z", "over already"),
        (PATTERN, "ada", "checked", "2099-01-01T00:00", "no zone"),
        ("stg_fieldops__daily_readings", "ada", "checked", None, "names no expectation"),
        ("fct_nothing.*", "ada", "checked", None, "names no expectation"),
    ],
)
def test_an_acceptance_must_be_whole(log, pattern, who, why, until, message):
    with pytest.raises(DeclarationError, match=message):
        accept.accept([KEY], pattern, who, why, until)
    assert log == []


def test_the_command_line_accepts_a_range_and_lists_it(log, capsys):
    days = ["--calendar", "permian", "--from", "2026-11-22", "--to", "2026-11-23"]

    assert accept.main(["add", *days, "--pattern", PATTERN, "--why", "checked", "--who", "ada"]) == 0
    assert accept.main(["list", *days]) == 0
    assert capsys.readouterr().out.count("ada: checked") == 2
    assert accept.main(["add", *days, "--pattern", "nothing", "--why", "checked"]) == 1
