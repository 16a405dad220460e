"""The events of alerts as they are kept in `ops.asset_alerts`: read, and what people say added."""

import json
from datetime import datetime
from typing import Any

from include.ops.store import read, record
from include.packs.factorypack.condition import life

PACK = "factorypack"


def events_of(calendar: str) -> list[dict[str, Any]]:
    """The events of a calendar's alerts, oldest first; each once, its evidence read."""
    found: dict[str, dict[str, Any]] = {}
    for row in read("asset_alerts", pack=PACK, calendar=calendar):
        evidence = json.loads(row["evidence"]) if row["evidence"] else None
        found.setdefault(row["event_id"], {**row, "evidence": evidence})
    return list(found.values())


def tell(calendar: str, alert_id: str, what: str, who: str, why: str, at: datetime, label: str | None = None) -> str:
    """Record that somebody acknowledged, closed or labelled an alert; give the name of the event.

    `at` makes the event's name, so that a task that is cleared tells it once. Raises `DeclarationError` as `life.word`.
    """
    events = events_of(calendar)
    told = f"{alert_id}/{what}/{at.isoformat()}"
    if any(event["event_id"] == told for event in events):
        return told
    event = life.word(life.alerts(events), alert_id, what, who, why, at, label)
    record("asset_alerts", [{"pack": PACK, "calendar": calendar, **event}])
    return event["event_id"]
