"""The files of the page "Feed a camera's results" are taken by the feeds that it names, and give its figures."""

import csv
import io
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from include.catalog import feeds
from include.settings import ROOT
from tests.dbt.factory_lake import Lake
from tests.dbt.test_factory_real import empty_mes, land

PAGE = (ROOT / "docs" / "how-to" / "feed-a-camera.md").read_text()
BLOCKS = dict(re.findall(r"```text\n# (\S+)[^\n]*\n(.*?)```", PAGE, flags=re.S))
FILES = {name: text for name, text in BLOCKS.items() if name.endswith(".csv")}
FEEDS = {feed.name: feed for feed in feeds() if feed.name.startswith("vision_")}
CENTRAL = ZoneInfo("America/Chicago")


def test_each_file_of_the_page_belongs_to_the_feed_that_the_page_names():
    fitting = {name: [feed for feed in FEEDS.values() if feed.matches(name)] for name in FILES}

    assert {feed.name for (feed,) in fitting.values()} == set(FEEDS) and len(FILES) == 2
    for name, (feed,) in fitting.items():
        assert FILES[name].splitlines()[0].split(",") == [column.name for column in feed.columns]
        assert f"`plant_files.{feed.name}`" in PAGE
        assert all(f"`{column.name}`" in PAGE for column in feed.columns)


@pytest.mark.platform
def test_the_figures_of_the_page_come_out(tmp_path):
    looks = [
        {k: v or None for k, v in row.items()}
        | {"inspected_at": datetime.fromisoformat(row["inspected_at"]).replace(tzinfo=CENTRAL).astimezone(UTC)}
        for row in csv.DictReader(io.StringIO(BLOCKS["inspections"]))
    ]
    lake = Lake(tmp_path)
    empty_mes(lake, inspections=looks)
    for name, text in FILES.items():
        assert land(lake, name, text.encode()).rejected == []

    con = lake.close("2026-01-30.1")

    hours = con.sql(
        """
        select
            inspections, inspected_units, passed_units, first_pass_yield, mean_confidence, escapes_found,
            reviewed_passes
        from fct_vision_hour order by hour_started_at
        """
    ).fetchall()
    table = re.findall(r"^\| (0\d:00) \| (.*) \|$", PAGE, flags=re.M)
    assert [hour for hour, _ in table] == ["06:00", "07:00"]
    for row, (_, cells) in zip(hours, table, strict=True):
        shown = [cell.split("= ")[-1] for cell in cells.split(" | ")]
        assert ["–" if figure is None else str(figure) for figure in row] == shown
    classes = con.sql(
        "select defect_class, defects, share, cumulative_share from fct_vision_defect_shift order by defects desc"
    ).fetchall()
    assert [(name, count, str(last)) for name, count, _, last in classes] == [
        ("scratch", 2, "0.666667"), ("hole", 1, "1.000000")
    ]  # fmt: skip
    assert all(str(last) in PAGE for *_, last in classes)
    assert con.sql("select sum(false_rejects_found) from fct_vision_hour").fetchone() == (0,)
