"""The charts of the close report: right lengths, nothing unescaped, something to say where there is nothing."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree

from include.publish.report_charts import Bar, Column, Kind, Step, Stretch, pareto, table, timeline, trend, waterfall

SIX = datetime(2026, 1, 31, 12, tzinfo=UTC)  # 06:00 Central
KINDS = {"run": Kind("Production", "", "good"), "stop": Kind("Stop <&>", "D", "bad", 0.8)}
SCRIPT = "<script>alert(1)</script>"


def lane_of(*edges: float, kind: str = "stop") -> list[Stretch]:
    hours = [SIX + timedelta(hours=h) for h in edges]
    return [Stretch(start, end, kind, SCRIPT) for start, end in zip(hours, hours[1:], strict=False)]


def shift(lanes, hours: float = 8, zone: str = "America/Chicago") -> str:
    return str(timeline(lanes, KINDS, (SIX, SIX + timedelta(hours=hours)), zone, f"{SCRIPT} of the shift"))


def is_well_formed(drawn: object) -> bool:
    return ElementTree.fromstring(f"<div>{drawn}</div>") is not None


def test_a_day_without_a_figure_is_a_gap_and_a_negative_one_hangs_below_zero():
    points = [(1, Decimal(4)), (2, None), (3, Decimal(-4))]
    series = [{"period": f"2026-11-0{d}", "value": v, "is_closed": d == 3} for d, v in points]

    drawn = str(trend(series, "Water", "Sm³", Decimal(2)))

    bars = re.findall(r'<rect class="(\w+)".*?y="([\d.]+)".*?height="([\d.]+)"', drawn)
    assert bars == [("earlier", "4.0", "44.0"), ("closed", "48.0", "44.0")]
    assert 'class="mean"' in drawn and "2026-11-03: -4 Sm³" in drawn


def test_what_people_typed_is_escaped_in_every_chart():
    charts = [
        trend([{"period": SCRIPT, "value": Decimal(1), "is_closed": True}], SCRIPT, SCRIPT, None),
        waterfall([Step(SCRIPT, Decimal(8), "off", is_level=True), Step(SCRIPT, Decimal(1), "bad")], SCRIPT),
        shift([(SCRIPT, lane_of(0, 4))]),
        pareto([Bar(SCRIPT, Decimal(2), Decimal(1))], Decimal(2), SCRIPT, SCRIPT),
        table([Column(SCRIPT), Column("n", True)], [(SCRIPT, None)]),
    ]

    for drawn in charts:
        assert "<script" not in str(drawn) and "&lt;script&gt;" in str(drawn)
        assert is_well_formed(drawn)


def test_a_waterfall_ends_where_its_losses_lead_and_a_gain_goes_up():
    steps = [
        Step("Shift", Decimal(8), "off", is_level=True),
        Step("Planned stops", Decimal("0.5"), "off"),
        Step("Delay", Decimal(2), "bad"),
        Step("Speed", Decimal("-0.5"), "warn"),
        Step("Good", Decimal(6), "good", is_level=True),
    ]

    drawn = str(waterfall(steps, "h"))

    bars = re.findall(r'class="tone-(\w+)" x="([\d.]+)" y="1.0" width="([\d.]+)"', drawn)
    assert bars == [
        ("off", "0.0", "100.0"),
        ("off", "93.8", "6.2"),  # from 8 to 7.5
        ("bad", "68.8", "25.0"),  # to 5.5
        ("warn", "68.8", "6.2"),  # back to 6
        ("good", "0.0", "75.0"),
    ]
    assert re.findall(r'<td class="n">([^<]+)</td>', drawn)[::2] == ["8.00", "−0.50", "−2.00", "+0.50", "6.00"]


def test_a_timeline_shows_the_clock_of_the_site_and_says_what_a_colour_says():
    drawn = shift([("MCH-10", lane_of(0, 2, 2.01))])

    marks = re.findall(r'class="tone-bad" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn.split('"scroll wide"')[1])
    assert [float(x) for x, _ in marks] == [96.0, 317.0] and marks[0][1] == "221.0"  # 884 for 8 h are 110.5 an hour
    assert re.findall(r">(\d\d:\d\d)</text>", drawn) == [f"{h:02}:00" for h in range(6, 15)]
    assert "MCH-10 06:00:00–08:00:00 Stop &lt;&amp;&gt;" in drawn
    assert drawn.count(">D</text>") == 2  # in the legend and in the long stretch; the short one has its title alone


def test_a_timeline_over_the_change_of_clocks_has_the_hours_that_there_were():
    """Chicago, 2026-11-01: the hour from 01:00 comes twice. 22:00 to 06:00 are nine hours."""
    start = datetime(2026, 11, 1, 3, tzinfo=UTC)
    lanes = [("PKG-40", [Stretch(start, start + timedelta(hours=9), "run")])]

    drawn = str(timeline(lanes, KINDS, (start, start + timedelta(hours=9)), "America/Chicago", "night"))

    clock = ["22:00", "23:00", "00:00", "01:00", "01:00", "02:00", "03:00", "04:00", "05:00", "06:00"]
    assert re.findall(r">(\d\d:\d\d)</text>", drawn) == clock


def test_a_lane_without_data_and_a_stretch_beyond_the_shift_stay_in_the_picture():
    drawn = shift([("MCH-10", []), ("MCH-20", lane_of(-3, 11, kind="run"))])

    assert "nothing is known of it" in drawn
    assert re.findall(r'class="tone-good" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)[-1] == ("96.0", "884.0")


def test_a_pareto_is_cumulative_and_shows_what_is_usual():
    drawn = str(pareto([Bar("jam", Decimal(3), Decimal(4)), Bar("setup", Decimal(1))], Decimal(5), "h", "Downtime"))

    assert "1. jam: 3.00 h, usually 4.00 h, cumulative 60%" in drawn
    assert "2. setup: 1.00 h, cumulative 80%" in drawn
    assert drawn.count('class="usual"') == 1 and drawn.count("<circle") == 2


def test_where_there_is_nothing_the_report_says_so():
    assert "nothing published" in str(trend([{"period": "x", "value": None, "is_closed": True}], "Oil", "Sm³", None))
    for drawn in (waterfall([], "h"), waterfall([Step("Shift", None, "off", is_level=True)], "h"), shift([], 8)):
        assert "nothing to show" in str(drawn)
    assert "nothing to show" in str(pareto([Bar("jam", Decimal(0))], Decimal(0), "h", "Downtime"))
    assert str(table([Column("a")], [])).count("<tr>") == 1
