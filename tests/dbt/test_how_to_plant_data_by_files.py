"""The files of the page "OEE and traces from files" are taken by its feeds, and give the figures that it reckons."""

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from include.catalog import feeds
from include.settings import ROOT
from tests.dbt.factory_lake import Lake

PAGE = (ROOT / "docs" / "how-to" / "plant-data-by-files.md").read_text()
FILES = dict(re.findall(r"```text\n# (\S+\.csv)\n(.*?)```", PAGE, flags=re.S))
FEEDS = {f.name: f for f in feeds() if f.source == "plant_files" and not f.name.startswith("vision_")}
CENTRAL = ZoneInfo("America/Chicago")


def feed_of(name: str):
    (found,) = [feed for feed in FEEDS.values() if feed.matches(name)]
    return found


def rows_of(name: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(FILES[name])))


def as_landed(kind: str, text: str):
    """A cell as the feed lands it."""
    if text == "":
        return None
    if kind == "timestamp":
        return datetime.fromisoformat(text).replace(tzinfo=CENTRAL).astimezone(UTC)
    return {"long": int, "decimal": Decimal, "boolean": lambda said: said == "true"}.get(kind, str)(text)


def test_each_file_of_the_page_belongs_to_the_feed_that_the_page_names():
    assert {feed_of(name).name for name in FILES} == set(FEEDS)
    for name in FILES:
        feed = feed_of(name)
        required = {c.name for c in feed.columns if not c.optional}
        assert required <= set(rows_of(name)[0]) <= {c.name for c in feed.columns}
        assert f"`plant_files.{feed.name}`" in PAGE
    for name in {c.name for feed in FEEDS.values() for c in feed.columns} - {
        "station_id",
        "started_at",
        "line_id",
        "name",
    }:
        assert f"`{name}`" in PAGE, f"the page does not say what {name} means"


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    from demo.plant_mes import SCHEMAS, _schema

    lake = Lake(tmp_path_factory.mktemp("plant"))
    lake.land({name: _schema(name).empty_table() for name in SCHEMAS})
    for name in FILES:
        types = {c.name: c.type for c in feed_of(name).columns}
        lake.feed(feed_of(name).name, [{k: as_landed(types[k], v) for k, v in row.items()} for row in rows_of(name)])

    return lake.close("2026-01-30.1")


@pytest.mark.platform
def test_the_figures_of_the_page_come_out(con):
    query = "select pbt_s, known_s, apt_s, adet_s, ideal_s, availability, effectiveness, quality, oee, is_doubtful"
    (row,) = con.sql(f"{query} from fct_oee_line_shift where line_id = 'F'").fetchall()
    assert row[:5] == (27000, 25200, 23400, 1800, 11120)
    assert [str(figure) for figure in row[5:9]] == ["0.928571", "0.475214", "0.986842", "0.435464"]
    assert row[9] and all(figure in PAGE for figure in map(str, row[5:9]))


@pytest.mark.platform
def test_the_traces_of_the_page_come_out(con):
    from include.packs.factorypack.genealogy import COLUMNS
    from include.packs.factorypack.recall import SHIPMENT_COLUMNS, UNIT_COLUMNS, recall

    visits = con.sql("select scan_id, visit, duration_s from fct_station_visit where serial = 'U1' order by visit")
    assert [(scan, visit, int(s)) for scan, visit, s in visits.fetchall()] == [("F-1", 1, 600), ("F-3", 2, 240)]
    assert con.sql("select count(*) from fct_station_visit").fetchone() == (3,)
    left = con.sql("select lot_id, remaining_quantity from fct_lot_balance order by lot_id").fetchall()
    assert [(lot, int(quantity)) for lot, quantity in left] == [("R1", 60), ("R1-A", 34)]
    assert con.sql("select count(*) from fct_trace_exception").fetchone() == (0,)

    def published(mart: str, columns: tuple[str, ...]):
        return con.sql(f"select {', '.join(columns)} from {mart}").to_arrow_table()

    links, units = published("fct_genealogy_link", COLUMNS), published("fct_unit", UNIT_COLUMNS)
    found = recall("R1", links, units, published("fct_unit_shipment", SHIPMENT_COLUMNS), "forward")

    assert sorted((one.serial, one.quantity, one.is_exact) for one in found.units) == [("U1", 2, True), ("U2", 2, True)]
    assert found.customers == {"Aqua Works": 1}
