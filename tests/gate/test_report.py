"""What on-call reads: the message of a stopped gate, and Data Docs."""

import re
from datetime import UTC, datetime, timedelta

from include.gate.accept import Acceptance
from include.gate.data_docs import drop_old, site_of
from tests.gate.figures import LAST_DAY

PATTERN = "stg_fieldops__daily_readings.expect_column_values_to_be_between.oil_to_usual"
BREAK = f"""update stg_fieldops__daily_readings set oil_reported = oil_reported * 1000
    where well_id = 'W07' and production_date = date '{LAST_DAY}'"""
TABLE = "stg_fieldops__daily_readings"


def test_the_message_holds_all_that_is_needed_to_decide(operator, judge):
    operator.workspace(BREAK)

    text = judge(operator, "stage", TABLE).what_on_call_needs()

    for needed in (
        "The stage gate of energypack stopped 2026-11-23@permian version 1: 1 critical expectation failed",
        "No mart was built or published; readers keep what was published before.",
        "stg_fieldops__daily_readings: oil_to_usual must be at most 20",
        "observed  1 of 12 rows: 1000",
        "row       well_id W07, production_date 2026-11-23, oil_to_usual 1000",
        "then clear gate_stage of this run",
        f"make accept ARGS=\"add --calendar permian --from 2026-11-23 --pattern '{PATTERN}' --why '…'\"",
    ):
        assert needed in text


def test_an_accepted_failure_passes_and_stays_visible(operator, judge):
    operator.workspace(BREAK)
    until = datetime.now(UTC) + timedelta(hours=1)
    accepted = [Acceptance(f"{LAST_DAY}@permian", PATTERN, "ada", "stimulated yesterday", until)]

    report = judge(operator, "stage", TABLE, accepted)

    assert report.success and {r.accepted_by for r in report.accepted} == {"ada"}
    assert "accepted by ada: stimulated yesterday" in (site_of(operator.close) / "index.html").read_text()


def test_data_docs_name_the_failing_expectation_and_its_rows_and_need_no_network(operator, judge):
    operator.workspace(BREAK)

    judge(operator, "stage", TABLE)

    site = site_of(operator.close)
    index, page = (site / "index.html").read_text(), (site / "stage" / f"{TABLE}.html").read_text()
    assert PATTERN in index and "<td>W07</td>" in index and f'href="stage/{TABLE}.html"' in index
    assert "oil_to_usual" in page and "W07" in page and "Twenty times" in page
    assert not re.search(r'(src|href)="(https?:)?//', index + page) and "<script" not in page
    assert f'href="{site.name}/index.html"' in (site.parent / "index.html").read_text()


def test_old_pages_are_dropped_and_leave_the_index(operator, judge):
    judge(operator, "mart", "dim_facility")
    site = site_of(operator.close)

    assert drop_old(datetime.now(UTC) - timedelta(days=1)) == 0 and site.is_dir()
    assert drop_old(datetime.now(UTC) + timedelta(days=1)) == 1 and not site.exists()
    assert site.name not in (site.parent / "index.html").read_text()


def test_the_run_s_page_gathers_its_gates(operator, judge):
    judge(operator, "stage", "stg_fieldops__tank_gauges")
    judge(operator, "mart", "dim_facility")

    index = (site_of(operator.close) / "index.html").read_text()
    assert index.index("stage:") < index.index("mart:") and "all 3 passed" in index and "What failed" not in index
