"""The models of cameras together, on the simulated plant: against its truth, and closed alone and in a range."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from include.catalog import calendar
from tests.dbt.factory_lake import Lake
from tests.dbt.test_trace import _broken

pytestmark = pytest.mark.platform  # needs none, but it builds the pack
DAY = date(2026, 10, 30)
SHIFTS = [f"{DAY}.{n}" for n in (1, 2, 3)]
MARTS = ("fct_vision_inspection", "fct_vision_defect", "fct_vision_hour", "fct_vision_defect_shift")


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Lake:
    from demo import plant_vision
    from demo.plant_line import SEED
    from demo.plant_mes import Plant, tables

    lake = Lake(tmp_path_factory.mktemp("plant"))
    simulated = Plant(SEED, DAY)
    as_of = datetime.combine(DAY + timedelta(days=1), time(20), UTC)  # past the first shift of the next day
    lake.land(tables(simulated, as_of))
    images = list(plant_vision.between(datetime.combine(DAY, time(), UTC), as_of, SEED, DAY))
    lake.feed(
        "vision_results",
        [
            dict(zip(plant_vision.RESULT_COLUMNS, row, strict=True))
            | {"inspected_at": image.inspected_at, "serial": image.serial, "confidence": decimal(image.confidence)}
            for image, row in zip(images, plant_vision._result_rows(images), strict=True)
        ],
    )
    defects = [dict(zip(plant_vision.DEFECT_COLUMNS, row, strict=True)) for row in plant_vision._defect_rows(images)]
    numbers = {"confidence", "x_min_px", "y_min_px", "x_max_px", "y_max_px"}
    lake.feed("vision_defects", [{k: decimal(v) if k in numbers else v for k, v in row.items()} for row in defects])
    lake.truth = {row["shift_id"]: row for row in plant_vision.by_shift(DAY, DAY, SEED, as_of).to_pylist()}
    return lake


def decimal(number: float) -> Decimal:
    return Decimal(str(number))


@pytest.fixture(scope="module")
def closed(plant):
    return plant.close(SHIFTS[0], SHIFTS[-1])


def test_the_figures_are_those_of_the_plant_s_own_truth(plant, closed):
    """Images, failed ones, defects, escapes and false rejects of each shift; confidence to the sixth decimal."""
    rows = closed.sql(
        """
        select
            h.shift_id, sum(h.inspections) as images, sum(h.defects) as defects, sum(h.escapes_found) as escapes,
            sum(h.false_rejects_found) as false_rejects, max(i.failed) as failed, max(i.confidence) as confidence
        from fct_vision_hour as h
        inner join (
            select
                shift_id, count(*) filter (where verdict = 'fail') as failed, avg(confidence::double) as confidence
            from fct_vision_inspection
            group by shift_id
        ) as i on h.shift_id = i.shift_id
        group by h.shift_id
        """
    ).fetchall()

    assert {row[0] for row in rows} == set(SHIFTS)
    for shift_id, images, defects, escapes, false_rejects, failed, confidence in rows:
        truth = plant.truth[shift_id]
        assert (images, defects, failed) == (truth["images"], truth["defects"], truth["failed_images"])
        assert (escapes, false_rejects) == (truth["escapes_found"], truth["false_rejects_found"])
        assert confidence == pytest.approx(truth["mean_confidence"], abs=1e-6)
    assert sum(row[3] for row in rows) > 0 and sum(row[4] for row in rows) > 0


def test_first_inspections_are_those_of_units_and_images_find_their_genealogy(closed):
    first, units, unread = closed.sql(
        """
        select count(*) filter (where is_first), count(distinct serial), count(*) filter (where serial is null)
        from fct_vision_inspection
        """
    ).fetchone()
    assert first == units + unread and unread > 0
    (linked, known) = closed.sql(
        """
        select count(distinct i.serial), count(distinct u.serial)
        from fct_vision_inspection as i left join fct_unit as u on i.serial = u.serial
        where i.is_known_unit
        """
    ).fetchone()
    assert linked == known > 300
    assert (
        closed.sql("select count(*) from fct_vision_inspection where is_known_unit and order_id is null").fetchone()[0]
        == 0
    )


@pytest.mark.parametrize("table", MARTS)
def test_a_shift_closed_by_itself_is_the_one_that_it_is_in_a_range(plant, closed, table):
    """At one cut-off; the four weeks before are empty here, so that of the day before within the range is none."""
    alone = plant.alone = getattr(plant, "alone", None) or plant.close(SHIFTS[1])

    in_range = closed.sql(f"select * from {table} where shift_id = '{SHIFTS[1]}' order by all").to_arrow_table()
    by_itself = alone.sql(f"select * from {table} order by all").to_arrow_table()
    assert by_itself.num_rows > 0
    assert by_itself.equals(in_range)


@pytest.mark.parametrize("table", ["fct_vision_hour", "fct_vision_defect_shift"])
def test_the_four_weeks_before_are_the_same_from_what_was_published_and_from_the_range(plant, table):
    """The first shift of the next day: within a range with the day before, and alone with that day as published."""
    after = f"{DAY + timedelta(days=1)}.1"
    if not hasattr(plant, "ranged"):
        plant.ranged = plant.close(SHIFTS[0], after)
        marts = ("fct_vision_inspection", "fct_vision_defect")
        with plant.open() as con:
            con.execute("create schema factorypack")
        for mart in marts:
            before = plant.ranged.sql(f"select * from {mart} where shift_id < '{after}'").to_arrow_table()
            plant.put(f'factorypack."{mart}_then"', before)
        names = {mart: f"{mart}_then" for mart in marts}
        plant.next = plant.close(after, history=dict.fromkeys(marts, 1), history_names=names)

    in_range = plant.ranged.sql(f"select * from {table} where shift_id = '{after}' order by all").to_arrow_table()
    by_itself = plant.next.sql(f"select * from {table} order by all").to_arrow_table()
    usual = "usual_units" if table == "fct_vision_hour" else "usual_shifts"
    assert max(by_itself[usual].to_pylist()) > 0
    assert by_itself.equals(in_range)


def test_the_gates_read_what_was_built_and_stop_no_close_of_the_plant(closed):
    from include.gate.rows import FUNCTIONS
    from include.gate.suites import find_suites
    from include.periods import between

    periods = between(calendar("riverside").periods, SHIFTS[0], SHIFTS[-1])
    closed.execute(FUNCTIONS)
    closed.execute(
        f"create temp table this_close as select 'riverside' as calendar, timestamptz '{periods[0].starts_at}' as "
        f"starts_at, timestamptz '{periods[-1].ends_at}' as ends_at"
    )
    closed.execute("create temp table close_shifts (shift_id varchar)")
    closed.executemany("insert into close_shifts values (?)", [[period.name] for period in periods])
    closed.execute(
        "create temp view plant_files__vision_defects as select *, timestamptz '2026-10-30 12:00:00Z' as _landed_at "
        "from stg_plant_files__vision_defects union all by name "
        "select 'lost' as inspection_id, 1 as defect_number, timestamptz '2026-10-31 09:00:00Z' as _landed_at"
    )
    mine = [s for s in find_suites("factorypack") if "vision" in s.table]
    assert {suite.table for suite in mine} == {
        *MARTS,
        "stg_plant_files__vision_results",
        "stg_plant_files__vision_defects",
    }
    broken = set()
    for suite in mine:
        rows = closed.sql(suite.rows)
        assert rows.aggregate("count(*)").fetchone()[0] > 0, suite.table
        for one in suite.expectations.expectations:
            if found := _broken(rows, one):
                broken.add((suite.table, one.column, one.severity.value, found))
    assert broken == {("stg_plant_files__vision_defects", "inspection_is_known", "warning", 1)}
