"""Times that say their own offset are instants whatever the feed's zone; all others are local times of it."""

from datetime import UTC, datetime

from include.catalog import feed
from include.land.file_open import Opened
from include.land.file_read import read_cells
from include.land.file_rows import parse

ARRIVED = datetime(2027, 1, 1, tzinfo=UTC)


def starts(*rows: str) -> list[datetime]:
    declared = feed("plant_files.machine_states")  # of Chicago
    text = "station_id,started_at,execution\n" + "".join(f"A,{row},RUN\n" for row in rows)
    found = parse(read_cells(Opened("x.csv", text.encode(), "", False), declared), declared, {}, ARRIVED)
    assert found.rejected == []
    return found.rows["started_at_utc"].to_pylist()


def test_a_time_with_an_offset_is_that_instant():
    assert starts("2026-01-30 12:00:00+00:00", "2026-01-30T07:00:00-06:00", "2026-01-30T14:30:00Z") == [
        datetime(2026, 1, 30, 12, tzinfo=UTC),
        datetime(2026, 1, 30, 13, tzinfo=UTC),
        datetime(2026, 1, 30, 14, 30, tzinfo=UTC),
    ]


def test_a_time_without_one_is_local_also_beside_others():
    assert starts("2026-01-30 06:00:00", "2026-01-30 13:00:00Z") == [
        datetime(2026, 1, 30, 12, tzinfo=UTC),
        datetime(2026, 1, 30, 13, tzinfo=UTC),
    ]


def test_both_hours_of_autumn_are_told_apart_in_whatever_order():
    assert starts("2026-11-01T07:30:00Z", "2026-11-01T06:30:00Z") == [
        datetime(2026, 11, 1, 7, 30, tzinfo=UTC),
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
    ]


def test_in_spring_no_instant_is_skipped():
    assert starts("2026-03-08T08:30:00Z") == [datetime(2026, 3, 8, 8, 30, tzinfo=UTC)]
