"""Hourly files add up to the meter's day and follow the wall clock."""

from datetime import date
from decimal import Decimal

import pytest

from demo.partner_files import HEADER, PartnerFile, partner_files


def files_of(operator, day: date) -> list[PartnerFile]:
    number = (day - operator.config.start).days
    return list(partner_files(operator, number, number + 1))


def test_the_hours_of_every_file_add_up_to_the_meters_day(operator, rows):
    volumes = rows["meter_volumes"].set_index(["meter_id", "production_date"])["volume"]
    files = list(partner_files(operator, operator.days.count - 40, operator.days.count))

    assert len(files) == 40 * 6
    for file in files:
        lines = [line.split(",") for line in file.text.splitlines()[1:]]
        assert sum(Decimal(line[4]) for line in lines) == volumes[file.meter_id, file.production_date]
        assert {len(line) for line in lines} == {9}


@pytest.mark.parametrize(
    ("day", "hours", "around_the_change"),
    [
        (date(2026, 10, 31), 25, ["11/01/2026 01:00-02:00", "11/01/2026 01:00-02:00", "11/01/2026 02:00-03:00"]),
        (date(2026, 3, 7), 23, ["03/08/2026 01:00-02:00", "03/08/2026 03:00-04:00", "03/08/2026 04:00-05:00"]),
        (date(2026, 5, 7), 24, ["05/08/2026 01:00-02:00", "05/08/2026 02:00-03:00", "05/08/2026 03:00-04:00"]),
    ],
)
def test_a_contract_day_has_as_many_lines_as_hours(operator, day, hours, around_the_change):
    file = files_of(operator, day)[0]
    header, *lines = file.text.splitlines()
    labels = [line.split(",")[0] for line in lines]

    assert header == HEADER
    assert len(lines) == hours
    assert labels[0] == f"{day:%m/%d/%Y} 07:00-08:00" and labels[-1].endswith(" 06:00-07:00")
    assert labels[18:21] == around_the_change


def test_the_hour_of_autumn_has_two_volumes(operator):
    twice = [line for line in files_of(operator, date(2026, 10, 31))[0].text.splitlines() if "01:00-02:00" in line]

    assert len(twice) == len(set(twice)) == 2


def test_a_file_appears_whole_under_its_name(operator, tmp_path):
    file = files_of(operator, date(2026, 5, 7))[0]

    assert file.drop(tmp_path).name == f"{file.meter_id}_20260507.csv"
    assert [p.name for p in tmp_path.iterdir()] == [file.name]
    assert (tmp_path / file.name).read_text() == file.text
