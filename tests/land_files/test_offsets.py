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


def test_start_and_end_of_an_interval_pass_the_repeated_hour_of_autumn_each_in_its_own_series():
    """01:30 to 01:50 of the first pass, 01:50 to the second 01:10, 01:10 to 01:40 of the second."""
    declared = feed("plant_files.machine_states")
    text = (
        "station_id,started_at,ended_at,execution\n"
        "A,2026-11-01 00:10:00,2026-11-01 01:30:00,RUN\n"
        "A,2026-11-01 01:30:00,2026-11-01 01:50:00,STOP\n"
        "A,2026-11-01 01:50:00,2026-11-01 01:10:00,RUN\n"
        "A,2026-11-01 01:10:00,2026-11-01 01:40:00,STOP\n"
    )
    found = parse(read_cells(Opened("x.csv", text.encode(), "", False), declared), declared, {}, ARRIVED)

    spans = zip(found.rows["started_at_utc"].to_pylist(), found.rows["ended_at_utc"].to_pylist(), strict=True)
    assert [(f"{a:%H:%M}", f"{b:%H:%M}") for a, b in spans] == [
        ("05:10", "06:30"),
        ("06:30", "06:50"),
        ("06:50", "07:10"),
        ("07:10", "07:40"),
    ]
