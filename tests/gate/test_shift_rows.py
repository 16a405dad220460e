"""What the factory's suites make of shifts of any length."""

import duckdb
import pytest

from include.gate.rows import FUNCTIONS
from include.gate.suites import find_suites


@pytest.mark.parametrize(
    ("ends", "seconds"), [("14:00", 28_800), ("10:52", 17_520), ("06:20", 1_200), ("13:00", 25_200)]
)
def test_stretches_that_fill_a_shift_of_any_length_are_the_whole_shift(ends, seconds):
    """4 h 52 min are no finite number of hours: the seconds are."""
    suite = next(s for s in find_suites("factorypack", "mart") if s.table == "fct_station_state")
    with duckdb.connect() as con:
        con.execute(FUNCTIONS)
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


def test_a_count_that_gets_its_order_later_is_told_before_it_counts_twice():
    suite = next(s for s in find_suites("factorypack", "stage") if s.table == "stg_plant_files__machine_counts")
    with duckdb.connect() as con:
        con.execute(FUNCTIONS)
        con.execute(
            """
            create table this_close as
            select timestamptz '2026-01-31 12:00:00Z' as starts_at, timestamptz '2026-01-31 20:00:00Z' as ends_at;
            create table int_shifts as select starts_at, ends_at from this_close;
            create table int_stations as select 'F1' as station_id;
            create table stg_plant_files__machine_counts as
            select
                'F1' as station_id, starts_at + h * interval 1 hour as from_at,
                starts_at + (h + 1) * interval 1 hour as to_at,
                good as good_units, null::bigint as scrap_units, null::bigint as rework_units, order_id
            from this_close
            cross join (
                values (0, 5, 'A'), (0, 6, 'B'), (1, 7, null), (2, 8, null), (2, 8, 'A'), (3, 0, null), (3, 9, 'A')
            ) as v (h, good, order_id)
            """
        )
        found = con.execute(
            f"select epoch(from_at - starts_at) from ({suite.rows}) cross join this_close where is_beside_an_order > 0"
        ).fetchall()

    assert found == [(2 * 3600,)]
