"""The factory's models together: against the simulated plant's truth, and by hand on a plant that only files know."""

import csv
import re
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from include.catalog import DBT, marts
from include.ot.reading import BAD_NO_DATA
from tests.dbt.factory_lake import Lake, utc

FIRST, DAYS = date(2026, 10, 30), 4  # the clocks go back in the night of 31 October, the counters to 0 on 1 November
CATEGORIES = {
    "apt_s": "actual_production_time_s",
    "aust_s": "actual_setup_time_s",
    "adet_s": "actual_delay_time_s",
    "adot_s": "actual_down_time_s",
    "no_data_s": "no_data_s",
    "pbt_s": "planned_busy_time_s",
    "pot_s": "planned_operation_time_s",
}
KEY = ("shift_id", "station_id")


def rows_of(con, table: str, key=KEY) -> dict:
    found = con.sql(f"select * from {table}").to_arrow_table().to_pylist()
    return {tuple(row[name] for name in key): row for row in found}


# What needs no build ------------------------------------------------------------------------------------------------


def test_every_mart_of_the_factory_can_be_published():
    storable = {"varchar", "date", "integer", "bigint", "boolean", "timestamp with time zone"}
    found = {m.name: m for m in marts("factorypack")}

    assert set(found) >= {
        "dim_line", "dim_station", "dim_product", "dim_reason", "fct_station_state", "fct_oee_station_shift",
        "fct_oee_line_shift", "fct_oee_order_shift", "fct_oee_site_shift", "fct_downtime_shift", "fct_oee_accuracy",
    }  # fmt: skip
    for mart in found.values():
        assert {"calendar", *mart.key} <= set(mart.columns)
        if mart.name.startswith("fct_"):
            assert mart.window == "shift_id" and mart.is_by_name and "production_date" in mart.columns
        for name, data_type in mart.columns.items():
            assert data_type in storable or re.fullmatch(r"decimal\(\d+, \d+\)", data_type), f"{mart.name}.{name}"


