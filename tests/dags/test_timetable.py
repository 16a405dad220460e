"""A contract day or shift is the site's own, of whatever length, and each one is closed exactly once."""

import json
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction

from include.contract_day import ContractDay
from include.errors import DeclarationError
from include.periods import LocalSpan, Shifts, between, names, weekdays
from plugins.timetables.period import PeriodTimetable

CHICAGO = PeriodTimetable(zone="America/Chicago", contract_hour=7, grace_minutes=120)
OSLO = PeriodTimetable(zone="Europe/Oslo", contract_hour=0, grace_minutes=120)


def utc(text: str) -> pendulum.DateTime:
    return pendulum.instance(datetime.fromisoformat(text).replace(tzinfo=UTC))


def runs(timetable: PeriodTimetable, first: str, number: int):
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
    days = [timetable.periods.at(r.data_interval.start).production_date for r in found]
    assert all(two - one == timedelta(days=1) for one, two in pairwise(days))


def test_a_run_starts_when_the_grace_is_over_even_where_the_clocks_change_in_between():
    # Sites that change at 02:00 with a contract hour of 1 have the change inside their grace.
    early = PeriodTimetable(zone="America/Chicago", contract_hour=1, grace_minutes=120)

    spring = runs(early, "2026-03-07T07:00", 1)[0]

    assert spring.data_interval.end == utc("2026-03-08T07:00")  # 01:00 CST
    assert spring.run_after == utc("2026-03-08T09:00")  # two hours later, 04:00 CDT on the wall
    assert early.periods.at(spring.data_interval.start).production_date == date(2026, 3, 7)


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

    assert CHICAGO.periods.at(interval.start).production_date == closes
    assert interval.end == ContractDay("America/Chicago", 7).ends_at(closes)


def test_a_schedule_that_was_missed_for_long_gets_its_latest_day_only(monkeypatch):
    monkeypatch.setattr(pendulum, "now", lambda tz: utc("2026-06-15T13:59"))  # 08:59 in Chicago, in grace
    latest_only = TimeRestriction(earliest=utc("2000-01-01T00:00"), latest=None, catchup=False)

    first = CHICAGO.next_dagrun_info(last_automated_data_interval=None, restriction=latest_only)
    after = CHICAGO.next_dagrun_info(last_automated_data_interval=first.data_interval, restriction=latest_only)

    assert CHICAGO.periods.at(first.data_interval.start).production_date == date(
        2026, 6, 13
    )  # that of the 14th is not due yet
    assert CHICAGO.periods.at(after.data_interval.start).production_date == date(2026, 6, 14)
    assert after.run_after == utc("2026-06-15T14:00")


def test_the_scheduler_gets_back_what_the_file_said():
    again = PeriodTimetable.deserialize(CHICAGO.serialize())

    assert (again.zone, again.contract_hour, again.grace_minutes) == ("America/Chicago", 7, 120)
    assert again.summary == "09:00 America/Chicago"


def line(shift: int, starts: str, ends: str, days="Mon-Sun", since="2020-01-01", until: str | None = None) -> LocalSpan:
    return LocalSpan(
        date.fromisoformat(since),
        date.fromisoformat(until) if until else None,
        weekdays(days),
        shift,
        f"S{shift}",
        time.fromisoformat(starts),
        time.fromisoformat(ends),
    )


THREE = Shifts("America/Chicago", (line(1, "06:00", "14:00"), line(2, "14:00", "22:00"), line(3, "22:00", "06:00")))


def shifts(pattern: Shifts) -> PeriodTimetable:
    """The timetable as the scheduler gets it: through its serialized form."""
    given = PeriodTimetable(zone=pattern.zone, contract_hour=6, grace_minutes=1, shifts=pattern.as_json())
    return PeriodTimetable.deserialize(json.loads(json.dumps(given.serialize())))


def names_of(timetable: PeriodTimetable, first: str, number: int) -> list[str]:
    return [timetable.periods.at(run.data_interval.start).name for run in runs(timetable, first, number)]


def test_each_shift_has_a_run_a_minute_after_its_end_and_the_night_belongs_to_the_day_on_which_it_starts():
    found = runs(shifts(THREE), "2026-06-01T11:00", 4)

    assert [str(r.data_interval.start) for r in found] == [
        "2026-06-01 11:00:00+00:00",  # 06:00 CDT
        "2026-06-01 19:00:00+00:00",
        "2026-06-02 03:00:00+00:00",  # 22:00 CDT on 1 June
        "2026-06-02 11:00:00+00:00",
    ]
    assert found[2].run_after == utc("2026-06-02T11:01")
    assert names_of(shifts(THREE), "2026-06-01T11:00", 4) == [
        "2026-06-01.1",
        "2026-06-01.2",
        "2026-06-01.3",
        "2026-06-02.1",
    ]


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 7), 7), (date(2026, 10, 31), 9), (date(2026, 6, 1), 8)],
)
def test_a_night_has_seven_or_nine_hours_when_the_clocks_change(day, hours):
    night = THREE.on(day)[2]

    assert night.ends_at - night.starts_at == timedelta(hours=hours)


def test_a_year_of_shifts_has_no_gap_and_no_overlap():
    found = runs(shifts(THREE), "2026-01-01T12:00", 3 * 365)

    assert all(one.data_interval.end == two.data_interval.start for one, two in pairwise(found))


