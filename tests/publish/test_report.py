"""The close report: right figures, nothing fetched from elsewhere, nothing unescaped."""

import json
import re
from dataclasses import replace
from decimal import Decimal

import duckdb
import pytest

from include.errors import PublishError
from include.ops.store import record
from include.publish import report_data
from include.publish.publish import publish
from include.publish.report import write_report
from include.publish.report_data import Figure, Layout, collect
from include.publish.report_page import page
from include.publish.report_text import exact, figure, percent, samples
from tests.publish import tiny

BEFORE, DAY = "2026-11-04", "2026-11-05"
LAYOUT = Layout(
    totals="fct_field_daily",
    part="field_code",
    part_label="Field",
    ranked="fct_well_daily",
    entity="well_id",
    entity_label="Well",
    figures=(Figure("oil_sm3", "Oil", "Sm³"),),
    ranked_by=("oil_sm3",),
)


def test_figures_are_exact_and_separated():
    assert exact(Decimal("1234567.890000000000000000")) == "1,234,567.89"
    assert exact(Decimal("0E-18")) == "0"
    assert exact(1000) == "1,000" and exact(None) == "–"
    assert figure("15.898729000000000000") == "15.898729" and figure("bbl") == "bbl" and figure(None) == "–"
    assert percent(Decimal(90), Decimal(100)) == "−10.0 %" and percent(Decimal(1), Decimal(0)) == ""
    assert samples('[{"well_id": "A-1", "production_date": "2026-11-05"}, 7]') == [
        "well_id A-1 · production_date 2026-11-05",
        "7",
    ]


def test_a_mean_of_whole_units_is_exact_and_a_single_row_s_share_is_its_own():
    rows = [("a", "P", 1, 8, 50), ("b", "P", 2, 8, 20)]
    with duckdb.connect() as engine:
        engine.execute(
            "create table totals (_period text, line text, good integer, all_made integer, yield decimal(9, 4))"
        )
        engine.executemany("insert into totals values (?, ?, ?, ?, ? / 100)", rows)
        good, share = Figure("good", "Good", "units"), Figure("yield", "Yield", "%", share=("good", "all_made"))

        assert report_data._mean(engine, good, ["a", "b"]) == Decimal("1.5")
        assert report_data._value(engine, share, ["b"]) == 20  # the mart's own, not 2 of 8
        assert report_data._value(engine, share, ["a", "b"]) == Decimal("18.75")  # 3 of 16
        assert report_data._value(engine, share, []) is None
        assert report_data._value(engine, replace(share, is_column=False), ["b"]) == 25


@pytest.mark.platform
def test_the_report_compares_with_the_day_before_and_ranks_the_wells(site):
    tiny.land(site, {("A-1", BEFORE): "10", ("A-2", BEFORE): "20", ("B-1", BEFORE): "7"})
    tiny.land(site, {("A-1", DAY): "12.5", ("A-2", DAY): "5", ("B-1", DAY): "7"})
    publish(tiny.close_days(site, BEFORE))
    close = tiny.close_days(site, DAY)
    publish(close, who="ann")

    said = collect(close, LAYOUT)

    (oil,) = said["figures"]
    assert (oil["value"], oil["before"], oil["trailing_mean"]) == (Decimal("24.5"), Decimal(37), Decimal("30.75"))
    assert len(oil["series"]) == 30 and [p["value"] for p in oil["series"][-3:]] == [None, Decimal(37), Decimal("24.5")]
    assert [(w["name"], w["change"]) for w in said["ranked"][0]["rows"]] == [("A-2", -15), ("A-1", Decimal("2.5"))]
    assert [(p["name"], p["figures"]["oil_sm3"]["value"]) for p in said["parts"]] == [
        ("ALPHA", Decimal("17.5")),
        ("BETA", Decimal(7)),
    ]
    assert "24.5" in page(said)


@pytest.mark.platform
def test_the_page_stands_alone_and_escapes_what_people_typed(site):
    ids = tiny.land(site, {("A-1", DAY): "10"})
    publish(tiny.close_days(site, DAY))
    tiny.land(site, {("A-1", DAY): "11"}, ids)
    close = tiny.close_days(site, DAY, why="<script>alert(1)</script>")
    gate = {
        "run_id": close.run_id,
        "layer": "mart",
        "table_name": "fct_well_daily",
        "expectation": "expect_<b>",
        "severity": "warning",
        "success": False,
        "observed": "max 11",
        "bound": "<= 10",
        "failing_rows": 1,
        "sample_keys": json.dumps([{"well_id": "A-1"}]),
    }
    record("gate_results", [gate])
    publish(close)

    path = write_report(close)

    html = path.read_text()
    assert path.name == "v2.html" and path.parent.name == DAY and len(html) < 60_000
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html and "expect_&lt;b&gt;" in html
    assert not re.search(r"(src|href)=|url\(|@import|https?://", html)
    said = json.loads(path.with_suffix(".json").read_text())
    assert said["gates"]["counts"] == {"passed": 0, "failed": 0, "accepted": 0, "warning": 1}
    changed = next(r for r in said["restatements"] if r["table_name"] == "fct_well_daily")
    assert (changed["old_value"], changed["new_value"]) == ("10.000000", "11.000000")
    assert said["versions"] == {f"{DAY}@{site}": 2}


@pytest.mark.platform
def test_a_close_that_is_not_published_has_no_report(site):
    tiny.land(site, {("A-1", DAY): "10"})
    with pytest.raises(PublishError, match="Clear publish first"):
        write_report(tiny.close_days(site, DAY))
