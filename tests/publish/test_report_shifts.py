"""The close report of shifts: the shift before, a trail of shifts, the clock of the site, and what the pack adds."""

import json
import re
from decimal import Decimal

import pytest
from markupsafe import Markup

from include.errors import DeclarationError
from include.publish.publish import publish
from include.publish.report import plain, write_report
from include.publish.report_data import Figure, Layout, Section, collect, earlier, rows_of
from include.publish.report_page import page
from tests.publish.tiny_plant import DAY, build

pytestmark = pytest.mark.platform
LAYOUT = Layout(
    totals="fct_line_shift",
    part="line_id",
    part_label="Line",
    ranked="fct_line_shift",
    entity="line_id",
    entity_label="Line",
    figures=(
        Figure("good_units", "Good", "units"),
        Figure("yield", "Yield", "%", share=("good_units", "good_units")),
    ),
    ranked_by=("good_units",),
)


def close_shift(calendar: str, shift: str, good: int):
    close = build(calendar, shift, {shift: good})
    publish(close)
    return close


def of_lines(close, snapshots) -> list[Section]:
    """A section as a pack makes one: the rows as published."""
    rows = rows_of(close, "fct_line_shift", snapshots).to_pylist()
    return [Section("lines", "Lines <b>", rows, Markup("<p>{}</p>").format([row["line_id"] for row in rows]))]


def test_a_shift_is_compared_with_the_shift_before(plant):
    close_shift(plant, f"{DAY}.2", 4)
    close = close_shift(plant, f"{DAY}.3", 7)

    said = collect(close, LAYOUT)

    good, share = said["figures"]
    assert (good["value"], good["before"], good["trailing_mean"]) == (14, 8, Decimal(11))
    assert (share["value"], share["is_share"]) == (Decimal(100), True)
    assert said["compared_with"] == {"first": f"{DAY}.2", "last": f"{DAY}.2"}
    assert [(p["period"], p["value"]) for p in good["series"][-3:]] == [
        (f"{DAY}.1", None),
        (f"{DAY}.2", 8),
        (f"{DAY}.3", 14),
    ]
    assert len(good["series"]) == 30 and good["series"][0]["period"] == "2026-01-22.1"
    assert [(w["name"], w["change"]) for w in said["ranked"][0]["rows"]] == [("L1", 3), ("L2", 3)]


def test_the_first_shift_of_a_date_comes_after_the_last_of_the_date_before(plant):
    close = build(plant, f"{DAY}.1", {f"{DAY}.1": 1})

    assert earlier(close, 2) == ["2026-01-30.2", "2026-01-30.3"]


def test_the_page_of_a_restated_shift_says_its_clock_and_what_changed(plant):
    close_shift(plant, f"{DAY}.3", 7)
    close = close_shift(plant, f"{DAY}.3", 9)

    path = write_report(close)
    html = path.read_text()

    assert path.relative_to(path.parents[3]).as_posix() == f"tinyplant/{plant}/{DAY}.3/v2.html"
    assert f"{DAY}.3 Night: 2026-01-31 22:00 to 2026-02-01 06:00" in html
    said = json.loads(path.with_suffix(".json").read_text())
    assert {(r["close_key"], r["old_value"], r["new_value"]) for r in said["restatements"]} == {
        (f"{DAY}.3@{plant}", "7", "9")
    }
    assert (said["grain"], said["first"], said["last"]) == ("shift", f"{DAY}.3", f"{DAY}.3")


def test_a_range_of_shifts_is_compared_with_as_many_before_and_named_by_both(plant):
    close_shift(plant, f"{DAY}.1", 5)
    close = build(plant, f"{DAY}.2", {f"{DAY}.2": 1, f"{DAY}.3": 2}, last=f"{DAY}.3")
    publish(close)

    said = collect(close, LAYOUT)
    html = page(said)

    assert said["compared_with"] == {"first": "2026-01-30.3", "last": f"{DAY}.1"}
    assert [f["before"] for f in said["figures"]] == [10, 100]
    assert "shifts before" in html and f"{DAY}.2 Late" in html and f"{DAY}.3 Night" in html
    assert write_report(close).parent.name == f"{DAY}.2_to_{DAY}.3"


def test_a_pack_adds_sections_to_the_page_and_the_json(plant):
    close = close_shift(plant, f"{DAY}.1", 5)

    said = collect(close, LAYOUT, of_lines)

    assert "<h2>Lines &lt;b&gt;</h2>" in page(said)
    (section,) = json.loads(json.dumps(said, default=plain))["sections"]
    assert (section["name"], [row["good_units"] for row in section["data"]]) == ("lines", ["5", "5"])
    assert "html" not in section


def test_a_shift_without_a_row_has_a_report_without_figures(plant):
    close = build(plant, f"{DAY}.1", {})
    publish(close)

    html = page(collect(close, LAYOUT, of_lines))

    assert "nothing published" in html and re.search(r'class="value">– <small>units', html)


def test_a_layout_that_names_no_mart_says_where_it_is_written(plant):
    close = close_shift(plant, f"{DAY}.1", 5)

    with pytest.raises(DeclarationError, match=r"shows fct_nothing.*include/packs/tinyplant/report\.py"):
        collect(close, Layout(**{**LAYOUT.__dict__, "totals": "fct_nothing"}))
