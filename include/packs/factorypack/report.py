"""What the report of a shift close shows: OEE and losses, what stations did when and why, trace, cameras, alerts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from include.catalog import calendar
from include.packs.factorypack.condition.events import events_of
from include.packs.factorypack.condition.life import Alert, alerts
from include.packs.factorypack.condition.precision import COLUMNS, DAYS, Proved, proved
from include.periods import Period
from include.publish import report_charts as charts
from include.publish.freeze import Close
from include.publish.report_charts import Column, Kind, Step, Stretch, badge
from include.publish.report_data import Figure, Layout, Section, Snapshots, Span, rows_of
from include.publish.report_text import exact, local, rounded, signed

Row = Mapping[str, Any]
TIMELINES = 3  # of the last shifts of a longer run
REASONS = 10
LAYOUT = Layout(
    totals="fct_oee_line_shift",
    part="line_id",
    part_label="Line",
    ranked="fct_oee_station_shift",
    entity="station_id",
    entity_label="Station",
    figures=(
        Figure("oee", "OEE", "%", share=("ideal_good_s", "known_s")),
        Figure("availability", "Availability", "%", share=("running_s", "known_s")),
        Figure("effectiveness", "Effectiveness", "%", share=("ideal_s", "running_s")),
        Figure("quality", "Quality", "%", share=("ideal_good_s", "ideal_s")),
        Figure("good_units", "Good units", "units"),
        Figure("adet_s", "Delay", "h", better="less", divisor=3600),
    ),
    ranked_by=("good_units", "adet_s"),
)
KINDS = {
    "production": Kind("production (APT)", "", "good"),
    "setup": Kind("set-up (AUST)", "S", "set", 0.75),
    "delay": Kind("delay (ADET)", "D", "bad", 0.9),
    "micro_stop": Kind("micro-stop (ADET)", "M", "warn", 0.9),
    "down": Kind("down: idle, starved, blocked (ADOT)", "I", "idle", 0.5),
    "unknown": Kind("state unknown", "U", "odd", 0.9),
    "planned": Kind("planned: break, planned stop", "P", "off", 0.3),
    "no_data": Kind("no data", "?", "none", 0.65),
}


MARTS = (
    "fct_oee_line_shift",
    "fct_oee_station_shift",
    "fct_station_state",
    "fct_downtime_shift",
    "fct_oee_accuracy",
    "fct_trace_line_shift",
    "fct_trace_station_shift",
    "fct_trace_exception",
    "fct_vision_hour",
    "fct_vision_defect_shift",
    "fct_asset_hour",
)


@dataclass(frozen=True)
class Published:
    """The rows of these marts, in this order."""

    lines: Sequence[Row]
    stations: Sequence[Row]
    states: Sequence[Row]
    downtime: Sequence[Row]
    accuracy: Sequence[Row]
    traced_lines: Sequence[Row] = ()
    traced_stations: Sequence[Row] = ()
    exceptions: Sequence[Row] = ()
    camera_hours: Sequence[Row] = ()
    defects: Sequence[Row] = ()
    hours: Sequence[Row] = ()


def sections(close: Close, snapshots: Snapshots) -> list[Section]:
    published = Published(*(rows_of(close, mart, snapshots).to_pylist() for mart in MARTS))
    told = alerts(event for event in events_of(close.calendar) if event["recorded_at"] <= close.frozen_at)
    until = close.periods[-1].ends_at
    since = until - timedelta(days=DAYS)
    span = Span(close.calendar, f"{close.from_date - timedelta(days=DAYS)}.1", close.last)
    before = rows_of(close, "fct_asset_hour", snapshots, span)
    before = before.select([name for name in COLUMNS if name in before.column_names]).to_pylist()
    worth = proved(told, before, since, until)[-1]
    return sections_from(published, close.periods, calendar(close.calendar).zone, told, worth)


def sections_from(
    published: Published,
    periods: Sequence[Period],
    zone: str,
    told: Sequence[Alert] = (),
    worth: Proved | None = None,
) -> list[Section]:
    return [
        losses(published.lines),
        timelines(published.states, published.stations, periods, zone),
        pareto(published.downtime),
        figures(published.lines, published.stations),
        accuracy(published.accuracy),
        trace(published.traced_lines, published.traced_stations, published.exceptions),
        cameras(published.camera_hours, published.defects),
        drives(told, published.hours, zone, worth),
    ]


def losses(lines: Sequence[Row]) -> Section:
    """From the time of the shift to good output: each loss of the line, in hours."""
    data, drawn = [], []
    for line_id, rows in _by(lines, "line_id"):
        steps = _steps(rows)
        data.append({"line_id": line_id, "steps": [{"label": s.label, "hours": s.value} for s in steps]})
        title = f"{line_id}, by its pacing station {', '.join(sorted({r['pacing_station_id'] for r in rows}))}"
        drawn.append(Markup("<div><h3>{}</h3>{}</div>").format(title, charts.waterfall(steps, "h")))
    html = Markup('<div class="charts">{}</div>').format(Markup("").join(drawn)) if drawn else _nothing("No line ran.")
    return Section("losses", "From planned time to good output", data, html)


def _steps(rows: Sequence[Row]) -> list[Step]:
    def hours(*columns: str) -> Decimal:
        return _hours(sum((row[c] or Decimal(0) for row in rows for c in columns), Decimal(0)))

    scrap = hours("ideal_s") - hours("ideal_good_s")
    return [
        Step("Planned operation time (POT)", hours("pot_s"), "off", is_level=True),
        Step("Breaks and planned stops", hours("planned_s"), "off"),
        Step("Planned busy time (PBT)", hours("pbt_s"), "off", is_level=True),
        Step("No data", hours("no_data_s"), "none"),
        Step("Set-up (AUST)", hours("aust_s"), "set"),
        Step("Delay (ADET) without micro-stops", hours("adet_s") - hours("micro_stop_s"), "bad"),
        Step("Micro-stops", hours("micro_stop_s"), "warn"),
        Step("Down (ADOT)", hours("adot_s"), "idle"),
        Step("State unknown", hours("unknown_s"), "odd"),
        Step("Production (APT)", hours("apt_s"), "good", is_level=True),
        Step("Speed loss", hours("apt_s") - hours("ideal_s"), "warn"),
        Step("Scrap and rework", scrap, "bad"),
        Step("Good output", hours("ideal_good_s"), "good", is_level=True),
    ]


def timelines(states: Sequence[Row], stations: Sequence[Row], periods: Sequence[Period], zone: str) -> Section:
    """What each station did when; of many shifts the last ones."""
    drawn = []
    shown = periods[-TIMELINES:]
    if len(shown) < len(periods):
        drawn.append(Markup('<p class="soft">The last {} of {} shifts.</p>').format(len(shown), len(periods)))
    for period in shown:
        mine = [row for row in states if row["shift_id"] == period.name]
        order = {r["station_id"]: r["line_id"] for r in stations if r["shift_id"] == period.name}
        names = sorted(order, key=lambda station: (order[station], station))
        by_station = dict(_by(mine, "station_id"))
        lanes = [(name, [_stretch(row) for row in by_station.get(name, [])]) for name in names]
        title = f"{period.name} {period.label}".strip()
        span = (period.starts_at, period.ends_at)
        drawing = charts.timeline(lanes, KINDS, span, zone, f"States of the stations in shift {title}")
        drawn.append(Markup("<h3>{}</h3>{}").format(title, drawing))
    kept = ("shift_id", "station_id", "category", "is_micro_stop", "started_at", "ended_at", "reason_code", "order_id")
    data = [{name: row[name] for name in kept} for row in states if row["shift_id"] in {p.name for p in shown}]
    return Section("states", "What each station did", data, Markup("").join(drawn))


def _stretch(row: Row) -> Stretch:
    category = row["category"] if row["category"] in KINDS else "unknown"
    kind = "micro_stop" if category == "delay" and row["is_micro_stop"] else category
    said = [row["reason_code"], row["execution"], row["order_id"] and f"order {row['order_id']}"]
    return Stretch(row["started_at"], row["ended_at"], kind, ", ".join(part for part in said if part))


def pareto(downtime: Sequence[Row]) -> Section:
    """The reasons for which the stations of a line stood, largest first, beside the four weeks before."""
    data, drawn = [], []
    for line_id, rows in _by(downtime, "line_id"):
        reasons = (_reason(rows_of_reason) for _, rows_of_reason in _by_reason(rows))
        found = sorted((one for one in reasons if one["downtime_h"]), key=_largest_first)
        total = sum((one["downtime_h"] for one in found), Decimal(0))
        running = Decimal(0)
        for one in found:
            running += one["downtime_h"]
            one["share"] = one["downtime_h"] / total if total else None
            one["cumulative_share"] = running / total if total else None
        data.append({"line_id": line_id, "downtime_h": total, "reasons": found})
        drawn.append(_drawn_pareto(line_id, found[:REASONS], total, len(found)))
    html = Markup("").join(drawn) or _nothing("No station stood.")
    return Section("downtime", "Why the stations stood", data, html)


def _reason(rows: Sequence[Row]) -> dict[str, Any]:
    """The sums of one reason over the stations and shifts."""
    head = rows[0]
    downtime, stops = _sum(rows, "downtime_s"), sum(row["stops"] or 0 for row in rows)
    usual = [row["usual_downtime_s"] for row in rows if row["usual_downtime_s"] is not None]
    return {
        "category": head["category"],
        "reason": " › ".join(dict.fromkeys((head["level_1"], head["level_2"], head["level_3"]))),
        "stations": sorted({row["station_id"] for row in rows if row["downtime_s"]}),
        "stops": stops,
        "downtime_h": _hours(downtime),
        "usual_h": _hours(sum(usual, Decimal(0))) if usual else None,
        "mttr_min": downtime / 60 / stops if stops else None,
        "micro_stop_share": _sum(rows, "micro_stop_s") / downtime if downtime else None,
    }


def _largest_first(one: Row) -> tuple[Decimal, str, str]:
    return -one["downtime_h"], one["reason"], one["category"]


def _drawn_pareto(line_id: str, found: Sequence[Row], total: Decimal, count: int) -> Markup:
    bars = [charts.Bar(one["reason"], one["downtime_h"], one["usual_h"]) for one in found]
    chart = charts.pareto(bars, total, "h", f"Downtime of line {line_id} by reason, in hours")
    head = [Column("", True), Column("reason"), Column("kind"), Column("stations")]
    numbers = ("stops", "h", "usual, h", "share", "cumulative", "MTTR, min", "micro-stops")
    head += [Column(name, True) for name in numbers]
    rows = [
        (
            n,
            one["reason"],
            one["category"],
            ", ".join(one["stations"]),
            exact(one["stops"]),
            rounded(one["downtime_h"], 2),
            rounded(one["usual_h"], 2),
            _percent(one["share"]),
            _percent(one["cumulative_share"]),
            rounded(one["mttr_min"]),
            _percent(one["micro_stop_share"]),
        )
        for n, one in enumerate(found, 1)
    ]
    left_out = "" if count <= len(found) else f" The largest {len(found)} of {count} reasons."
    note = Markup(
        '<p class="soft">{} h of all its stations. Line: cumulative share. Dash, and column usual: a mean shift '
        "of the four weeks before.{}</p>"
    ).format(rounded(total, 2), left_out)
    return Markup("<h3>{}</h3>{}{}{}").format(line_id, note, chart, charts.table(head, rows))


def figures(lines: Sequence[Row], stations: Sequence[Row]) -> Section:
    """OEE and its factors as they are published, line by line with its stations."""
    head = [Column("shift"), Column("line, station"), *(Column(n, True) for n in ("OEE", "A", "E", "Q", "NEE", "TEEP"))]
    head += [Column(n, True) for n in ("good", "scrap", "rework", "first pass", "MTBF, min", "MTTR, min")]
    head.append(Column("remarks"))
    columns = ("oee", "availability", "effectiveness", "quality", "nee", "teep")
    data, rows = [], []
    for line in sorted(lines, key=lambda row: (row["shift_id"], row["line_id"])):
        key = (line["shift_id"], line["line_id"])
        own = sorted(
            (s for s in stations if (s["shift_id"], s["line_id"]) == key), key=lambda station: station["station_id"]
        )
        for row in (line, *own):
            name = row.get("station_id") or Markup("<strong>{}</strong>").format(row["line_id"])
            units = [exact(row[c]) for c in ("good_units", "scrap_units", "rework_units")]
            means = [rounded(None if row[c] is None else row[c] / 60) for c in ("mtbf_s", "mttr_s")]
            shares = [_percent(row[c]) for c in columns]
            rows.append(
                (row["shift_id"], name, *shares, *units, _percent(row["first_pass_yield"]), *means, _remarks(row))
            )
            kept = ("shift_id", "line_id", "station_id", *columns, "is_doubtful", "is_over_100", "no_data_share")
            data.append({c: row[c] for c in kept if c in row})
    treatments = sorted({f"{row['line_id']} {row['micro_stop_treatment']}" for row in lines})
    note = Markup('<p class="soft">Micro-stops count as: {}. A line stands for its pacing station.</p>').format(
        ", ".join(treatments) or "–"
    )
    html = Markup("{}{}").format(note, _table(head, rows)) if rows else _nothing("No line ran.")
    return Section("oee", "OEE by line and station", data, html)


def _remarks(row: Row) -> Markup:
    said = []
    if row["is_doubtful"]:
        said.append(badge(f"doubtful: {_percent(row['no_data_share'])} without data"))
    if row["is_over_100"]:
        said.append(badge("over 100 %"))
    if row["counter_resets"]:
        said.append(badge(f"counter reset × {row['counter_resets']}"))
    if row["units_without_ideal"]:
        said.append(badge(f"{exact(row['units_without_ideal'])} units without routing"))
    if row["unknown_s"]:
        said.append(badge(f"state unknown {rounded(row['unknown_s'] / 60)} min"))
    if row["corrected_units"]:
        said.append(Markup('<span class="soft">{} units by correction</span>').format(exact(row["corrected_units"])))
    return Markup(" ").join(said)


def trace(lines: Sequence[Row], stations: Sequence[Row], exceptions: Sequence[Row]) -> Section:
    """How many of the good units can be traced, why the others cannot, and what else is wrong in the records."""
    head = [Column("shift"), Column("line, station")]
    head += [Column(n, True) for n in ("coverage", "asked for", "scanned", "missing", "no serial", "never scanned")]
    head += [Column(n, True) for n in ("nothing read", "passed by", "complete")]
    head.append(Column("remarks"))
    rows = []
    for line in sorted(lines, key=lambda row: (row["shift_id"], row["line_id"])):
        name = Markup("<strong>{}</strong>").format(line["line_id"])
        missing = line["expected_scans"] - line["scans"]
        counts = [line["expected_scans"], line["scans"], missing, line["expected_units"] - line["serial_units"]]
        counts += [line["never_scanned_units"], line["no_read_scans"], line["not_scanned_scans"]]
        shares = (_percent(line["coverage"]), *map(exact, counts), _percent(line["complete_share"]))
        rows.append((line["shift_id"], name, *shares, _trace_remarks(line)))
        key = (line["shift_id"], line["line_id"])
        own = [row for row in stations if (row["shift_id"], row["line_id"]) == key]
        for row in sorted(own, key=lambda station: station["station_id"]):
            counts = [row["expected_units"], row["scanned_units"], row["missing_units"], row["without_serial_units"]]
            counts += [row["never_scanned_units"], row["no_read_units"], row["not_scanned_units"]]
            shares = (_percent(row["coverage"]), *map(exact, counts), "")
            rows.append((row["shift_id"], row["station_id"], *shares, _trace_remarks(row)))
    issues = Counter(row["issue"] for row in exceptions)
    listed = ", ".join(f"{issue.replace('_', ' ')} {exact(count)}" for issue, count in issues.most_common())
    note = Markup(
        '<p class="soft">Scans of good units; asked for is what the pacing station counted, never what was scanned. '
        "Of a line: units once for each station, and the share of units of which everything is known. Records to "
        "look after, in fct_trace_exception: {}.</p>"
    ).format(listed or "none")
    html = Markup("{}{}").format(note, _table(head, rows)) if rows else _nothing("No line is traced.")
    data = {"lines": list(lines), "stations": list(stations), "issues": dict(issues)}
    return Section("trace", "What can be traced", data, html)


def _trace_remarks(row: Row) -> Markup:
    said = []
    if row["is_below_least"]:
        said.append(badge("too few scans to rely on"))
    elif row["is_below_target"]:
        said.append(Markup('<span class="soft">below target</span>'))
    if row["is_over_100"]:
        said.append(badge("over 100 %"))
    if row["basis"] == "order_quantity":
        said.append(Markup('<span class="soft">asked for: quantity of the ended orders</span>'))
    return Markup(" ").join(said)


def drives(told: Sequence[Alert], hours: Sequence[Row], zone: str, worth: Proved | None = None) -> Section:
    """The alerts that stood when the close froze, how good those of the last weeks proved, and the hours' evidence.

    Not the scores of this shift itself: they follow its publishing. So a report that is written again says the same.
    """
    standing = [one for one in told if one.is_open and one.state != "candidate"]
    candidates = sorted({one.station_id for one in told if one.is_open and one.state == "candidate"})
    head = [Column(n) for n in ("station", "confirmed", "state", "quantity", "exceeded", "alert", "label")]
    data, rows = [], []
    for one in sorted(standing, key=lambda alert: alert.station_id):
        quantities = sorted({str(seen["feature"]) for seen in one.evidence.values()})
        exceeded = [f"{method} × {seen['share_of_limit']:.1f}" for method, seen in sorted(one.evidence.items())]
        state = f"acknowledged by {one.acknowledged_by}" if one.acknowledged_by else badge("not acknowledged")
        since = local(one.confirmed_at, zone)
        rows.append(
            (one.station_id, since, state, ", ".join(quantities), ", ".join(exceeded), one.alert_id, one.label or "")
        )
        data.append(
            {
                "station_id": one.station_id,
                "alert_id": one.alert_id,
                "state": one.state,
                "confirmed_at": one.confirmed_at,
                "acknowledged_by": one.acknowledged_by,
                "label": one.label,
                "evidence": dict(one.evidence),
            }
        )
    regimes = Counter(row["regime"] for row in hours)
    evidence = regimes.pop("steady", 0)
    others = ", ".join(f"{regime.replace('_', ' ')} {exact(count)}" for regime, count in regimes.most_common())
    note = Markup(
        '<p class="soft">Alerts as they stood when the close began; × is the share of a limit when it was '
        "confirmed. {}Of {} hours of drives {} were steady production and so evidence{}.</p>"
    ).format(
        f"Watched, not confirmed: {', '.join(candidates)}. " if candidates else "",
        exact(len(hours)),
        exact(evidence),
        f"; the others: {others}" if others else "",
    )
    body = charts.table(head, rows) if rows else _nothing("No alert stands.")
    said = {"alerts": data, "precision": worth.as_json() if worth else None}
    return Section("drives", "Condition of the drives", said, Markup("{}{}{}").format(note, body, _worth(worth)))


def _worth(one: Proved | None) -> Markup:
    """One line of how good the alerts of the last weeks proved; nothing where there was neither alert nor failure."""
    if one is None or not (one.confirmed or one.failures):
        return Markup("")
    low, high = one.interval or (None, None)
    interval = f" (90 % confidence: {_percent(low)} to {_percent(high)})" if one.interval else ""
    lead = f", lead {rounded(one.median_lead_h)} h (median)" if one.lead_h else ""
    return Markup(
        '<p class="soft">Confirmed in {} days: {}, by label true {}, false {}, unclear {}, not labelled {}; precision '
        "{}{}{}. Of {} failures {} without an alert.</p>"
    ).format(
        DAYS,
        exact(one.confirmed),
        exact(one.true_faults),
        exact(one.false_alarms),
        exact(one.unclear),
        exact(one.unlabelled),
        _percent(one.precision),
        interval,
        lead,
        exact(one.failures),
        exact(one.missed),
    )


def cameras(hours: Sequence[Row], defects: Sequence[Row]) -> Section:
    """What cameras saw and what people found of it, by camera, station and product, with the Pareto of defects."""
    head = [Column("camera"), Column("station"), Column("product")]
    numbers = ("images", "units", "failed", "first pass", "usual", "defects", "largest drift of confidence")
    head += [Column(name, True) for name in (*numbers, "escapes found", "of", "false rejects found", "of")]
    head.append(Column("remarks"))
    data, rows, drawn = [], [], []
    classes = dict(_by_camera(defects))
    for key, of_camera in _by_camera(hours):
        one = _camera(key, of_camera)
        one["defect_classes"] = ranked = _classes(classes.get(key, []))
        data.append(one)
        counts = [exact(one[c]) for c in ("inspections", "inspected_units", "failed_units")]
        yields = [_percent(one[c]) for c in ("first_pass_yield", "usual_first_pass_yield")]
        found = [exact(one[c]) for c in ("escapes_found", "reviewed_passes", "false_rejects_found", "reviewed_fails")]
        drift = "–" if one["confidence_drift"] is None else signed(one["confidence_drift"], 3)
        rows.append((*key, *counts, *yields, exact(one["defects"]), drift, *found, _camera_remarks(one)))
        if one["defects"]:
            bars = [
                charts.Bar(c["defect_class"], Decimal(c["defects"]), c["usual_defects"]) for c in ranked if c["defects"]
            ]
            said = f"Defects that {key[0]} found of {key[2]}, by class"
            drawing = charts.pareto(bars[:REASONS], Decimal(one["defects"]), "", said)
            drawn.append(Markup("<h3>{} {}</h3>{}").format(key[0], key[2], drawing))
    note = Markup(
        '<p class="soft">Escapes and false rejects are told in the shift in which people found them, of the verdicts '
        "that they reviewed in it. Usual: the four weeks before; so are the dashes of the drawing.</p>"
    )
    body = Markup("{}{}{}").format(note, charts.table(head, rows), Markup("").join(drawn)) if rows else None
    return Section("cameras", "What cameras saw", data, body or _nothing("No camera sent results."))


def _by_camera(rows: Iterable[Row]) -> list[tuple[tuple[str, str, str], list[Row]]]:
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["camera_id"], row["station_id"], row["product_id"]), []).append(row)
    return sorted(found.items())


def _camera(key: tuple[str, str, str], hours: Sequence[Row]) -> dict[str, Any]:
    """The sums over the hours; the usual yield of the last shift, and of the drift the hour that is farthest off."""
    counts = ("inspections", "unjudged", "inspected_units", "passed_units", "failed_units", "defects")
    counts += ("reviewed_passes", "escapes_found", "reviewed_fails", "false_rejects_found")
    one: dict[str, Any] = dict(zip(("camera_id", "station_id", "product_id"), key, strict=True))
    one |= {name: sum(row[name] for row in hours) for name in counts}
    units = one["inspected_units"]
    one["first_pass_yield"] = Decimal(one["passed_units"]) / units if units else None
    in_order = sorted(hours, key=lambda row: row["shift_id"])
    usual = [row["usual_first_pass_yield"] for row in in_order if row["usual_first_pass_yield"] is not None]
    one["usual_first_pass_yield"] = usual[-1] if usual else None
    drifts = [row["confidence_drift"] for row in hours if row["confidence_drift"] is not None]
    one["confidence_drift"] = max(drifts, key=abs, default=None)
    one["model_versions"] = sorted({row["model_version"] for row in hours if row["model_version"]})
    return one


def _classes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The classes of defects of a camera, largest first, over the shifts."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = found.setdefault(row["defect_class"], {"defects": 0, "usual_defects": None})
        one["defects"] += row["defects"]
        if row["usual_defects"] is not None:
            one["usual_defects"] = (one["usual_defects"] or Decimal(0)) + row["usual_defects"]
    ranked = [{"defect_class": name, **one} for name, one in found.items()]
    return sorted(ranked, key=lambda one: (-one["defects"], one["defect_class"]))


def _camera_remarks(one: Row) -> Markup:
    said = []
    if one["unjudged"]:
        said.append(badge(f"{exact(one['unjudged'])} images not judged"))
    if len(one["model_versions"]) > 1:
        said.append(badge(f"models {', '.join(one['model_versions'])}"))
    return Markup(" ").join(said)


def accuracy(rows: Sequence[Row]) -> Section:
    """The same figures by what people wrote down and counted."""
    head = [Column("shift"), Column("line")]
    head += [Column(n, True) for n in ("OEE", "by hand", "points", "A", "by hand", "Q", "by hand", "units", "by hand")]
    head.append(Column("remarks"))
    ordered = sorted(rows, key=lambda row: (row["shift_id"], row["line_id"]))
    lines = [
        (
            row["shift_id"],
            row["line_id"],
            _percent(row["oee"]),
            _percent(row["manual_oee"]),
            signed(row["oee_difference_points"], 2),
            _percent(row["availability"]),
            _percent(row["manual_availability"]),
            _percent(row["quality"]),
            _percent(row["manual_quality"]),
            exact(row["produced_units"]),
            exact(row["manual_produced_units"]),
            badge("doubtful: too little data") if row["is_doubtful"] else "",
        )
        for row in ordered
    ]
    note = Markup(
        '<p class="soft">Machines beside the manual log. Short stops are not in it, and its times are rounded.</p>'
    )
    html = Markup("{}{}").format(note, _table(head, lines)) if lines else _nothing("Nobody kept a log.")
    return Section("accuracy", "Beside the manual log", ordered, html)


def _table(head: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Markup:
    """A table whose first column is the shift: left out where there is one alone."""
    skipped = 1 if len({row[0] for row in rows}) == 1 else 0
    return charts.table(head[skipped:], [row[skipped:] for row in rows])


def _by(rows: Iterable[Row], column: str) -> list[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return sorted(found.items())


def _by_reason(rows: Iterable[Row]) -> list[tuple[tuple[str, str], list[Row]]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["category"], row["reason_code"]), []).append(row)
    return sorted(found.items())


def _sum(rows: Iterable[Row], column: str) -> Decimal:
    return sum((row[column] or Decimal(0) for row in rows), Decimal(0))


def _hours(seconds: Decimal) -> Decimal:
    return (seconds / 3600).quantize(Decimal("0.000001"))


def _percent(share: Decimal | None) -> str:
    return "–" if share is None else f"{rounded(100 * share)} %"


def _nothing(said: str) -> Markup:
    return Markup('<p class="none">{}</p>').format(said)
