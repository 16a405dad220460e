"""The life of an alert: events once, people's words, and what restated hours change."""

from datetime import UTC, datetime, timedelta

import pytest

from include.errors import DeclarationError
from include.packs.factorypack.condition.confirm import Episode
from include.packs.factorypack.condition.life import alerts, closings, missing, word

START = datetime(2026, 1, 1, 6, tzinfo=UTC)
H = timedelta(hours=1)


def episode(opened: int, confirmed: int | None = None, ended: int | None = None, end=None, baseline="first") -> Episode:
    def at(hour: int | None) -> datetime | None:
        return None if hour is None else START + hour * H

    return Episode("S", baseline, at(opened - 1), at(opened), at(confirmed), at(ended), end)


def told(*runs: list[Episode]) -> list[dict]:
    """The events after the hours were looked at again and again."""
    events: list[dict] = []
    for found in runs:
        events += [{"label": None, "evidence": None, **event} for event in missing(found, events, {})]
    return events


def states(events: list[dict]) -> list[tuple]:
    return [(one.alert_id, one.state) for one in alerts(events)]


def say(events: list[dict], what: str, label: str | None = None, hour: int = 10) -> dict:
    (one,) = alerts(events)
    return {"evidence": None, **word(alerts(events), one.alert_id, what, "Ada", "looked", START + hour * H, label)}


def test_hours_looked_at_twice_tell_nothing_twice():
    once = told([episode(1, 4)])

    assert told([episode(1, 4)], [episode(1, 4)]) == once
    assert [(e["event"], e["at"]) for e in once] == [("opened", START + H), ("confirmed", START + 4 * H)]


def test_a_candidate_is_confirmed_under_its_own_name():
    events = told([episode(1)], [episode(1, 4)], [episode(1, 4, 9, "renewed")])

    assert [e["event"] for e in events] == ["opened", "confirmed", "renewed"]
    assert states(events) == [("S@20260101T0600Z", "renewed")]


def test_an_alert_keeps_its_name_when_its_first_hours_are_restated():
    events = told([episode(2, 5)], [episode(1, 4)])

    assert states(events) == [("S@20260101T0700Z", "confirmed")]
    assert [e["event"] for e in events] == ["opened", "confirmed"]


def test_what_restated_hours_tell_no_more_is_withdrawn():
    assert states(told([episode(2, 5)], [])) == [("S@20260101T0700Z", "withdrawn")]
    assert states(told([episode(2, 5)], [episode(2)])) == [("S@20260101T0700Z", "withdrawn")]


def test_what_is_told_again_after_it_was_withdrawn_is_another_alert():
    events = told([episode(2, 5)], [], [episode(2, 5)], [episode(2, 5)])

    assert states(events) == [("S@20260101T0700Z", "withdrawn"), ("S@20260101T0700Z.2", "confirmed")]


def test_a_lapsed_candidate_does_not_swallow_what_is_confirmed_later():
    events = told([episode(1, None, 6, "lapsed")], [episode(1, 4)])

    assert [state for _, state in states(events)] == ["lapsed", "confirmed"]


def test_an_alert_that_ended_is_left_alone():
    assert states(told([episode(1, 4, 9, "subsided")], [])) == [("S@20260101T0600Z", "subsided")]


def test_people_acknowledge_label_and_close():
    events = told([episode(1, 4)])
    events.append(say(events, "acknowledged"))
    events.append(say(events, "labelled", "unclear", 11))
    events.append(say(events, "labelled", "true_fault", 12))

    (one,) = alerts(events)
    assert (one.state, one.acknowledged_by, one.label, one.is_open) == ("acknowledged", "Ada", "true_fault", True)

    events.append(say(events, "closed", hour=13))
    (one,) = alerts(events)
    assert (one.state, one.ended_at, one.label) == ("closed", START + 13 * H, "true_fault")
    assert closings(events) == {"S": [START + 13 * H]}
    assert missing([episode(1, 4, 13, "closed")], events, {}) == []


def test_a_label_may_come_after_the_end_but_an_acknowledgement_may_not():
    events = told([episode(1, 4, 9, "renewed")])

    assert say(events, "labelled", "false_alarm")["label"] == "false_alarm"
    with pytest.raises(DeclarationError, match="ended as renewed"):
        say(events, "acknowledged")


@pytest.mark.parametrize(
    ("name", "what", "who", "why", "label", "said"),
    [
        ("S@20260101T0600Z", "closed", " ", "why", None, "needs who"),
        ("S@20260101T0600Z", "closed", "Ada", "", None, "needs who"),
        ("S@20260101T0600Z", "opened", "Ada", "why", None, "none of acknowledged"),
        ("S@20260101T0600Z", "labelled", "Ada", "why", "broken", "A label is one of"),
        ("S@20260101T0600Z", "closed", "Ada", "why", "unclear", "goes with labelled alone"),
        ("nothing", "closed", "Ada", "why", None, "Open ones: S@20260101T0600Z"),
    ],
)
def test_a_word_that_says_nothing_is_refused(name, what, who, why, label, said):
    with pytest.raises(DeclarationError, match=said):
        word(alerts(told([episode(1, 4)])), name, what, who, why, START, label)
