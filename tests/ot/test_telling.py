"""Which samples of a polled tag are news, and the names of gaps."""

from datetime import UTC, datetime, timedelta

from include.ot.reading import BAD_NO_COMMUNICATION, GOOD, Sample
from include.ot.telling import Deadband, Gaps
from tests.ot.listening import Listener, tag

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def news(of, values, heartbeat_s=1000.0, every_s=1.0, deadband=None):
    """Those of some values, one every `every_s`, that are news. One that is None is bad."""
    deadband = deadband or Deadband(heartbeat_s)
    found = []
    for at, value in enumerate(values):
        sample = Sample(of.tag_id, value, BAD_NO_COMMUNICATION if value is None else GOOD, None, None, NOON)
        if deadband.is_news(of, sample, at * every_s, every_s):
            found.append(value)
    return found


def test_without_a_deadband_any_change_is_news():
    assert news(tag("t"), [1, 1, 1.0000001, 1.0000001]) == [1, 1.0000001]
    assert news(tag("t", data_type="text"), ["RUN", "RUN", "STOP"]) == ["RUN", "STOP"]
    assert news(tag("t", data_type="boolean"), [True, True, False]) == [True, False]


def test_an_absolute_deadband_measures_from_the_last_that_was_news():
    of = tag("t", deadband=2.0, deadband_type="absolute")

    assert news(of, [10, 11, 12, 12.5, 14.5, 14.6]) == [10, 12.5, 14.6]


def test_a_percent_deadband_is_one_of_the_range():
    of = tag("t", deadband=1.0, deadband_type="percent", range_low=-100.0, range_high=100.0)

    assert news(of, [0, 2, 2.1]) == [0, 2.1]


def test_a_change_of_quality_is_always_news():
    of = tag("t", deadband=50.0, deadband_type="absolute")

    assert news(of, [10, None, None, 10, 11]) == [10, None, 10]


def test_a_counter_that_rolls_over_is_news_as_it_is():
    assert news(tag("t", deadband=5.0, deadband_type="absolute"), [65530, 65535, 0, 3]) == [65530, 0]


def test_at_least_one_sample_passes_in_every_heartbeat():
    assert news(tag("t"), [7] * 10, heartbeat_s=3.0) == [7, 7, 7, 7]  # at 0, 3, 6 and 9: never more than 3 apart
    assert news(tag("t"), [7] * 10, heartbeat_s=0.5) == [7] * 10


def test_what_is_forgotten_is_news_again():
    of, deadband = tag("t"), Deadband(1000)
    news(of, [7], deadband=deadband)
    deadband.forget(["t", "never seen"])

    assert news(of, [7], deadband=deadband) == [7]


def test_two_gaps_of_one_cause_never_share_their_start():
    listener = Listener()
    gaps = Gaps(listener)
    for tag_ids in (["a"], ["b"], []):
        gaps.tell(tag_ids, NOON, NOON + timedelta(minutes=1), "no_response")

    assert [(gap.tag_ids, gap.from_at) for gap in listener.gaps] == [
        (("a",), NOON),
        (("b",), NOON - timedelta(microseconds=1)),
    ]
