"""A contract day is the site's own: 23, 24 or 25 hours, and each one is closed exactly once."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction

from include.contract_day import ContractDay
from plugins.timetables.contract_day import ContractDayTimetable

CHICAGO = ContractDayTimetable(zone="America/Chicago", contract_hour=7, grace_minutes=120)
OSLO = ContractDayTimetable(zone="Europe/Oslo", contract_hour=0, grace_minutes=120)


def utc(text: str) -> pendulum.DateTime:
    return pendulum.instance(datetime.fromisoformat(text).replace(tzinfo=UTC))


def runs(timetable: ContractDayTimetable, first: str, number: int):
    """The first `number` runs of a DAG that starts at `first` and catches up."""
    every_run = TimeRestriction(earliest=utc(first), latest=None, catchup=True)
    found, last = [], None
    for _ in range(number):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=every_run)
        found.append(info)
        last = info.data_interval
    return found


@pytest.mark.parametrize(
    ("timetable", "first", "starts", "hours"),
    [
        # Spring in Oslo, 2026-03-29 02:00 → 03:00: that day, midnight to midnight, has 23 hours.
        (OSLO, "2026-03-27T23:00", ["2026-03-27T23:00", "2026-03-28T23:00", "2026-03-29T22:00"], [24, 23, 24]),
        # Autumn in Oslo, 2026-10-25 03:00 → 02:00: 25 hours.
        (OSLO, "2026-10-23T22:00", ["2026-10-23T22:00", "2026-10-24T22:00", "2026-10-25T23:00"], [24, 25, 24]),
        # Spring in Chicago, 2026-03-08 02:00 → 03:00, lies in the contract day that starts on the 7th at 07:00.
        (CHICAGO, "2026-03-06T13:00", ["2026-03-06T13:00", "2026-03-07T13:00", "2026-03-08T12:00"], [24, 23, 24]),
        # Autumn in Chicago, 2026-11-01 02:00 → 01:00, lies in the contract day of October 31.
        (CHICAGO, "2026-10-30T12:00", ["2026-10-30T12:00", "2026-10-31T12:00", "2026-11-01T13:00"], [24, 25, 24]),
    ],
)
def test_the_interval_is_the_contract_day_over_a_change_of_clocks(timetable, first, starts, hours):
    found = runs(timetable, first, 3)

    assert [r.data_interval.start for r in found] == [utc(s) for s in starts]
    assert [(r.data_interval.end - r.data_interval.start).total_seconds() / 3600 for r in found] == hours


@pytest.mark.parametrize("timetable", [CHICAGO, OSLO])
def test_two_years_of_days_have_no_gap_and_no_overlap(timetable):
    found = runs(timetable, "2026-01-01T00:00", 730)

    assert all(one.data_interval.end == two.data_interval.start for one, two in pairwise(found))
    days = [timetable.day.at(r.data_interval.start) for r in found]
    assert all(two - one == timedelta(days=1) for one, two in pairwise(days))


def test_a_run_starts_when_the_grace_is_over_even_where_the_clocks_change_in_between():
    # Sites that change at 02:00 with a contract hour of 1 have the change inside their grace.
    early = ContractDayTimetable(zone="America/Chicago", contract_hour=1, grace_minutes=120)

    spring = runs(early, "2026-03-07T07:00", 1)[0]

    assert spring.data_interval.end == utc("2026-03-08T07:00")  # 01:00 CST
    assert spring.run_after == utc("2026-03-08T09:00")  # two hours later, 04:00 CDT on the wall
    assert early.day.at(spring.data_interval.start) == date(2026, 3, 7)


def test_a_contract_hour_that_the_clocks_skip_is_the_instant_of_the_change():
    skipped = ContractDay("America/Chicago", 2)

    assert skipped.starts_at(date(2026, 3, 8)) == utc("2026-03-08T08:00")  # 02:00 does not exist; 03:00 CDT
    assert skipped.at(utc("2026-03-08T07:59")) == date(2026, 3, 7)
    assert skipped.at(utc("2026-03-08T08:00")) == date(2026, 3, 8)


def test_a_contract_hour_that_comes_twice_is_the_first_of_both():
    twice = ContractDay("America/Chicago", 1)

    assert twice.starts_at(date(2026, 11, 1)) == utc("2026-11-01T06:00")  # 01:00 CDT, not 01:00 CST
    assert twice.at(utc("2026-11-01T05:59")) == date(2026, 10, 31)


@pytest.mark.parametrize(
    ("asked_at", "closes"),
    [
        ("2026-06-15T11:59", date(2026, 6, 13)),  # 06:59 in Chicago: the day of the 14th still runs
        ("2026-06-15T12:00", date(2026, 6, 14)),  # 07:00: it is over; somebody who asks does not wait for the grace
        ("2026-06-16T11:59", date(2026, 6, 14)),
    ],
)
def test_a_run_by_hand_closes_the_day_that_ended_last(asked_at, closes):
    interval = CHICAGO.infer_manual_data_interval(run_after=utc(asked_at))

    assert CHICAGO.day.at(interval.start) == closes
    assert interval.end == CHICAGO.day.ends_at(closes)


def test_a_schedule_that_was_missed_for_long_gets_its_latest_day_only(monkeypatch):
    monkeypatch.setattr(pendulum, "now", lambda tz: utc("2026-06-15T13:59"))  # 08:59 in Chicago, in grace
    latest_only = TimeRestriction(earliest=utc("2000-01-01T00:00"), latest=None, catchup=False)

    first = CHICAGO.next_dagrun_info(last_automated_data_interval=None, restriction=latest_only)
    after = CHICAGO.next_dagrun_info(last_automated_data_interval=first.data_interval, restriction=latest_only)

    assert CHICAGO.day.at(first.data_interval.start) == date(2026, 6, 13)  # that of the 14th is not due yet
    assert CHICAGO.day.at(after.data_interval.start) == date(2026, 6, 14)
    assert after.run_after == utc("2026-06-15T14:00")


def test_the_scheduler_gets_back_what_the_file_said():
    again = ContractDayTimetable.deserialize(CHICAGO.serialize())

    assert (again.zone, again.contract_hour, again.grace_minutes) == ("America/Chicago", 7, 120)
    assert again.summary == "09:00 America/Chicago"
