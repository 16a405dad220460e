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


def test_a_camera_is_silent_where_its_station_produced_and_nothing_else():
    """K and its station S1 in shift 1: 10 units and no image. In 2 it has an image, in 3 nothing was made. OLD was last
    heard of five weeks ago; MOVED went from S1 to S2, which makes nothing."""
    suite = next(s for s in find_suites("factorypack", "mart") if s.table == "fct_vision_inspection")
    with duckdb.connect() as con:
        con.execute(FUNCTIONS)
        con.execute(
            """
            create table this_close as
            select 'riverside' as calendar, timestamptz '2026-01-31 12:00:00Z' as starts_at,
                timestamptz '2026-02-01 12:00:00Z' as ends_at;
            create table close_shifts as select '2026-01-31.' || n as shift_id from range(1, 4) as v (n);
            create table int_stations as
            select s as station_id, 'riverside' as calendar from (values ('S1'), ('S2')) as v (s);
            create table stg_plant_files__vision_results as
            select k as camera_id, s as station_id, i as inspection_id, t::timestamptz as inspected_at
            from (
                values ('K', 'S1', '1', '2026-01-30 12:00:00Z'), ('K', 'S1', '2', '2026-01-31 21:00:00Z'),
                    ('OLD', 'S1', '3', '2025-12-27 12:00:00Z'), ('MOVED', 'S1', '4', '2026-01-28 12:00:00Z'),
                    ('MOVED', 'S2', '5', '2026-01-29 12:00:00Z')
            ) as v (k, s, i, t);
            create table fct_vision_inspection as
            select 'riverside' as calendar, '2026-01-31.2' as shift_id, 'K' as camera_id, true as is_judged,
                null::varchar as serial, false as is_known_unit;
            create table fct_vision_hour as
            select 'riverside' as calendar, '2026-01-31.2' as shift_id, 'K' as camera_id, 1 as inspections;
            create table fct_oee_station_shift as
            select '2026-01-31.' || n as shift_id, 'S1' as station_id, u as produced_units
            from (values (1, 10), (2, 10), (3, 0)) as v (n, u)
            """
        )
        found = con.execute(f"select shift_id, camera_id, is_silent from ({suite.rows}) order by all").fetchall()

    cameras = {camera for _, camera, _ in found}
    assert cameras == {"K", "MOVED"} and len(found) == 6
    assert [(shift, camera) for shift, camera, is_silent in found if is_silent] == [("2026-01-31.1", "K")]


def test_traces_from_files_are_warned_of_where_the_mes_has_the_key_or_the_line_is_not_known():
    """Scan 1 is right. 2 is in the MES too, 3 ran backwards, 4 is at no station and still there; 5 is of yesterday. Of
    the units, A has its order's line, B names one, C has neither and is in the MES."""
    suites = {s.table: s for s in find_suites("factorypack", "stage")}
    with duckdb.connect() as con:
        con.execute(FUNCTIONS)
        con.execute(
            """
            create table this_close as
            select timestamptz '2026-01-31 12:00:00Z' as starts_at, timestamptz '2026-01-31 20:00:00Z' as ends_at;
            create table int_stations as select 'S1' as station_id;
            create table stg_mes__station_scans as select '2' as scan_id;
            create table stg_mes__serials as select 'C' as serial;
            create table stg_mes__production_orders as select 'O' as order_id, 'L' as line_id;
            create table stg_plant_files__unit_scans as
            select i as scan_id, s as station_id, f::timestamptz as entered_at, u::timestamptz as left_at
            from (
                values ('1', 'S1', '2026-01-31 13:00:00Z', '2026-01-31 13:01:00Z'),
                    ('2', 'S1', '2026-01-31 13:00:00Z', '2026-01-31 13:01:00Z'),
                    ('3', 'S1', '2026-01-31 13:00:00Z', '2026-01-31 12:59:00Z'),
                    ('4', 'S9', '2026-01-31 13:00:00Z', null),
                    ('5', 'S9', '2026-01-30 13:00:00Z', '2026-01-30 13:01:00Z')
            ) as v (i, s, f, u);
            create table stg_plant_files__units as
            select s as serial, o as order_id, l as line_id, timestamptz '2026-01-31 13:00:00Z' as made_at
            from (values ('A', 'O', null), ('B', null, 'L'), ('C', 'gone', null)) as v (s, o, l)
            """
        )
        scans = con.execute(f"{suites['stg_plant_files__unit_scans'].rows} order by 1").fetchall()
        units = con.execute(f"{suites['stg_plant_files__units'].rows} order by 1").fetchall()

    assert scans == [("1", 1, 0, 60), ("2", 1, 1, 60), ("3", 1, 0, -60), ("4", 0, 0, None)]
    assert units == [("A", 1, 0), ("B", 1, 0), ("C", 0, 1)]