def test_free_days_and_holidays_have_no_run():
    weekdays_only = Shifts("Europe/Berlin", (line(1, "06:00", "14:00", "Mon-Fri"),), (), frozenset({date(2026, 5, 1)}))

    # Thursday 30 April; Friday 1 May is a holiday, then comes the weekend.
    assert names_of(shifts(weekdays_only), "2026-04-30T04:00", 2) == ["2026-04-30.1", "2026-05-04.1"]
    assert weekdays_only.at(utc("2026-05-01T08:00")) is None
    assert weekdays_only.last_ended(utc("2026-05-03T08:00")).name == "2026-04-30.1"


def test_a_new_pattern_holds_from_its_own_day():
    changed = Shifts(
        "Europe/Berlin",
        (
            line(1, "06:00", "14:00", until="2026-06-07"),
            line(2, "14:00", "22:00", until="2026-06-07"),
            line(1, "07:00", "19:00", since="2026-06-08"),
        ),
    )
    changed.check()

    assert names_of(shifts(changed), "2026-06-07T00:00", 3) == ["2026-06-07.1", "2026-06-07.2", "2026-06-08.1"]
    assert changed.on(date(2026, 6, 8))[0].ends_at == utc("2026-06-08T17:00")


def test_a_pattern_that_ended_has_no_further_run():
    ended = Shifts("Europe/Berlin", (line(1, "06:00", "14:00", until="2026-06-07"),))

    assert shifts(ended).periods.after(utc("2026-06-08T00:00")) is None
    assert (
        shifts(ended).next_dagrun_info(
            last_automated_data_interval=runs(shifts(ended), "2026-06-07T00:00", 1)[0].data_interval,
            restriction=TimeRestriction(earliest=utc("2026-01-01T00:00"), latest=None, catchup=True),
        )
        is None
    )


def test_a_split_shift_is_one_close_with_a_pause():
    split = Shifts("Europe/Berlin", (line(1, "06:00", "10:00"), line(1, "14:00", "18:00")))

    (shift,) = split.on(date(2026, 6, 1))

    assert [(f"{a:%H:%M}", f"{b:%H:%M}") for a, b in shift.parts] == [("04:00", "08:00"), ("12:00", "16:00")]
    assert (shift.starts_at, shift.ends_at) == (utc("2026-06-01T04:00"), utc("2026-06-01T16:00"))


def test_a_break_of_the_night_lies_after_midnight():
    night = Shifts("Europe/Berlin", (line(3, "22:00", "06:00"),), (line(3, "02:00", "02:30"),))
    night.check()

    ((starts, ends, _),) = night.on(date(2026, 6, 1))[0].breaks

    assert (starts, ends) == (utc("2026-06-02T00:00"), utc("2026-06-02T00:30"))


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (Shifts("UTC", (line(1, "06:00", "14:00"), line(2, "13:00", "22:00"))), "overlap"),
        (Shifts("UTC", (line(2, "06:00", "14:00"), line(1, "14:00", "22:00"))), "number them in order"),
        (Shifts("UTC", (line(1, "06:00", "14:00"),), (line(1, "13:45", "14:15"),)), "outside of shift"),
    ],
)
def test_a_pattern_that_cannot_be_closed_is_refused(pattern, says):
    with pytest.raises(DeclarationError, match=says):
        pattern.check()


def test_a_shift_that_was_missed_for_long_is_left_to_a_run_by_hand(monkeypatch):
    monkeypatch.setattr(pendulum, "now", lambda tz: utc("2026-06-15T19:00:30"))  # in the grace of the early shift
    latest_only = TimeRestriction(earliest=utc("2026-01-01T00:00"), latest=None, catchup=False)

    first = shifts(THREE).next_dagrun_info(last_automated_data_interval=None, restriction=latest_only)

    assert THREE.at(first.data_interval.start).name == "2026-06-14.3"


@pytest.mark.parametrize(
    ("first", "last", "closes"),
    [
        ("2026-06-01.2", "2026-06-01.2", ["2026-06-01.2"]),
        ("2026-06-01", "2026-06-01", ["2026-06-01.1", "2026-06-01.2", "2026-06-01.3"]),
        ("2026-06-01.3", "2026-06-02.1", ["2026-06-01.3", "2026-06-02.1"]),
        ("2026-06-01.3", "2026-06-02", ["2026-06-01.3", "2026-06-02.1", "2026-06-02.2", "2026-06-02.3"]),
    ],
)
def test_a_date_stands_for_its_shifts(first, last, closes):
    assert names(between(THREE, first, last)) == closes


def test_a_shift_that_the_calendar_has_not_is_named():
    with pytest.raises(DeclarationError, match="no shift 2026-06-01.4; of 2026-06-01 it has 2026-06-01.1, "):
        between(THREE, "2026-06-01.4", "2026-06-01.4")


def test_a_shift_from_before_the_pattern_begins_says_what_to_change():
    since = date(2026, 1, 1)
    one = LocalSpan(since, date(2026, 12, 31), frozenset(range(7)), 1, "Early", time(6), time(14))
    pattern = Shifts("UTC", (one,))

    for first, last in (("2025-12-30.1", "2025-12-30.1"), ("2025-12-01", "2025-12-02")):
        with pytest.raises(DeclarationError, match="begins on 2026-01-01.*earlier valid_from"):
            between(pattern, first, last)
    with pytest.raises(DeclarationError, match="ends on 2026-12-31.*move valid_to"):
        between(pattern, "2027-01-01.1", "2027-01-01.1")
