"""What the factory's suites make of shifts of any length."""

import duckdb
import pytest

from include.gate.suites import find_suites


@pytest.mark.parametrize(
    ("ends", "seconds"), [("14:00", 28_800), ("10:52", 17_520), ("06:20", 1_200), ("13:00", 25_200)]
)
def test_stretches_that_fill_a_shift_of_any_length_are_the_whole_shift(ends, seconds):
    """4 h 52 min are no finite number of hours: the seconds are."""
    suite = next(s for s in find_suites("factorypack", "mart") if s.table == "fct_station_state")
    with duckdb.connect() as con:
        con.execute("create table this_close as select 'riverside' as calendar")
        con.execute(
            f"create table close_shifts as select '2026-01-31.1' as shift_id, {seconds} / 3600.0::double as hours"
        )
        con.execute(
            f"""
            create table fct_station_state as
            select
                'riverside' as calendar, '2026-01-31.1' as shift_id, 'MCH-40' as station_id,
                timestamptz '2026-01-31 06:00:00+00' as started_at, timestamptz '2026-01-31 {ends}:00+00' as ended_at,
                {seconds}::decimal(18, 3) as duration_s
            """
        )
        ((beyond,),) = con.execute(f"select seconds_beyond_shift from ({suite.rows})").fetchall()

    assert beyond == 0
