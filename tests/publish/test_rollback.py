"""Withdrawing a published version, and days of one month that are published out of order."""

import pytest

from include.errors import PublishError
from include.ops.store import read
from include.publish.publish import publish
from include.publish.rollback import roll_back
from include.publish.seal import close_rows, live
from tests.publish import tiny

pytestmark = pytest.mark.platform
DAY, NEXT = "2026-11-05", "2026-11-06"
TWO_WELLS = {("A-1", DAY): "10", ("B-1", DAY): "7"}
MARTS = ("fct_well_daily", "fct_field_daily", "fct_field_monthly")


def shown(site: str) -> list:
    return [tiny.published(mart, site) for mart in MARTS]


def withdraw(site: str, day: str = DAY):
    return roll_back(tiny.PACK, f"{day}@{site}", "ann", "wrong unit", build=tiny.build_months)


def live_version(site: str, day: str = DAY) -> int | None:
    from datetime import date

    d = date.fromisoformat(day)
    found = live(close_rows(tiny.PACK, site, d, d))
    return found[f"{day}@{site}"].version if found else None


def test_the_version_before_comes_back(site):
    ids = tiny.land(site, TWO_WELLS)
    publish(tiny.close_days(site, DAY))
    first = shown(site)
    tiny.land(site, {("A-1", DAY): "10000"}, ids)
    second = tiny.close_days(site, DAY)
    publish(second)
    assert shown(site) != first

    withdraw(site)

    assert shown(site) == first
    assert live_version(site) == 1
    (row,) = read("closes", run_id=second.run_id, state="rolled_back")
    assert (row["who"], row["why"], row["verdict"]) == ("ann", "wrong unit", "rolled back to version 1")
    last = read("restatements", calendar=site)[-1]
    assert (last["old_value"], last["new_value"]) == ("10000.000000", "10.000000")
    assert last["cause"] == "version 2 was rolled back by ann: wrong unit"
    with pytest.raises(PublishError, match="version 2 was rolled back and stays so"):
        publish(second)


def test_a_first_version_withdrawn_leaves_nothing_and_the_next_run_is_version_2(site):
    tiny.land(site, TWO_WELLS)
    publish(tiny.close_days(site, DAY))

    withdraw(site)

    assert shown(site) == [[], [], []] and live_version(site) is None
    with pytest.raises(PublishError, match="is not published. Known versions: 1 rolled_back"):
        withdraw(site)
    publish(tiny.close_days(site, DAY))
    assert live_version(site) == 2 and shown(site)[0]


def test_a_month_keeps_the_days_that_were_published_since(site):
    ids = tiny.land(site, {**TWO_WELLS, ("A-1", NEXT): "1"})
    publish(tiny.close_days(site, DAY))
    tiny.land(site, {("A-1", DAY): "10000"}, ids)
    publish(tiny.close_days(site, DAY))
    publish(tiny.close_days(site, NEXT))

    withdraw(site)

    assert tiny.published("fct_field_monthly", site) == [
        ("ALPHA", "2026-11-01", "11.000000"),
        ("BETA", "2026-11-01", "7.000000"),
    ]


def test_one_day_of_a_range_can_be_withdrawn(site):
    tiny.land(site, {**TWO_WELLS, ("A-1", NEXT): "1"})
    publish(tiny.close_days(site, DAY, NEXT))

    withdraw(site, NEXT)

    assert live_version(site, DAY) == 1 and live_version(site, NEXT) is None
    assert tiny.published("fct_field_monthly", site)[0] == ("ALPHA", "2026-11-01", "10.000000")


def test_two_closes_built_side_by_side_both_count_in_the_month(site):
    tiny.land(site, {**TWO_WELLS, ("A-1", NEXT): "1"})
    one, other = tiny.close_days(site, DAY), tiny.close_days(site, NEXT)  # neither sees the other's day
    publish(other)

    publish(one, rebuild=tiny.build)

    assert tiny.published("fct_field_monthly", site) == [
        ("ALPHA", "2026-11-01", "11.000000"),
        ("BETA", "2026-11-01", "7.000000"),
    ]


def test_clearing_an_old_publish_does_not_take_the_month_back(site):
    tiny.land(site, {**TWO_WELLS, ("A-1", NEXT): "1"})
    old = tiny.close_days(site, DAY)
    publish(old)
    publish(tiny.close_days(site, NEXT))
    before = shown(site)

    assert publish(old, rebuild=must_not_be_called).publish_id is None
    assert shown(site) == before


def must_not_be_called(close) -> None:
    raise AssertionError("nothing was to be built")
