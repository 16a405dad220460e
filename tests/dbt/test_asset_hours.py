"""fct_asset_hour built by dbt over the simulated plant, against the same gate reckoned second by second in Python."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from tests.dbt.factory_lake import Lake

DAY = date(2026, 10, 31)  # the clocks go back in its night; two bearings of the plant are worn
COLUMNS = ("is_evidence", "product_id", "renewed_by", "shift_id", "hour_ended_at")
VALUES = ("running_share", "temperature_degc_mean", "vibration_mm_per_s_mean", "load_pct_mean")


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Lake:
    from demo import plant_history
    from demo.plant_line import SEED
    from demo.plant_mes import Plant, tables
    from include.ot.reading import BAD_NO_DATA

    lake = Lake(tmp_path_factory.mktemp("drives"))
    simulated = Plant(SEED, DAY - timedelta(days=1))
    as_of = datetime.combine(DAY + timedelta(days=1), time(13), UTC)
    lake.land(tables(simulated, as_of))
    export = lake.folder / "history.parquet"
    plant_history.write(export, simulated, as_of)
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
def closed(plant) -> dict:
    """The hours of the date, closed as a range of its three shifts."""
    return hours_of(plant.close(DAY.isoformat()))


@pytest.mark.platform  # needs none, but it builds the pack
def test_dbt_and_python_agree_on_every_hour(closed):
    from demo import plant_hours

    expected = {(row["station_id"], row["hour_started_at"]): row for row in plant_hours.hours(DAY, DAY)}

    assert set(closed) == set(expected) and len(closed) == 12 * (8 + 8 + 9)
    for key, ours in closed.items():
        theirs = expected[key]
        assert {name: ours[name] for name in COLUMNS} == {name: theirs[name] for name in COLUMNS}, key
        for name in VALUES:
            if ours["is_evidence"]:
                assert float(ours[name]) == pytest.approx(theirs[name], abs=1e-4), (key, name)
    assert 0.3 < sum(row["is_evidence"] for row in closed.values()) / len(closed) < 0.8


@pytest.mark.platform
def test_a_shift_alone_has_the_hours_that_it_has_in_a_range(plant, closed):
    alone = hours_of(plant.close(f"{DAY}.2"))

    assert len(alone) == 12 * 8
    assert alone == {key: closed[key] for key in alone}
