"""The life of an alert, as events that are only added: what the hours told, and what people said.

    opened ─> confirmed ─┬─> subsided, renewed      by the hours
       └─> lapsed        ├─> closed                 by people
                         └─> withdrawn              the hours were restated, and tell it no more
    acknowledged and labelled may come at any time, and change nothing else

The state of an alert follows from its events alone. Events of the hours have names that follow from what they say, so
telling them again adds nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.errors import DeclarationError
from include.packs.factorypack.condition.confirm import Episode

BY_PEOPLE = ("acknowledged", "closed", "labelled")
ENDS = ("lapsed", "subsided", "renewed", "closed", "withdrawn")
LABELS = ("true_fault", "false_alarm", "unclear")
HOURS = "the hours"  # who an event is by that no person told


@dataclass(frozen=True)
class Alert:
    """One alert as its events leave it. `state`: candidate, confirmed, acknowledged, or how it ended."""

    alert_id: str
    station_id: str
    baseline_id: str
    state: str
    opened_at: datetime
    confirmed_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ended_at: datetime | None
    label: str | None
    evidence: Mapping[str, Any]

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


def alert_id(episode: Episode) -> str:
    """Station and hour that opened it: MCH-10@20261105T0600Z."""
    return f"{episode.station_id}@{episode.hour_started_at:%Y%m%dT%H%MZ}"


def alerts(events: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """The alerts of some events (rows of `ops.asset_alerts`, oldest first), in order of opening."""
    of: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        of.setdefault(event["alert_id"], []).append(event)
    found = [_alert(name, told) for name, told in of.items() if any(e["event"] == "opened" for e in told)]
    return sorted(found, key=lambda one: (one.opened_at, one.alert_id))


def _alert(name: str, told: Sequence[Mapping[str, Any]]) -> Alert:
    first: dict[str, Mapping[str, Any]] = {}
    for event in told:
        first.setdefault(event["event"], event)
    opened, confirmed = first["opened"], first.get("confirmed")
    end = next((event for event in told if event["event"] in ENDS), None)
    acknowledged = first.get("acknowledged")
    labels = [event["label"] for event in told if event["event"] == "labelled"]
    state = "acknowledged" if acknowledged else "confirmed" if confirmed else "candidate"
    return Alert(
        alert_id=name,
        station_id=opened["station_id"],
        baseline_id=opened["baseline_id"],
        state=end["event"] if end else state,
        opened_at=opened["at"],
        confirmed_at=confirmed["at"] if confirmed else None,
        acknowledged_at=acknowledged["at"] if acknowledged else None,
        acknowledged_by=acknowledged["who"] if acknowledged else None,
        ended_at=end["at"] if end else None,
        label=labels[-1] if labels else None,
        evidence=(confirmed or opened)["evidence"] or {},
    )


def closings(events: Iterable[Mapping[str, Any]]) -> dict[str, list[datetime]]:
    """Station -> the instants at which people closed an alert of it."""
    found: dict[str, list[datetime]] = {}
    for event in events:
        if event["event"] == "closed":
            found.setdefault(event["station_id"], []).append(event["at"])
    return found


def missing(
    episodes: Sequence[Episode],
    events: Sequence[Mapping[str, Any]],
    evidence: Mapping[tuple[str, datetime], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The events that the hours tell and that are not among `events` yet.

    An alert that is known keeps its name though its first hour was restated: one of the same station and baseline that
    overlaps it is the same. What was open and is told no more is withdrawn. `evidence` is by station and end of hour.
    """
    known = alerts(events)
    told = {event["event_id"] for event in events}
    found: list[dict[str, Any]] = []
    left = list(known)

    def add(name: str, what: str, at: datetime, station_id: str, baseline_id: str, why: str, **more: Any) -> None:
        event_id = f"{name}/{what}"
        if event_id not in told:
            common = {"alert_id": name, "event_id": event_id, "event": what, "at": at, "who": HOURS, "why": why}
            found.append({**common, "station_id": station_id, "baseline_id": baseline_id, **more})

    names = {one.alert_id for one in known}
    for episode in episodes:
        same = next((one for one in left if _is_same(one, episode)), None)
        if same:
            left.remove(same)
        name = same.alert_id if same else _unused(alert_id(episode), names)
        names.add(name)
        key = (episode.station_id, episode.baseline_id)
        opened = {"evidence": evidence.get((episode.station_id, episode.opened_at))}
        add(name, "opened", episode.opened_at, *key, "an hour exceeded the limits", **opened)
        if episode.confirmed_at:
            seen = {"evidence": evidence.get((episode.station_id, episode.confirmed_at))}
            add(name, "confirmed", episode.confirmed_at, *key, "it went on", **seen)
        elif same and same.confirmed_at and same.is_open:
            add(name, "withdrawn", episode.opened_at, *key, "the hours were restated and do not confirm it")
        if episode.end and episode.end != "closed" and not (same and same.ended_at):
            add(name, episode.end, episode.ended_at, *key, _WHY[episode.end])
    for one in left:
        if one.is_open:
            why = "the hours were restated and do not tell of it"
            add(one.alert_id, "withdrawn", one.opened_at, one.station_id, one.baseline_id, why)
    return found


_WHY = {
    "lapsed": "too few of the hours after it exceeded the limits",
    "subsided": "nothing exceeded the limits any more",
    "renewed": "a work order renewed the drive",
}


def _is_same(one: Alert, episode: Episode) -> bool:
    if (one.station_id, one.baseline_id) != (episode.station_id, episode.baseline_id):
        return False
    if one.state in ("lapsed", "withdrawn") and episode.end != "lapsed":
        return False  # it came to nothing then; what the hours tell now is another alert
    is_before = one.ended_at is not None and one.ended_at < episode.opened_at
    return not is_before and not (episode.ended_at is not None and episode.ended_at < one.opened_at)


def _unused(name: str, names: set[str]) -> str:
    """The name, or with a number where another alert was opened by the same hour."""
    numbered = (f"{name}.{n}" for n in range(2, len(names) + 3))
    return name if name not in names else next(one for one in numbered if one not in names)


def word(
    known: Sequence[Alert], name: str, what: str, who: str, why: str, at: datetime, label: str | None = None
) -> dict[str, Any]:
    """The event by which somebody acknowledges, closes or labels an alert.

    Raises `DeclarationError` where nobody or no reason is named, no alert has that name, or it has ended and cannot be
    closed again. A label may be given again; the last one counts.
    """
    if not who.strip() or not why.strip():
        raise DeclarationError("An alert needs who says it and why: the next one who reads it asks for both")
    if what not in BY_PEOPLE:
        raise DeclarationError(f"{what!r} is none of {', '.join(BY_PEOPLE)}")
    if (what == "labelled") != (label in LABELS):
        raise DeclarationError(f"A label is one of {', '.join(LABELS)}, and goes with labelled alone; not {label!r}")
    found = next((one for one in known if one.alert_id == name), None)
    if found is None:
        open_ones = ", ".join(one.alert_id for one in known if one.is_open) or "none"
        raise DeclarationError(f"There is no alert {name!r}. Open ones: {open_ones}")
    if what != "labelled" and not found.is_open:
        raise DeclarationError(
            f"{name} ended as {found.state} at {found.ended_at:%Y-%m-%d %H:%M} UTC; label it instead"
        )
    return {
        "alert_id": name,
        "event_id": f"{name}/{what}/{at.isoformat()}",
        "event": what,
        "at": at,
        "station_id": found.station_id,
        "baseline_id": found.baseline_id,
        "who": who.strip(),
        "why": why.strip(),
        "label": label,
    }
