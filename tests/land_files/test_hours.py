"""Local hours as UTC instants: the day that repeats an hour, the day that skips one, and true duplicates."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from include.catalog import feed
from include.land.file_hours import read_hour_range
from include.land.file_open import BadFile, Opened
from include.land.file_read import read_cells
from include.land.file_rows import Parsed, parse
from tests.land_files.samples import flow, hour

ARRIVED = datetime(2025, 1, 1, tzinfo=UTC)
AUTUMN, SPRING, ORDINARY = "11/03/2024", "03/10/2024", "05/07/2024"


def read(text: str, day: str) -> Parsed:
    declared = feed("flow_computer.gas_hourly")
    month, date, year = day.split("/")
    from_name = {"meter_id": "EAGLE-P1-GS", "file_date": f"{year}{month}{date}"}
    return parse(read_cells(Opened("x.csv", text.encode(), "", False), declared), declared, from_name, ARRIVED)


def autumn(first: str, second: str) -> list[str]:
    """25 hours: 01:00-02:00 twice."""
    starts = [0, 1, 1, *range(2, 24)]
    volumes = {1: first, 2: second}
    return [hour(AUTUMN, start, volumes.get(i, "10")) for i, start in enumerate(starts)]


def at(hour_utc: int, day: int = 3) -> datetime:
    return datetime(2024, 11, day, hour_utc, tzinfo=UTC)


def volumes(found: Parsed) -> dict[datetime, str]:
    return dict(
        zip(found.rows["hour_started_at_utc"].to_pylist(), map(str, found.rows["volume_mcf"].to_pylist()), strict=True)
    )


@pytest.mark.parametrize("second", ["22", "11"])
def test_a_day_of_autumn_keeps_its_25_hours(second):
    found = read(flow(*autumn("11", second)), AUTUMN)

    assert found.rows.num_rows == 25
    assert found.rejected == [] and found.notes == []
    assert float(volumes(found)[at(6)]) == 11  # 01:00 of daylight time, the earlier one
    assert float(volumes(found)[at(7)]) == float(second)  # 01:00 of standard time


def test_a_file_that_runs_backwards_gives_the_same_hours():
    forward, backward = (read(flow(*lines), AUTUMN) for lines in (autumn("11", "22"), autumn("11", "22")[::-1]))

    assert volumes(forward) == volumes(backward)


def test_a_repeated_hour_that_is_there_once_is_noted():
    lines = autumn("11", "22")
    found = read(flow(*lines[:2], *lines[3:]), AUTUMN)

    assert found.rows.num_rows == 24
    assert "occurs once; taken as the first of the two" in found.notes[0]


def test_a_day_of_spring_has_23_hours():
    found = read(flow(*(hour(SPRING, start) for start in range(24) if start != 2)), SPRING)

    instants = found.rows["hour_started_at_utc"].to_pylist()
    assert len(instants) == 23
    assert {(b - a).seconds for a, b in zip(instants, instants[1:], strict=False)} == {3600}


def test_an_hour_that_the_clock_skips_has_no_instant():
    found = read(flow(hour(SPRING, 1), hour(SPRING, 2)), SPRING)

    assert [(r.number, r.reason) for r in found.rejected] == [
        (2, "DateTime: 2024-03-10 02:00:00 does not exist in America/Chicago: the clock skips it")
    ]


def test_the_last_hour_ends_on_the_next_day():
    found = read(flow(hour(ORDINARY, 22), hour(ORDINARY, 23)), ORDINARY)

    assert [str(v) for v in found.rows["hour_started_at"].to_pylist()] == ["2024-05-07 22:00:00", "2024-05-07 23:00:00"]


def test_a_duplicate_hour_with_equal_values_is_one_row():
    found = read(flow(hour(ORDINARY, 0, "10.5"), hour(ORDINARY, 0, "10.50"), hour(ORDINARY, 1)), ORDINARY)

    assert found.rows["_seq"].to_pylist() == [1, 3]
    assert found.notes == ["1 repeated rows with equal values were dropped"]


def test_a_duplicate_hour_with_other_values_holds_back_both():
    found = read(flow(hour(ORDINARY, 0, "10.5"), hour(ORDINARY, 1), hour(ORDINARY, 0, "99")), ORDINARY)

    assert found.rows["_seq"].to_pylist() == [2]
    assert [r.number for r in found.rejected] == [1, 3]
    assert "comes 2 times with different values (rows 1, 3)" in found.rejected[0].reason


def test_a_contract_day_runs_into_the_next_date():
    lines = [hour("05/07/2024", start) for start in range(7, 24)] + [hour("05/08/2024", start) for start in range(7)]

    assert read(flow(*lines), ORDINARY).rows.num_rows == 24


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("05/07/2024 23:00-00:00", datetime(2024, 5, 7, 23)),
        ("05/07/2024 23:00-24:00", datetime(2024, 5, 7, 23)),
        ("05/07/2024 9:00 - 10:00", datetime(2024, 5, 7, 9)),
        ("03/10/2024 01:00-03:00", datetime(2024, 3, 10, 1)),  # the hour before the clock jumps
        ("11/03/2024 01:00-01:00", datetime(2024, 11, 3, 1)),  # the hour after which it is set back
    ],
)
def test_an_hour_as_it_is_written(text, start):
    assert read_hour_range(text, ("%m/%d/%Y",), ZoneInfo("America/Chicago")) == start


@pytest.mark.parametrize(
    "text", ["05/07/2024 00:00-02:00", "05/07/2024 00:00", "05/07/2024 25:00-26:00", "00:00-01:00"]
)
def test_what_is_no_hour(text):
    with pytest.raises(ValueError, match="is not|holds no"):
        read_hour_range(text, ("%m/%d/%Y",), ZoneInfo("America/Chicago"))


def test_a_file_of_two_unequal_rows_of_one_hour_is_held_row_by_row():
    found = read(flow(hour(ORDINARY, 0, "1"), hour(ORDINARY, 0, "2")), ORDINARY)

    assert found.rows.num_rows == 0
    assert [r.number for r in found.rejected] == [1, 2]


def test_no_hour_at_all_is_a_bad_file():
    with pytest.raises(BadFile, match="None of the 1 rows can be read"):
        read(flow("05/07/2024 00:00-03:00,1,2,3,4,5,6,7,"), ORDINARY)
