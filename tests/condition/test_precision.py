"""How good alerts proved by their labels: figures reckoned by hand, and the truth of the simulated plant."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from benchmarks import condition
from include.packs.factorypack.condition.evaluation import judge
from include.packs.factorypack.condition.life import Alert, alerts, missing, word
from include.packs.factorypack.condition.precision import proved, renewals, wilson
from include.packs.factorypack.condition.scoring import VOTE

START = datetime(2026, 1, 1, tzinfo=UTC)
H = timedelta(hours=1)
SINCE, UNTIL = START, START + 100 * H


def hour(n: int, station: str = "A1", running: float = 0.5, by: str | None = None, at: int = 0, kind: str = "") -> dict:
    return {
        "line_id": station[0], "station_id": station, "hour_started_at": START + n * H,
        "hour_ended_at": START + (n + 1) * H, "running_share": running, "renewed_by": by,
        "renewed_at": START + at * H if by else None, "renewal_kind": kind or None,
    }  # fmt: skip


def alert(name: str, at: int, label: str | None = None, station: str = "A1", state: str = "confirmed") -> Alert:
    confirmed = START + at * H
    return Alert(name, station, "first", state, confirmed - 4 * H, confirmed, None, None, None, label, {})


# A1 runs half of 20 hours before W1, closed at 40, and of 20 after it until W2, closed at 80; B1 runs 10 whole ones.
HOURS = [
    *(hour(n) for n in range(20)),
    *(hour(n, by="W1", at=40, kind="corrective") for n in range(40, 60)),
    *(hour(n, by="W2", at=80, kind="corrective") for n in range(80, 90)),
    *(hour(n, "B1", 1, by="P1", at=95, kind="preventive") for n in range(95, 99)),
    *(hour(n, "B1", 1) for n in range(6)),
]


def test_the_figures_by_hand():
    told = [
        alert("caught", 10, "true_fault"),  # 30 h before W1
        alert("again", 30, "true_fault"),  # 10 h
        alert("wrong", 50, "false_alarm"),  # so nobody told of W2
        alert("open", 85),
        alert("worn", 35, "true_fault", "B1"),  # 60 h before P1, which was no failure
        alert("perhaps", 97, "unclear", "B1"),
        alert("restated", 20, "false_alarm", state="withdrawn"),
        alert("after", 100, "false_alarm"),
        replace(alert("candidate", 12), confirmed_at=None, state="candidate"),
    ]

    found = proved(told, HOURS, SINCE, UNTIL)

    assert [(one.line_id, one.station_id) for one in found] == [
        ("A", "A1"), ("A", None), ("B", "B1"), ("B", None), (None, None),
    ]  # fmt: skip
    first, line, second, _, total = found
    assert (first.confirmed, first.labelled, first.unlabelled) == (4, 3, 1)
    assert (first.true_faults, first.false_alarms, first.unclear) == (2, 1, 0)
    assert first.precision == pytest.approx(2 / 3) and first.lead_h == (10, 30)
    assert first.running_h == 25 and first.false_alarms_per_running_week == pytest.approx(168 / 25)
    assert (first.failures, first.detected, first.missed, first.recall) == (2, 1, 1, 0.5)
    assert replace(line, station_id="A1") == first
    assert (second.precision, second.failures, second.recall, second.running_h) == (1, 0, None, 10)
    assert (total.confirmed, total.true_faults, total.false_alarms, total.unclear) == (6, 3, 1, 1)
    assert total.precision == 0.75 and total.interval == pytest.approx((0.3562, 0.9421), abs=5e-5)
    assert (total.median_lead_h, total.lead_h[0], total.running_h) == (30, 10, 35)
    assert total.as_json()["missed_failures"] == 1 and total.as_json()["least_lead_h"] == 10


def test_an_alert_before_the_window_tells_of_a_failure_in_it():
    (station, _, total) = proved([alert("caught", 10)], HOURS[:40], START + 20 * H, UNTIL)

    assert (station.confirmed, station.failures, station.detected) == (0, 1, 1)
    assert (total.precision, total.interval, total.recall) == (None, None, 1)


def test_without_alerts_and_hours_there_is_a_total_of_nothing():
    (total,) = proved([], [], SINCE, UNTIL)

    assert (total.confirmed, total.precision, total.false_alarms_per_running_week, total.recall) == (
        0,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(0, 5, 0.0, 0.3511), (5, 5, 0.6489, 1.0), (1, 2, 0.1209, 0.8791)]
)
def test_wilson_s_interval(hits, of, low, high):
    """0 of 5 by hand: z² / (n + z²) = 2.7055 / 7.7055; 1 of 2: 1/2 ± 1/2 · sqrt(z² / (n + z²)) = 0.5 ± 0.3791."""
    assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.trial
def test_labels_that_say_the_truth_give_the_precision_of_the_truth():
    """Sixty days of three drives: each alert labelled by what was really wrong, and each failure that none told."""
    from demo import plant_hours

    stations, seed, days = ("MCH-10", "ASM-20", "PKG-30"), 44, 60
    first = condition.LAST_DAY - timedelta(days=days - 1)
    trial = condition.plant(days, stations, seed)
    found = condition.decide(trial)
    faults = trial.faults()
    rows = [
        row | {"line_id": row["station_id"][:3]}
        for row in plant_hours.hours(first, condition.LAST_DAY, seed, stations=stations)
    ]
    begins, ends = min(row["hour_started_at"] for row in rows), max(row["hour_ended_at"] for row in rows)
    assert isinstance(first, date) and renewals(rows)
    for method in (VOTE, condition.THREE_SIGMA):
        truth = judge(found[method], faults, trial.running_h)
        events = [{"label": None, "evidence": None, **event} for event in missing(found[method], [], {})]
        for one in alerts(events):
            if one.confirmed_at:
                is_true = any(
                    fault.station_id == one.station_id and fault.onset_at <= one.confirmed_at <= fault.ended_at
                    for fault in faults
                )
                label = "true_fault" if is_true else "false_alarm"
                events.append(
                    {"evidence": None, **word(alerts(events), one.alert_id, "labelled", "Ada", "truth", ends, label)}
                )

        total = proved(alerts(events), rows, begins, ends + H)[-1]

        assert (total.confirmed, total.false_alarms, total.unlabelled) == (truth.alerts, truth.false_alarms, 0)
        assert total.precision == (truth.alerts - truth.false_alarms) / truth.alerts
        assert (total.failures, total.detected) == (truth.failures, truth.detected)
        assert total.false_alarms_per_running_week == pytest.approx(truth.false_alarms_per_running_week)
        assert truth.failures >= 3
