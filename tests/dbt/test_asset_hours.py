"""fct_asset_hour built by dbt over the simulated plant, against the same gate reckoned second by second in Python."""

from datetime import UTC, date, datetime, time, timedelta

import duckdb
import pytest

from tests.dbt.factory_lake import Lake

DAY = date(2026, 10, 31)  # the clocks go back in its night; two bearings of the plant are worn
PLANT_START = DAY - timedelta(days=20)  # long enough for drives that were renewed
COLUMNS = ("is_evidence", "product_id", "renewed_by", "renewed_at", "renewal_kind", "shift_id", "hour_ended_at")
VALUES = ("running_share", "temperature_degc_mean", "vibration_mm_per_s_mean", "load_pct_mean")


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Lake:
    from demo import plant_history
    from demo.plant_line import SEED
    from demo.plant_mes import Plant, tables
    from include.ot.reading import BAD_NO_DATA

    lake = Lake(tmp_path_factory.mktemp("drives"))
    as_of = datetime.combine(DAY + timedelta(days=1), time(13), UTC)
    lake.land(tables(Plant(SEED, PLANT_START), as_of))
    export = lake.folder / "history.parquet"
    plant_history.write(export, Plant(SEED, DAY - timedelta(days=1)), as_of)
    with lake.open() as con:
        con.execute(
            f"""
            insert into ot.readings by name
            with given as (select *, regexp_matches(tag_id, '(_count|_degc|_per_s|_pct)$') as is_number from '{export}')
            select
                tag_id, observed_at, 0 as sequence, case when is_number then value::double end as value_double,
                case when not is_number then value end as value_text,
                case when value is null then {BAD_NO_DATA} else 0 end as quality, 'source' as clock,
                observed_at as received_at, 'file' as _segment_id, 1 as _ordinal
            from given
            """
        )
    return lake


def hours_of(con) -> dict:
    found = con.sql("select * from fct_asset_hour").to_arrow_table().to_pylist()
    return {(row["station_id"], row["hour_started_at"]): row for row in found}


@pytest.fixture(scope="module")
def workspace(plant):
    """The date, closed as a range of its three shifts."""
    return plant.close(DAY.isoformat())


@pytest.fixture(scope="module")
def closed(workspace) -> dict:
    return hours_of(workspace)


@pytest.mark.platform  # needs none, but it builds the pack
def test_dbt_and_python_agree_on_every_hour(closed):
    from demo import plant_hours

    reckoned = plant_hours.hours(DAY, DAY, plant_start=PLANT_START)
    expected = {(row["station_id"], row["hour_started_at"]): row for row in reckoned}

    assert set(closed) == set(expected) and len(closed) == 12 * (8 + 8 + 9)
    for key, ours in closed.items():
        theirs = expected[key]
        assert {name: ours[name] for name in COLUMNS} == {name: theirs[name] for name in COLUMNS}, key
        for name in VALUES:
            if ours["is_evidence"]:
                assert float(ours[name]) == pytest.approx(theirs[name], abs=1e-4), (key, name)
    assert len({row["renewed_by"] for row in closed.values()}) > 3
    assert 0.3 < sum(row["is_evidence"] for row in closed.values()) / len(closed) < 0.8


@pytest.mark.platform
def test_a_shift_alone_has_the_hours_that_it_has_in_a_range(plant, closed):
    alone = hours_of(plant.close(f"{DAY}.2"))

    assert len(alone) == 12 * 8
    assert alone == {key: closed[key] for key in alone}


@pytest.mark.platform
def test_what_the_suite_expects_holds_for_the_plant(workspace):
    from include.gate.rows import FUNCTIONS
    from include.gate.suites import find_suites

    suite = next(one for one in find_suites("factorypack", "mart") if one.table == "fct_asset_hour")
    built = {name: workspace.sql(f"select * from {name}").to_arrow_table() for name in ("fct_asset_hour", "int_shifts")}
    with duckdb.connect() as con:
        con.execute(FUNCTIONS)
        for name, table in built.items():
            con.register(name, table)
        con.execute("create table this_close as select 'riverside' as calendar")
        con.execute("create view close_shifts as select *, operating_ms / 3600000 as hours from int_shifts")
        rows = con.execute(suite.rows).to_arrow_table()

    assert rows.num_rows == 12 * (8 + 8 + 9)
    for one in suite.expectations.expectations:
        known = [value for value in rows[one.column].to_pylist() if value is not None]
        assert known, one.column
        if hasattr(one, "value_set"):
            assert set(known) <= set(one.value_set)
            continue
        assert one.max_value is None or max(known) <= one.max_value, (one.column, max(known))
        assert one.min_value is None or min(known) >= one.min_value, (one.column, min(known))
