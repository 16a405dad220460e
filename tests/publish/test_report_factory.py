"""What FactoryPack adds to the report of a shift: losses, states, reasons, figures, the manual log, trace, cameras."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from include.packs.factorypack.condition.life import alerts
from include.packs.factorypack.condition.precision import Proved
from include.packs.factorypack.report import MARTS, Published, drives, sections_from
from include.periods import Period
from include.publish.report_data import Section

D = Decimal
SHIFT = "2026-01-31.3"
START = datetime(2026, 2, 1, 4, tzinfo=UTC)  # 22:00 Central
NIGHT = Period(SHIFT, datetime(2026, 1, 31).date(), ((START, START + timedelta(hours=8)),), "Night <b>")
SCRIPT = "<script>alert(1)</script>"
TIMES = {
    "pot_s": 28800, "planned_s": 1800, "pbt_s": 27000, "no_data_s": 1800, "known_s": 25200, "apt_s": 18000,
    "aust_s": 1800, "adet_s": 3600, "micro_stop_s": 600, "adot_s": 1800, "unknown_s": 0, "running_s": 18000,
    "ideal_s": 16200, "ideal_good_s": 15300, "mtbf_s": 9000, "mttr_s": 1500,
}  # fmt: skip
UNITS = {"good_units": 850, "scrap_units": 30, "rework_units": 20, "corrected_units": 0, "units_without_ideal": 0}
RATIOS = ("oee", "availability", "effectiveness", "quality", "nee", "teep", "first_pass_yield")


def figures_of(name: str, **more) -> dict:
    return {
        "shift_id": SHIFT, "line_id": "PKG", "pacing_station_id": "PKG-40", "micro_stop_treatment": "delay",
        "is_doubtful": False, "is_over_100": False, "no_data_share": D("0.066667"), "counter_resets": 0,
        **{column: D(value) for column, value in TIMES.items()}, **UNITS, **{column: D("0.6") for column in RATIOS},
        **({"station_id": name} if name else {}), **more,
    }  # fmt: skip


def state(category: str, from_h: float, to_h: float, station: str = "PKG-40", **more) -> dict:
    at = {"started_at": START + timedelta(hours=from_h), "ended_at": START + timedelta(hours=to_h)}
    what = {"category": category, "execution": "STOP", "reason_code": "jam", "order_id": None, "is_micro_stop": False}
    return {"shift_id": SHIFT, "station_id": station, **at, **what, **more}


def stood(reason: str, seconds: int, station: str = "PKG-40", usual: int | None = None, **more) -> dict:
    return {
        "line_id": "PKG", "station_id": station, "category": "delay", "reason_code": reason, "level_1": "Technical",
        "level_2": reason, "level_3": reason, "stops": 2, "downtime_s": D(seconds), "micro_stop_s": D(0),
        "usual_downtime_s": None if usual is None else D(usual), **more,
    }  # fmt: skip


def traced(name: str = "", **more) -> dict:
    """A line, or one of its stations by name: 100 units asked for, 4 stations."""
    flags = {"is_below_least": False, "is_below_target": True, "is_over_100": False, "basis": "good_count"}
    units = {"expected_units": 100, "serial_units": 98, "never_scanned_units": 1, "coverage": D("0.96")}
    own = {"complete_units": 90, "expected_scans": 400, "scans": 384, "no_read_scans": 3, "not_scanned_scans": 1}
    station = {"scanned_units": 96, "missing_units": 4, "without_serial_units": 2, "no_read_units": 1}
    station |= {"station_id": name, "not_scanned_units": 0}
    line = own | {"complete_share": D("0.9")}
    return {"shift_id": SHIFT, "line_id": "ASM", **units, **flags, **(station if name else line), **more}


def camera_hour(**more) -> dict:
    counts = {"inspections": 62, "unjudged": 2, "inspected_units": 50, "passed_units": 45, "failed_units": 5}
    found = {"reviewed_passes": 40, "escapes_found": 1, "reviewed_fails": 4, "false_rejects_found": 2, "defects": 6}
    means = {"usual_first_pass_yield": D("0.95"), "confidence_drift": D("-0.021"), "model_version": "m1"}
    key = {"camera_id": "CAM", "station_id": "ASM-30", "product_id": "PMP-A"}
    return {"shift_id": SHIFT, **key, **counts, **found, **means, **more}


def seen_class(name: str, defects: int, usual: str | None = None, **more) -> dict:
    key = {"camera_id": "CAM", "station_id": "ASM-30", "product_id": "PMP-A", "defect_class": name}
    return {"shift_id": SHIFT, **key, "defects": defects, "usual_defects": None if usual is None else D(usual), **more}


def report(**marts) -> dict[str, Section]:
    published = Published(*(marts.get(mart, []) for mart in MARTS))
    return {section.name: section for section in sections_from(published, [NIGHT], "America/Chicago")}


def test_the_losses_lead_from_planned_time_to_good_output():
    """8 h less planned, no data, set-up and down 0.5 each and delay 1 is 5; less speed 0.5 and scrap 0.25 is 4.25."""
    losses = report(fct_oee_line_shift=[figures_of("")])["losses"]

    steps = {s["label"]: s["hours"] for s in losses.data[0]["steps"]}
    assert steps["Planned operation time (POT)"] == 8 and steps["Good output"] == D("4.25")
    assert steps["Delay (ADET) without micro-stops"] + steps["Micro-stops"] == 1
    levels = ("Planned operation time (POT)", "Planned busy time (PBT)", "Production (APT)", "Good output")
    assert 8 - sum(hours for label, hours in steps.items() if label not in levels) == D("4.25")


def test_the_timeline_has_a_lane_for_a_station_without_data():
    stations = [figures_of("PKG-30"), figures_of("PKG-40")]
    states = [state("production", 0, 4), state("delay", 4, 4.1, is_micro_stop=True), state("delay", 5, 6)]

    drawn = str(report(fct_oee_station_shift=stations, fct_station_state=states)["states"].html)

    assert "PKG-30</text>" in drawn and "nothing is known of it" in drawn
    assert "PKG-40 02:00:00–02:06:00 micro-stop (ADET), jam, STOP" in drawn
    assert "PKG-40 03:00:00–04:00:00 delay (ADET), jam, STOP" in drawn


def test_the_reasons_are_ranked_over_the_stations_and_stand_beside_what_is_usual():
    rows = [stood("jam", 600), stood("jam", 1200, "PKG-10", usual=900), stood("belt", 3600)]
    rows += [stood("jam", 0, "PKG-20", usual=1800, stops=0), stood("other", 0, usual=60, stops=0)]  # not in this shift

    (line,) = report(fct_downtime_shift=rows)["downtime"].data

    found = [(r["reason"], r["downtime_h"], r["usual_h"]) for r in line["reasons"]]
    assert found == [("Technical › belt", 1, None), ("Technical › jam", D("0.5"), D("0.75"))]
    assert line["reasons"][1]["stations"] == ["PKG-10", "PKG-40"] and line["reasons"][1]["mttr_min"] == D("7.5")
    assert round(line["reasons"][0]["cumulative_share"], 4) == D("0.6667") and line["downtime_h"] == D("1.5")


def test_a_doubtful_figure_and_one_over_100_are_flagged_in_words():
    doubtful = figures_of("PKG-40", is_doubtful=True, is_over_100=True, counter_resets=2, oee=None)

    html = str(report(fct_oee_line_shift=[figures_of("")], fct_oee_station_shift=[doubtful])["oee"].html)

    assert "doubtful: 6.7 % without data" in html and "over 100 %" in html and "counter reset × 2" in html
    assert '<td>PKG-40</td><td class="n">–</td>' in html


def test_what_can_be_traced_stands_with_its_causes_and_what_is_wrong_in_the_records():
    section = report(
        fct_trace_line_shift=[traced(is_below_least=True)],
        fct_trace_station_shift=[traced("ASM-10"), traced("ASM-20", is_over_100=True, basis="order_quantity")],
        fct_trace_exception=[{"issue": issue} for issue in ("missing_scan", "missing_scan", "part_of_cycle")],
    )["trace"]

    html = str(section.html)
    assert "too few scans to rely on" in html and "below target" in html and "over 100 %" in html
    assert "missing scan 2, part of cycle 1" in html and "quantity of the ended orders" in html
    cells = re.sub(r"<[^>]+>", " ", html[html.index("<strong>ASM") :]).split()
    assert cells[:11] == ["ASM", "96.0", "%", "400", "384", "16", "2", "1", "3", "1", "90.0"]
    assert section.data["issues"] == {"missing_scan": 2, "part_of_cycle": 1}


def test_what_cameras_saw_is_summed_over_the_hours_with_what_people_found():
    """45 + 50 of 100 units passed, 95 %; the drift is that of the hour farthest off; 6 defects of two classes."""
    later = camera_hour(
        passed_units=50, failed_units=0, defects=0, unjudged=0, confidence_drift=None, model_version="m2"
    )
    classes = [seen_class("screw", 2, "1.5"), seen_class("scratch", 4, "3"), seen_class("seal", 0, "0.5")]

    section = report(fct_vision_hour=[camera_hour(), later], fct_vision_defect_shift=classes)["cameras"]

    (one,) = section.data
    assert (one["inspected_units"], one["first_pass_yield"], one["confidence_drift"]) == (100, D("0.95"), D("-0.021"))
    assert [(c["defect_class"], c["defects"]) for c in one["defect_classes"]] == [
        ("scratch", 4), ("screw", 2), ("seal", 0)
    ]  # fmt: skip
    html = str(section.html)
    cells = " ".join(re.sub(r"<[^>]+>", " ", html[html.index("<td>CAM") :]).split())
    assert cells.startswith("CAM ASM-30 PMP-A 124 100 5 95.0 % 95.0 % 6 −0.021 2 80 4 8 2 images")
    assert "2 images not judged" in str(section.html) and "models m1, m2" in str(section.html)


def test_a_shift_of_which_nothing_is_published_says_so_in_every_section():
    for section in report().values():
        assert re.search(
            "nothing to show|No line ran|No line is traced|No station stood|Nobody kept a log|No camera sent|"
            "No alert stands",
            str(section.html),
        ), section.name


def test_what_machines_and_people_say_is_escaped():
    sections = report(
        fct_oee_line_shift=[figures_of("", line_id=SCRIPT, pacing_station_id=SCRIPT)],
        fct_oee_station_shift=[figures_of(SCRIPT)],
        fct_station_state=[state("delay", 0, 1, SCRIPT, reason_code=SCRIPT, execution=SCRIPT, order_id=SCRIPT)],
        fct_downtime_shift=[stood(SCRIPT, 60, SCRIPT, line_id=SCRIPT)],
        fct_oee_accuracy=[
            {
                "shift_id": SHIFT, "line_id": SCRIPT, "is_doubtful": True, "oee": D("0.6"), "manual_oee": None,
                "oee_difference_points": None, "availability": None, "manual_availability": None, "quality": None,
                "manual_quality": None, "produced_units": 1, "manual_produced_units": None,
            }
        ],
        fct_trace_line_shift=[traced(line_id=SCRIPT)],
        fct_trace_station_shift=[traced(SCRIPT, line_id=SCRIPT)],
        fct_trace_exception=[{"issue": SCRIPT}],
        fct_vision_hour=[camera_hour(camera_id=SCRIPT, product_id=SCRIPT, model_version=SCRIPT), camera_hour()],
        fct_vision_defect_shift=[seen_class(SCRIPT, 6, camera_id=SCRIPT, product_id=SCRIPT)],
        fct_asset_hour=[{"regime": SCRIPT}],
    )  # fmt: skip

    for section in sections.values():
        html = str(section.html)
        assert "<script" not in html and "&lt;script&gt;" in html and "<b>" not in html, section.name
        assert not re.search(r"(src|href|style)=|url\(|https?://", html)


def test_standing_alerts_are_shown_with_what_exceeded_and_whether_anyone_knows():
    confirmed = {"station_id": "PKG-10", "baseline_id": "first", "label": None, "who": "the hours", "evidence": None}
    evidence = {"robust_z": {"share_of_limit": 3.125, "feature": "vibration"}}
    told = [
        confirmed | {"alert_id": "A", "event": "opened", "at": START},
        confirmed | {"alert_id": "A", "event": "confirmed", "at": START + timedelta(hours=4), "evidence": evidence},
        confirmed | {"alert_id": "B", "event": "opened", "at": START, "station_id": "PKG-20"},
        confirmed | {"alert_id": "C", "event": "opened", "at": START},
        confirmed | {"alert_id": "C", "event": "lapsed", "at": START + timedelta(hours=6)},
    ]
    hours = [{"regime": "steady"}] * 3 + [{"regime": "warm_up"}]
    published = Published(*([] for _ in MARTS[:-1]), hours)

    section = {s.name: s for s in sections_from(published, [NIGHT], "America/Chicago", alerts(told))}["drives"]

    assert [(one["alert_id"], one["state"]) for one in section.data["alerts"]] == [("A", "confirmed")]
    assert section.data["precision"] is None
    for words in (
        "2026-02-01 02:00",
        "not acknowledged",
        "robust_z × 3.1",
        "vibration",
        "Watched, not confirmed: PKG-20",
        "Of 4 hours of drives 3 were",
    ):
        assert words in str(section.html), words
    assert "No alert stands." in str(sections_from(published, [NIGHT], "America/Chicago")[-1].html)


def test_how_good_alerts_proved_is_said_in_one_line():
    worth = Proved(None, None, 5, 3, 1, 0, 336.0, 2, 1, (30.0, 50.0, 90.0))
    nothing = Proved(None, None, 0, 0, 0, 0, 336.0, 0, 0, ())

    found = drives([], [], "America/Chicago", worth)

    assert (
        "Confirmed in 90 days: 5, by label true 3, false 1, unclear 0, not labelled 1; precision 75.0 % (90 % "
        "confidence: 35.6 % to 94.2 %), lead 50.0 h (median). Of 2 failures 1 without an alert."
    ) in str(found.html)
    assert found.data["precision"]["missed_failures"] == 1
    assert "Confirmed in" not in str(drives([], [], "America/Chicago", nothing).html)
