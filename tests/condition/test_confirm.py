"""From hours to alerts: two stages, hold-off, renewal and what people close; figures small enough to check by eye."""

from datetime import UTC, datetime, timedelta

from include.packs.factorypack.condition.confirm import Episode, Verdict, episodes
from include.packs.factorypack.condition.rules import Rules

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(confirm_k=4, confirm_n=6, subsided_h=5, hold_off_h=3)
H = timedelta(hours=1)


def hours(pattern: str, baseline: str = "first", begin: int = 0) -> list[Verdict]:
    """An hour a character: x counts, . does not, - is still learning, a blank is no evidence at all."""
    said = {"x": True, ".": False, "-": None}
    return [
        Verdict("S", baseline, START + (begin + n) * H, START + (begin + n + 1) * H, said[c])
        for n, c in enumerate(pattern)
        if c != " "
    ]


def found(pattern: str, **more) -> list[tuple]:
    return [summary(one) for one in episodes(hours(pattern), RULES, **more)]


def summary(one: Episode) -> tuple:
    """Opened, confirmed and ended as numbers of hours since the start, and how."""
    at = [None if t is None else int((t - START) / H) for t in (one.opened_at, one.confirmed_at, one.ended_at)]
    return (*at, one.end)


def test_one_hour_opens_a_candidate_that_lapses():
    assert found("..x.....") == [(3, None, 8, "lapsed")]


def test_four_of_six_hours_confirm_it():
    assert found("x.xx.x") == [(1, 6, None, None)]
    assert found("xxxx") == [(1, 4, None, None)]
    assert found("x.x..x") == [(1, None, 6, "lapsed")]


def test_hours_that_are_no_evidence_do_not_count_for_either_side():
    assert found("x   x   x   x") == [(1, 13, None, None)]
    assert found("x---xx-x") == [(1, 8, None, None)]


def test_a_drift_is_confirmed_once_and_nothing_is_opened_while_it_stands():
    assert found("xxxx" + "x" * 40) == [(1, 4, None, None)]


def test_an_alert_subsides_and_then_holds_off():
    """Confirmed at 4, quiet from 4 to 9: subsided. Hours 10 to 12 are held off, so hour 13 opens the next."""
    assert found("xxxx.....xxxx") == [(1, 4, 9, "subsided"), (13, None, None, None)]


def test_a_renewal_ends_it_at_once_though_the_new_baseline_is_learning():
    before, after = hours("xxxx"), hours("---xxxx", "WO-1", 10)

    assert [summary(one) for one in episodes(before + after, RULES)] == [(1, 4, 10, "renewed"), (14, 17, None, None)]


def test_a_candidate_lapses_with_its_baseline():
    assert [summary(one) for one in episodes(hours("x") + hours("...", "WO-1", 3), RULES)] == [(1, None, 3, "lapsed")]


def test_people_close_it_and_it_holds_off():
    """Closed at 4:30: hour 4 to 5 had begun, and still is of it; 5 to 8 are held off, and 8 to 9 opens the next one."""
    closed = [START + timedelta(hours=4.5)]

    assert [(a, b, d) for a, b, _, d in found("x" * 9, closings=closed)] == [(1, 4, "closed"), (9, None, None)]


def test_closed_before_the_next_hour_is_known():
    assert found("xxxx", closings=[START + 6 * H]) == [(1, 4, 6, "closed")]


def test_the_order_of_rows_does_not_matter():
    assert episodes(reversed(hours("x.xx.x..")), RULES) == episodes(hours("x.xx.x.."), RULES)