def test_the_meanings_of_states_are_words_that_the_models_know():
    with (DBT / "seeds/factorypack/factorypack_states.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    assert {row["vocabulary"] for row in rows} == {"mtconnect", "packml", "opc40001", "line"}
    assert {row["category"] for row in rows} <= {"production", "setup", "delay", "down", "no_data"}
    assert {row["order_state"] for row in rows} <= {"open", "none", "*"}
    assert all(row[name] == row[name].upper() for row in rows for name in ("execution", "mode"))
    key = ("vocabulary", "execution", "mode", "order_state")
    assert max(Counter(tuple(row[name] for name in key) for row in rows).values()) == 1
    for vocabulary, execution in {(row["vocabulary"], row["execution"]) for row in rows}:
        mine = [row for row in rows if (row["vocabulary"], row["execution"]) == (vocabulary, execution)]
        any_mode = {row["order_state"] for row in mine if row["mode"] == "*"}
        assert any_mode in ({"*"}, {"open", "none"}), f"{vocabulary} {execution} is not understood in every mode"


# The simulated plant ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Lake:
    from demo import plant_history, plant_truth
    from demo.plant_line import SEED
    from demo.plant_mes import Plant, tables

    lake = Lake(tmp_path_factory.mktemp("plant"))
    simulated = Plant(SEED, FIRST - timedelta(days=1))
    as_of = datetime.combine(FIRST + timedelta(days=DAYS), time(13), UTC)
    lake.land(tables(simulated, as_of))
    export = lake.folder / "history.parquet"
    plant_history.write(export, simulated, as_of)
    with lake.open() as con:
        con.execute(
            f"""
            insert into ot.readings by name
            select
                tag_id, observed_at, 0 as sequence,
                case when tag_id like '%_count' then value::double end as value_double,
                case when tag_id not like '%_count' then value end as value_text,
                case when value is null then {BAD_NO_DATA} else 0 end as quality, 'source' as clock,
                observed_at as received_at, 'file' as _segment_id, 1 as _ordinal
            from '{export}'
            """
        )
    lake.truth = {
        tuple(row[name] for name in KEY): row
        for row in plant_truth.by_shift(FIRST, FIRST + timedelta(days=DAYS - 1), SEED, as_of).to_pylist()
    }
    return lake


@pytest.fixture(scope="module")
def closed(plant):
    return plant.close(FIRST.isoformat(), (FIRST + timedelta(days=DAYS - 1)).isoformat())


@pytest.mark.platform  # needs none, but it builds the pack
def test_the_figures_are_those_of_the_plant_s_own_truth(plant, closed):
    built = rows_of(closed, "fct_oee_station_shift")

    assert set(built) == set(plant.truth) and len(built) == 12 * 3 * DAYS
    assert {row["pot_s"] for row in built.values()} == {Decimal(8 * 3600), Decimal(9 * 3600)}
    for key, true in plant.truth.items():
        row = built[key]
        assert {ours: row[ours] for ours in CATEGORIES} == {ours: true[theirs] for ours, theirs in CATEGORIES.items()}
        assert (row["micro_stops"], row["unknown_s"]) == (true["micro_stops"], 0), key
        for kind in ("good_units", "scrap_units", "rework_units"):
            assert row[kind] == true[kind], (key, kind)
        assert row["ideal_s"] == Decimal(str(true["ideal_time_s"])), key
        for figure in ("availability", "effectiveness", "quality", "oee"):
            assert abs(row[figure] - Decimal(true[figure])) < Decimal("0.000001"), (key, figure)


@pytest.mark.platform
def test_time_and_units_are_conserved_from_stretches_to_the_site(closed):
    assert closed.sql(
        """
        select count(*) from fct_oee_station_shift
        where planned_s + no_data_s + apt_s + aust_s + adet_s + adot_s + unknown_s <> pot_s
        """
    ).fetchone() == (0,)
    stretches = """
        select shift_id, station_id, sum(duration_s), sum(case when category = 'delay' then duration_s else 0 end)
        from fct_station_state group by all
    """
    stations = "select shift_id, station_id, pot_s, adet_s from fct_oee_station_shift"
    assert closed.sql(f"({stretches}) except ({stations})").fetchall() == []
    orders = """
        select shift_id, station_id, sum(apt_s), sum(produced_units), sum(ideal_s) from fct_oee_order_shift group by all
    """
    stations = "select shift_id, station_id, apt_s, produced_units, ideal_s from fct_oee_station_shift"
    assert closed.sql(f"({orders}) except ({stations})").fetchall() == []
    downtime = """
        select
            s.shift_id, s.station_id, s.aust_s + s.adet_s + s.adot_s + s.unknown_s as told,
            coalesce(sum(d.downtime_s), 0)
        from fct_oee_station_shift as s left join fct_downtime_shift as d using (shift_id, station_id) group by all
    """
    assert closed.sql(f"select * from ({downtime}) where told <> #4").fetchall() == []
    lines = "select shift_id, sum(known_s), sum(produced_units), sum(ideal_good_s) from fct_oee_line_shift group by all"
    site = "select shift_id, known_s, produced_units, ideal_good_s from fct_oee_site_shift"
    assert closed.sql(f"({lines}) except ({site})").fetchall() == []


@pytest.mark.platform
def test_a_shift_closed_by_itself_is_the_one_that_it_is_in_a_range(plant, closed):
    """A night over the end of summer time among them: no close knows what comes after a shift's end.

    The four weeks before it are what was published of them: here nothing.
    """
    shift = f"{FIRST + timedelta(days=1)}.3"
    alone = plant.close(shift)

    for mart in marts("factorypack"):
        if mart.is_by_name:
            query = f"from {mart.name} where shift_id = '{shift}' order by all"
            if mart.name == "fct_downtime_shift":
                known = "* exclude (usual_shifts, usual_downtime_s, usual_stops)"
                query = f"select {known} from ({query}) where downtime_s > 0"
            assert alone.sql(query).fetchall() == closed.sql(query).fetchall(), mart.name


@pytest.mark.platform
@pytest.mark.parametrize(("bias", "is_met"), [("1.0", True), ("0.97", False)])
def test_the_gate_of_accuracy_stops_a_bias_of_three_percent(plant, tmp_path, bias, is_met):
    """People count 3 % less than the machines: whatever the OEE of the line, the close stops."""
    from include.gate import suites
    from include.gate.validate import Engine

    with plant.open() as con:
        con.execute("create or replace table kept as select * from raw.mes__manual_counts")
        con.execute(f"update raw.mes__manual_counts set good_units = round(good_units * {bias})")
    try:
        workspace = plant.close(f"{FIRST}.1", f"{FIRST}.2")
    finally:
        with plant.open() as con:
            con.execute("create or replace table raw.mes__manual_counts as select * from kept")
    suite = next(s for s in suites.find_suites("factorypack", "mart") if s.table == "fct_oee_accuracy")
    rows = workspace.sql("select * from fct_oee_accuracy").to_arrow_table()
    with duckdb.connect(str(tmp_path / "gate.duckdb")) as con:
        con.execute("create temp table fct_oee_accuracy as select * from rows")
        con.execute("create temp table this_close as select 'riverside' as calendar")
        con.execute("create temp table close_shifts as select distinct shift_id from fct_oee_accuracy")
        con.execute(f"create table fct_oee_accuracy_rows as {suite.rows}")
        con.execute("drop table temp.fct_oee_accuracy")
        con.execute("alter table fct_oee_accuracy_rows rename to fct_oee_accuracy")
    engine = Engine(tmp_path / "gate.duckdb")
    try:
        outcome = engine.validate(suite)
    finally:
        engine.close()
    critical = [r for r in outcome.results if r.expectation_config.severity.value == "critical"]
    assert all(r.success for r in critical) is is_met
    if not is_met:
        by_share = next(r for r in critical if r.expectation_config.kwargs["column"] == "percent_off_of_certain")
        assert by_share.result["unexpected_count"] == len(rows)


# A plant that only files know ---------------------------------------------------------------------------------------


@pytest.mark.platform
def test_a_plant_that_only_files_know_has_its_oee(tmp_path):
    """Line F of one station; Early of 30 January 2026, 12:00Z to 20:00Z, break from 16:00Z to 16:30Z: PBT 27,000 s.

    RUN 12:00-14:00, STOP (JAM) 14:00-14:30, RUN 14:30-19:00, nothing said 19:00-19:30, RUN from 19:30 on, open.
    Known 25,200 s, ADET 1,800 s, APT 23,400 s: A = 0.928571. P up to 16:30Z: 1,000 good, 20 scrapped at 6 s; Q after:
    500 good at 10 s. PRI x PQ = 6,120 + 5,000 = 11,120 s, E = 0.475214; Q = 1,500 / 1,520 = 0.986842.
    OEE = 11,120 x 1,500 / (25,200 x 1,520) = 0.435464. Without data 1,800 / 27,000 = 0.066667: doubtful.
    """
    from demo.plant_mes import SCHEMAS, _schema

    lake = Lake(tmp_path)
    lake.land({name: _schema(name).empty_table() for name in SCHEMAS})

    def at(clock: str) -> datetime:
        return utc(f"2026-01-30 {clock}:00")

    lake.feed("stations_file", [{"station_id": "F1", "line_id": "F", "vocabulary": "line", "micro_stop_s": 60}])
    lake.feed(
        "routings_file",
        [
            {"product_id": "P", "station_id": "F1", "ideal_cycle_time_s": Decimal(6)},
            {"product_id": "*", "station_id": "F1", "ideal_cycle_time_s": Decimal(10)},
        ],
    )
    states = [
        ("12:00", None, "RUN", None),
        ("14:00", None, "STOP", "jam"),
        ("14:30", "19:00", "RUN", None),
        ("19:30", None, "RUN", None),
    ]
    lake.feed(
        "machine_states",
        [
            {"station_id": "F1", "started_at": at(s), "ended_at": e and at(e), "execution": x, "fault_code": f}
            for s, e, x, f in states
        ],
    )
    lake.feed(
        "machine_counts",
        [
            {"station_id": "F1", "from_at": at("12:00"), "to_at": at("16:30"), "good_units": 1000, "scrap_units": 20,
             "product_id": "P"},
            {"station_id": "F1", "from_at": at("16:30"), "to_at": at("20:00"), "good_units": 500, "product_id": "Q"},
        ],
    )  # fmt: skip
    con = lake.close("2026-01-30.1")

    row = rows_of(con, "fct_oee_station_shift")["2026-01-30.1", "F1"]
    assert (row["pbt_s"], row["known_s"], row["apt_s"], row["adet_s"], row["adot_s"]) == (27000, 25200, 23400, 1800, 0)
    assert (row["good_units"], row["scrap_units"], row["produced_units"], row["ideal_s"]) == (1500, 20, 1520, 11120)
    assert [str(row[n]) for n in ("availability", "effectiveness", "quality", "oee")] == [
        "0.928571", "0.475214", "0.986842", "0.435464",
    ]  # fmt: skip
    assert (row["failures"], row["is_doubtful"], row["no_data_share"]) == (1, True, Decimal("0.066667"))
    orders = con.sql("select product_id, apt_s, good_units from fct_oee_order_shift order by product_id").fetchall()
    assert [(p, int(s), n) for p, s, n in orders] == [("P", 12600, 1000), ("Q", 10800, 500)]
    assert con.sql("select line_id, pacing_station_id, origin from dim_line").fetchall() == [("F", "F1", "files")]
    assert con.sql("select reason_code, downtime_s from fct_downtime_shift").fetchall() == [("JAM", Decimal(1800))]


@pytest.mark.platform
def test_a_correction_after_publish_changes_the_next_version_and_nothing_else(tmp_path):
    """The same shift twice, the second time with a correction that came meanwhile: only what it says differs."""
    from demo.plant_mes import SCHEMAS, _schema, master

    lake = Lake(tmp_path)
    known = master(utc("2026-01-31 00:00:00"))
    lake.land({name: pa.Table.from_pylist(known.get(name, []), _schema(name)) for name in SCHEMAS})
    order = {
        "order_id": "O1", "line_id": "PKG", "product_id": "BOX-A", "status": "open", "quantity_ordered": 1,
        "started_at": utc("2026-01-30 00:00:00"), "ended_at": None,
    }  # fmt: skip
    lake.land({"production_orders": pa.Table.from_pylist([order], _schema("production_orders"))})
    lake.read(
        [
            ("PKG-40.execution", utc("2026-01-30 11:00:00"), "RUN"),
            ("PKG-40.execution", utc("2026-01-30 13:00:00"), "STOP"),
            ("PKG-40.fault_code", utc("2026-01-30 13:00:02"), "T30"),
            ("PKG-40.execution", utc("2026-01-30 13:40:00"), "RUN"),
            ("PKG-40.fault_code", utc("2026-01-30 13:40:00"), "none"),
            *(("PKG-40.good_count", utc(f"2026-01-30 {h}:30:00"), 300 * (h - 11)) for h in range(11, 20)),
        ]
    )
    before = lake.close("2026-01-30.1")
    shared = {
        "station_id": "PKG-40",
        "entered_by": "x",
        "why": "seen on camera",
        "entered_at": utc("2026-01-31 09:00:00"),
    }
    window = {"from_at": utc("2026-01-30 13:00:00"), "to_at": utc("2026-01-30 13:40:00")}
    corrections = [
        {**shared, **window, "correction_id": "1", "what": "reason", "value": "P20"},
        {**shared, **window, "correction_id": "2", "what": "good_units", "value": "-60"},
    ]
    schema = _schema("manual_corrections")
    lake.land({"manual_corrections": pa.Table.from_pylist(corrections, schema)})
    after = lake.close("2026-01-30.1")

    key = ("2026-01-30.1", "PKG-40")
    old, new = (rows_of(con, "fct_oee_station_shift")[key] for con in (before, after))
    assert (old["adet_s"], old["planned_s"], old["good_units"], old["failures"]) == (2400, 1800, 2400, 1)
    assert (new["adet_s"], new["planned_s"], new["good_units"], new["failures"]) == (0, 4200, 2340, 0)
    assert new["corrected_units"] == -60 and new["apt_s"] == old["apt_s"]
    sql = "select * from fct_station_state where category = 'production' order by started_at, station_id"
    assert before.sql(sql).fetchall() == after.sql(sql).fetchall()
