"""Alerts of drives: list them, and say what was done about one.

make alerts ARGS="list"
make alerts ARGS="ack MCH-10@20261105T0600Z --who 'A. Fitter' --why 'will look on Friday'"
make alerts ARGS="label MCH-10@20261105T0600Z true_fault --who 'A. Fitter' --why 'inner race is pitted'"
"""

import argparse
import sys
from datetime import UTC, datetime

from include.catalog import calendars
from include.errors import HnaiError
from include.packs.factorypack.condition import life
from include.packs.factorypack.condition.events import PACK, events_of, tell
from include.packs.factorypack.condition.life import LABELS, Alert

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


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.packs.factorypack.condition.cli",
        description="Alerts of drives: list them, and say what was done about one. What is said is kept for ever.",
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
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = _arguments().parse_args(arguments)
    try:
        if given.verb == "list":
            shown = [one for one in life.alerts(events_of(given.calendar)) if given.all or one.is_open]
            print("\n".join(map(line, shown)) or "No alert is open.")
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
