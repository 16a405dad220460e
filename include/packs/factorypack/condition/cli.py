"""Alerts of drives: list them, say what was done about one, and how good they proved.

make alerts ARGS="list"
make alerts ARGS="ack MCH-10@20261105T0600Z --who 'A. Fitter' --why 'will look on Friday'"
make alerts ARGS="label MCH-10@20261105T0600Z true_fault --who 'A. Fitter' --why 'inner race is pitted'"
make alerts ARGS="precision --days 90"
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual

from include import lakehouse
from include.catalog import calendars
from include.errors import HnaiError
from include.packs.factorypack.condition import MART, life
from include.packs.factorypack.condition.events import PACK, events_of, tell
from include.packs.factorypack.condition.life import LABELS, Alert
from include.packs.factorypack.condition.precision import COLUMNS, DAYS, Proved, proved

VERBS = {"ack": "acknowledged", "close": "closed", "label": "labelled"}


def line(one: Alert) -> str:
    """An alert in a line: name, state, since when, what exceeded, and what people said of it."""
    since = one.confirmed_at or one.opened_at
    said = f"  {one.label}" if one.label else ""
    by = f" by {one.acknowledged_by}" if one.acknowledged_by else ""
    ended = f", ended {one.ended_at:%Y-%m-%d %H:%M}" if one.ended_at else ""
    since = f"since {since:%Y-%m-%d %H:%M} UTC{ended}"
    return f"{one.alert_id:<28} {one.state + by:<14} {since}  {evidence_text(one)}{said}"


def evidence_text(one: Alert) -> str:
    """What exceeded, as `vibration: robust_z 3.1, cusum 2.2 × limit`."""
    if not one.evidence:
        return "–"
    features = dict.fromkeys(seen["feature"] for seen in one.evidence.values())
    shares = ", ".join(f"{method} {seen['share_of_limit']:.1f}" for method, seen in sorted(one.evidence.items()))
    return f"{', '.join(features)}: {shares} × limit"


def shown(found: Sequence[Proved]) -> str:
    """A line a station, each line of the plant and the total after its own."""
    head = ("confirmed", "true", "false", "unclear", "unlabelled", "precision", "false/week", "lead h", "failures")
    lines = ["  ".join((f"{'':<20}", *(f"{name:>10}" for name in (*head, "missed", "recall"))))]
    for one in found:
        name = f"  {one.station_id}" if one.station_id else f"line {one.line_id}" if one.line_id else "all"
        counts = (one.confirmed, one.true_faults, one.false_alarms, one.unclear, one.unlabelled)
        weekly, lead_h = _rounded(one.false_alarms_per_running_week, 2), _rounded(one.median_lead_h, 1)
        values = (*counts, _percent(one.precision), weekly, lead_h, one.failures, one.missed, _percent(one.recall))
        lines.append("  ".join((f"{name:<20}", *(f"{value:>10}" for value in values))))
    if interval := found[-1].interval:
        low, high = map(_percent, interval)
        lines.append(f"Precision of all with 90 % confidence between {low} and {high}: true of true and false.")
    if leads := found[-1].lead_h:
        lines.append(f"Lead: median of true ones, from confirmation to renewal; least {_rounded(leads[0], 1)} h.")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _rounded(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _precision(calendar: str, days: int, is_json: bool) -> str:
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    hours = []
    if lakehouse.exists(f"{PACK}.{MART}"):
        target = lakehouse.table(f"{PACK}.{MART}")
        stored = {field.name for field in target.schema().fields}
        window = And(EqualTo("calendar", calendar), GreaterThanOrEqual("hour_started_at", since.isoformat()))
        kept = tuple(name for name in COLUMNS if name in stored)
        hours = target.scan(row_filter=window, selected_fields=kept).to_arrow().to_pylist()
    found = proved(life.alerts(events_of(calendar)), hours, since, until)
    if is_json:
        head = {"calendar": calendar, "since": since.isoformat(), "until": until.isoformat()}
        return json.dumps({**head, "precision": [one.as_json() for one in found]}, indent=1)
    return f"{calendar}, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC\n{shown(found)}"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.packs.factorypack.condition.cli",
        description="Alerts of drives: list them, say what was done about one, and how good they proved. "
        "What is said is kept for ever.",
    )
    parser.add_argument("--calendar", default=calendars(PACK)[0].name, help="calendar of the site")
    verbs = parser.add_subparsers(dest="verb", required=True)
    listed = verbs.add_parser("list", help="open alerts, or all")
    listed.add_argument("--all", action="store_true", help="ended ones and lapsed candidates too")
    for verb, text in (
        ("ack", "somebody knows of it and will look"),
        ("close", "it needs no more attention; a new one may come after the hold-off"),
        ("label", "what it turned out to be"),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("alert_id", help="as list shows it")
        if verb == "label":
            one.add_argument("label", choices=LABELS)
        one.add_argument("--who", required=True, help="your name")
        one.add_argument("--why", required=True, help="the reason, kept with it")
    told = verbs.add_parser("precision", help="how good alerts proved, by their labels and by the failures")
    told.add_argument("--days", type=int, default=DAYS, help="confirmed within that many days (%(default)s)")
    told.add_argument("--json", action="store_true", help="everything, as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = _arguments().parse_args(arguments)
    try:
        if given.verb == "list":
            shown = [one for one in life.alerts(events_of(given.calendar)) if given.all or one.is_open]
            print("\n".join(map(line, shown)) or "No alert is open.")
        elif given.verb == "precision":
            print(_precision(given.calendar, given.days, given.json))
        else:
            what, label = VERBS[given.verb], getattr(given, "label", None)
            tell(given.calendar, given.alert_id, what, given.who, given.why, datetime.now(UTC), label)
            print(f"{given.alert_id} is {what}.")
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
