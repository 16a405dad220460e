"""The models of trace together, on the simulated plant and its truth, and on records that contradict each other."""

import csv
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from include import catalog
from tests.dbt.factory_lake import Lake

pytestmark = pytest.mark.platform  # needs none, but it builds the pack
DAY = date(2026, 10, 30)
SHIFTS = [f"{DAY}.{n}" for n in (1, 2, 3)]
WRONG_AT = datetime(2026, 10, 30, 15, tzinfo=UTC)  # in the first shift, 06:00 to 14:00 Central
REMOVED = 20
TRACED = {
    "fct_genealogy_link", "fct_transformation_balance", "fct_lot_balance", "fct_unit", "fct_unit_shipment",
    "fct_station_visit", "fct_visit_value", "fct_trace_station_shift", "fct_trace_line_shift", "fct_trace_exception",
}  # fmt: skip


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Lake:
    from demo import plant_history, plant_mes
    from demo.plant_line import SEED
    from demo.plant_mes import Plant, tables

    lake = Lake(tmp_path_factory.mktemp("plant"))
    simulated = Plant(SEED, DAY)
    as_of = datetime.combine(DAY + timedelta(days=1), time(13), UTC)
    lake.tables = tables(simulated, as_of)
    lake.land(lake.tables)
    rows = {name: [] for name in plant_mes.SCHEMAS}
    lake.truth = plant_mes._units(rows, simulated, DAY)
    export = lake.folder / "history.parquet"
    plant_history.write(export, simulated, as_of)
    with lake.open() as con:
        con.execute(
            f"""
            insert into ot.readings by name
            select
                tag_id, observed_at, 0 as sequence,
                try_cast(value as double) as value_double,
                case when try_cast(value as double) is null then value end as value_text, 0 as quality,
                'source' as clock, observed_at as received_at, 'file' as _segment_id, 1 as _ordinal
            from '{export}'
            """
        )
    return lake


@pytest.fixture(scope="module")
def closed(plant):
    return plant.close(SHIFTS[0], SHIFTS[-1])


@pytest.fixture(scope="module")
def damaged(plant, closed):
    """The same day without any scan of twenty good units of the first shift, and with records that cannot be true."""
    serials = closed.sql(
        f"""
        select u.serial from fct_unit as u
        inner join fct_station_visit as v on u.serial = v.serial
        where u.shift_id = '{SHIFTS[0]}' and u.serial_status = 'good'
        group by u.serial having count(distinct v.station_id) = 4 order by u.serial limit {REMOVED}
        """
    ).fetchall()
    plant.removed = {serial for (serial,) in serials}
    assert len(plant.removed) == REMOVED
    scans = plant.tables["station_scans"]
    gone = pc.is_in(scans["serial"], pa.array(sorted(plant.removed)))
    added = {
        "station_scans": [
            {"scan_id": "X1", "serial": "NOBODY-1", "station_id": "ASM-20", "entered_at": WRONG_AT, "left_at": WRONG_AT}
        ],
        "component_genealogy": [
            part("G1", "UNIT-A", "UNIT-B"), part("G2", "UNIT-B", "UNIT-C"), part("G3", "UNIT-C", "UNIT-A")
        ],
        "lot_transformations": [
            moved("M1", "SHORT", "split", "input", f"ROTS-{DAY:%y%m%d}", 10),
            moved("M2", "SHORT", "split", "output", "LOST", 7),
        ],
        "shipments": [
            {"shipment_id": "S1", "site": "riverside", "serial": "NOBODY-2", "customer": "C", "sales_order": "O",
             "shipped_at": WRONG_AT}
        ],
    }  # fmt: skip
    changed = {"station_scans": scans.filter(pc.invert(pc.fill_null(gone, False)))}
    for name, rows in added.items():
        table = changed.get(name, plant.tables[name])
        changed[name] = pa.concat_tables([table, pa.Table.from_pylist(rows, table.schema)])
    plant.land(changed)
    yield plant.close(SHIFTS[0], SHIFTS[1])
    plant.land(plant.tables)


def part(key: str, inner: str, outer: str) -> dict:
    """`inner` is booked as a part of `outer`."""
    return {
        "genealogy_id": key, "serial": outer, "component_serial": inner, "component_product_id": "PMP-A",
        "quantity": Decimal(1), "station_id": "ASM-10", "assembled_at": WRONG_AT,
    }  # fmt: skip


def moved(key: str, transformation: str, kind: str, role: str, item: str, quantity: int) -> dict:
    return {
        "movement_id": key, "transformation_id": transformation, "site": "riverside", "kind": kind, "role": role,
        "item_id": item, "product_id": "ROTS", "quantity": Decimal(quantity), "unit": "piece", "happened_at": WRONG_AT,
    }  # fmt: skip


FEEDS = {
    "serials": "units", "station_scans": "unit_scans", "component_genealogy": "unit_components", "lots": "lots",
    "lot_transformations": "lot_transformations", "shipments": "shipments",
}  # fmt: skip


def of_feeds(tables: dict[str, pa.Table]) -> dict[str, list[dict]]:
    """The rows of the MES by the feed that stands beside each table; the calendar of a feed is its site."""
    return {
        feed: [{key: value for key, value in row.items() if key != "site"} for row in tables[name].to_pylist()]
        for name, feed in FEEDS.items()
    }


def column(con, query: str) -> list:
    return [row[0] for row in con.sql(query).fetchall()]


def test_a_shift_closed_by_itself_is_the_one_that_it_is_in_a_range(plant, closed):
    """Units are on their way when a shift ends: their visits are told with the unit, once."""
    shift = SHIFTS[1]
    alone = plant.close(shift)

    for mart in catalog.marts("factorypack"):
        if mart.is_by_name and mart.name in TRACED:
            query = f"from {mart.name} where shift_id = '{shift}' order by all"
            assert alone.sql(query).fetchall() == closed.sql(query).fetchall(), mart.name


def test_files_alone_tell_what_the_mes_told(plant, closed):
    """Every mart of trace, row by row; and the MES counts where a file contradicts it under the same keys."""

    def same_as_closed() -> None:
        con = plant.close(SHIFTS[0], SHIFTS[-1])
        for mart in sorted(TRACED):
            assert con.sql(f"from {mart} order by all").fetchall() == closed.sql(f"from {mart} order by all").fetchall()

    filed = of_feeds(plant.tables)
    try:
        plant.land({name: plant.tables[name].schema.empty_table() for name in FEEDS})
        for feed, rows in filed.items():
            plant.feed(feed, rows)
        same_as_closed()

        plant.land(plant.tables)
        plant.feed("units", [row | {"status": "scrap", "product_id": "OTHER"} for row in filed["units"]])
        plant.feed("unit_scans", [row | {"serial": "OTHER"} for row in filed["unit_scans"]])
        for feed in ("unit_components", "lot_transformations"):
            plant.feed(feed, [row | {"quantity": row["quantity"] + 1} for row in filed[feed]])
        plant.feed("lots", [row | {"quantity_received": Decimal(1)} for row in filed["lots"]])
        plant.feed("shipments", [row | {"customer": "OTHER"} for row in filed["shipments"]])
        same_as_closed()
    finally:
        plant.land(plant.tables)
        for feed in filed:
            plant.feed(feed)


def test_what_is_missing_is_what_the_plant_left_out(plant, closed):
    """Scan by scan and lot by lot; what the scanner did not read stands in the shift, not with a unit."""
    found = closed.sql("select item_id, station_id from fct_trace_exception where issue = 'missing_scan'").fetchall()
    no_reads = column(closed, "select about from fct_trace_exception where issue = 'scan_without_serial'")
    unknown = column(closed, "select about from fct_trace_exception where issue = 'unknown_input'")

    assert sorted(found) == sorted(plant.truth.missing) and len(found) > 50
    assert sorted(no_reads) == sorted(plant.truth.no_reads) and no_reads
    assert len(unknown) == len(plant.truth.misread) and unknown
    more = Counter()
    for _, lot, quantity in plant.truth.misread:
        more[lot] += quantity
    lots = closed.sql(
        "select item_id, sum(quantity) from fct_trace_exception where issue = 'unbalanced_lot' group by 1"
    )
    assert dict(lots.fetchall()) == dict(more)
    issues = set(column(closed, "select distinct issue from fct_trace_exception"))
    assert issues == {"missing_scan", "scan_without_serial", "unknown_input", "unbalanced_lot"}


def test_coverage_is_asked_of_the_counter_and_reckoned_by_hand(plant, closed):
    good = {row["serial"] for row in plant.tables["serials"].to_pylist() if row["status"] == "good"}
    missing = Counter(station for serial, station in plant.truth.missing if serial in good)
    rows = closed.sql("select * from fct_trace_station_shift").to_arrow_table().to_pylist()

    assert {row["shift_id"] for row in rows} == set(SHIFTS) and len(rows) == 12
    for station, count in missing.items():
        own = [row for row in rows if row["station_id"] == station]
        assert sum(row["missing_units"] for row in own) == count
    counted = closed.sql(
        """
        select count(*) from fct_trace_station_shift as t
        inner join fct_oee_line_shift as o on t.shift_id = o.shift_id and t.line_id = o.line_id
        where t.expected_units <> o.good_units or t.basis <> 'good_count'
        """
    ).fetchone()
    assert counted == (0,)
    for row in closed.sql("select * from fct_trace_line_shift").to_arrow_table().to_pylist():
        assert row["expected_scans"] == 4 * row["expected_units"]
        assert abs(row["coverage"] - Decimal(row["scans"]) / row["expected_scans"]) < Decimal("0.000001")
        assert Decimal("0.9") < row["coverage"] < 1 and row["complete_units"] < row["serial_units"]


def test_coverage_falls_by_the_units_whose_scans_are_taken_away(plant, closed, damaged):
    """Twenty units of which nothing is known any more: what is asked for stays what it was."""
    query = f"select * from fct_trace_line_shift where shift_id = '{SHIFTS[0]}'"
    ((before,), (after,)) = (con.sql(query).to_arrow_table().to_pylist() for con in (closed, damaged))

    assert (after["expected_units"], after["serial_units"]) == (before["expected_units"], before["serial_units"])
    assert before["scans"] - after["scans"] == 4 * REMOVED
    assert after["never_scanned_units"] - before["never_scanned_units"] == REMOVED
    fell = before["coverage"] - after["coverage"]
    assert abs(fell - Decimal(REMOVED) / before["expected_units"]) <= Decimal("0.000001")
    query = f"select station_id, scanned_units from fct_trace_station_shift where shift_id = '{SHIFTS[0]}'"
    was, now = (dict(con.sql(query).fetchall()) for con in (closed, damaged))
    assert {station: was[station] - now[station] for station in was} == dict.fromkeys(was, REMOVED)
    lost = column(
        damaged, f"select item_id from fct_trace_exception where issue = 'missing_scan' and shift_id = '{SHIFTS[0]}'"
    )
    assert {serial for serial, count in Counter(lost).items() if count == 4} == plant.removed


def test_records_that_contradict_each_other_are_flagged_and_kept(damaged):
    """Parts of each other, units that nobody made, and three rotors that went in and did not come out.

    What nobody registered is waited for, so it is told in the shift after.
    """
    links = damaged.sql(
        "select link_id, is_on_cycle from fct_genealogy_link where link_id like 'assembly:G%' order by 1"
    )
    assert links.fetchall() == [("assembly:G1", True), ("assembly:G2", True), ("assembly:G3", True)]
    assert damaged.sql("select count(*) from fct_genealogy_link where is_on_cycle").fetchone() == (3,)

    found = damaged.sql(
        f"""
        select issue, about, quantity from fct_trace_exception
        where
            issue not in ('missing_scan', 'scan_without_serial', 'unbalanced_lot') and about not like '%ASM-%'
            and (shift_id = '{SHIFTS[0]}') = (issue in ('shipment_of_unknown_unit', 'unbalanced_transformation'))
        order by 1, 2
        """
    ).fetchall()
    one = Decimal(1)
    assert found == [
        *(("part_of_cycle", f"assembly:G{n}", one) for n in (1, 2, 3)),
        ("scan_of_unknown_unit", "X1", None),
        ("shipment_of_unknown_unit", "S1", None),
        ("unbalanced_transformation", "SHORT", Decimal(3)),
        *(("unknown_input", f"assembly:G{n}", one) for n in (1, 2, 3)),
        *(("unknown_output", f"assembly:G{n}", one) for n in (1, 2, 3)),
        ("unknown_output", f"transformation:SHORT:ROTS-{DAY:%y%m%d}:LOST", Decimal(7)),
    ]


def test_a_reworked_unit_is_at_its_stations_twice_and_on_no_cycle(plant, closed):
    again = closed.sql("select serial, station_id from fct_station_visit where is_revisit").fetchall()
    reworked = {row["serial"] for row in plant.tables["serials"].to_pylist() if row["status"] == "rework"}

    assert {serial for serial, _ in again} <= reworked and again
    assert {station for _, station in again} == {"ASM-30", "ASM-40"}
    assert closed.sql(
        "select count(*) from fct_genealogy_link where kind = 'reworked' and input_id = output_id"
    ).fetchone() == (1,)
    assert closed.sql("select count(*) from fct_genealogy_link where is_on_cycle").fetchone() == (0,)


def test_what_went_in_came_out_or_was_declared_lost(closed):
    assert closed.sql("select count(*) from fct_transformation_balance where not is_balanced").fetchone() == (0,)
    assert closed.sql("select sum(declared_loss) > 0 from fct_transformation_balance").fetchone() == (True,)
    conserved = closed.sql(
        """
        select count(*), count(*) filter (received_quantity + made_quantity <>
            assembled_quantity + transformed_quantity + written_off_quantity + remaining_quantity)
        from fct_lot_balance
        """
    ).fetchone()
    assert conserved[0] > 30 and conserved[1] == 0


def test_what_happens_while_no_shift_runs_is_told_by_the_next_one(plant):
    """Of what was linked since the shift before, at whatever hour, nothing is lost."""
    early = {"name": "2026-10-30.1", "label": "Early", "production_date": "2026-10-30", "shift": 1, "breaks": []}
    early["parts"] = [["2026-10-30T15:00:00+00:00", "2026-10-30T19:00:00+00:00"]]
    con = plant.close(SHIFTS[0], SHIFTS[0], periods=[early], since="2026-10-30T11:00:00+00:00")

    first, last = con.sql("select min(linked_at), max(linked_at) from fct_genealogy_link").fetchone()
    assert first < datetime(2026, 10, 30, 15, tzinfo=UTC) and last < datetime(2026, 10, 30, 19, tzinfo=UTC)
    landed = sum(
        datetime(2026, 10, 30, 11, tzinfo=UTC) <= at < datetime(2026, 10, 30, 19, tzinfo=UTC)
        for at in plant.tables["component_genealogy"]["assembled_at"].to_pylist()
    )
    query = "select count(*) from fct_genealogy_link where kind = 'assembled' and link_id not like 'assembly:G%'"
    assert con.sql(query).fetchone() == (landed,)


def test_a_visit_has_the_values_that_its_station_showed_meanwhile(plant, closed):
    """By the readings themselves: those of the visit, and the last one before it if not older than two hours."""
    with (catalog.DBT / "seeds/factorypack/factorypack_tags.csv").open(newline="") as lines:
        tags = {row["tag_id"] for row in csv.DictReader(lines) if row["data_type"] == "double"}
    if not any(tag.startswith("ASM-") for tag in tags):
        pytest.skip("no station of the assembly line has a numeric tag in the dictionary")
    with plant.open() as con:
        read = con.execute("select tag_id, observed_at, value_double from ot.readings order by 2").fetchall()
    by_tag: dict[str, list] = {}
    for tag, at, value in read:
        by_tag.setdefault(tag, []).append((at, value))
    rows = closed.sql(
        """
        select tag_id, entered_at, left_at, min_value, max_value, known_s from fct_visit_value
        inner join fct_station_visit using (scan_id) order by scan_id, tag_id
        """
    ).fetchall()
    assert rows and {tag for tag, *_ in rows} <= tags
    for tag, entered, left, least, greatest, known_s in rows[:: max(1, len(rows) // 200)]:
        before = [(at, value) for at, value in by_tag[tag] if at <= entered][-1:]
        during = [value for at, value in by_tag[tag] if entered < at < left]
        during += [value for at, value in before if entered - at < timedelta(hours=2)]
        known = [value for value in during if value is not None]
        assert (float(least), float(greatest)) == (min(known), max(known)), (tag, entered)
        assert 0 < known_s <= Decimal((left - entered).total_seconds())


def test_the_gates_read_what_was_built_and_stop_no_close_of_the_plant(closed):
    """Every row that a suite judges, by its own SQL: critical bounds hold, and the warnings are those of the truth."""
    from include.gate.rows import FUNCTIONS
    from include.gate.suites import find_suites
    from include.periods import between

    periods = between(catalog.calendar("riverside").periods, SHIFTS[0], SHIFTS[-1])
    closed.execute(FUNCTIONS)
    closed.execute("create temp table this_close as select 'riverside' as calendar")
    closed.execute("create temp table close_shifts (shift_id varchar)")
    closed.executemany("insert into close_shifts values (?)", [[period.name] for period in periods])
    built = {name for (name,) in closed.execute("select table_name from duckdb_tables()").fetchall()}
    mine = [s for s in find_suites("factorypack", "mart") if s.table in TRACED & built]
    assert {suite.table for suite in mine} == TRACED
    broken = set()
    for suite in mine:
        rows = closed.sql(suite.rows)
        for one in suite.expectations.expectations:
            if found := _broken(rows, one):
                broken.add((suite.table, one.column, one.severity.value, found))
    assert not [one for one in broken if one[2] == "critical"], broken
    assert {(table, column) for table, column, _, _ in broken} == {
        ("fct_genealogy_link", "unknown_inputs"), ("fct_lot_balance", "difference"),
        ("fct_trace_line_shift", "above_target"),
    }  # fmt: skip


def _broken(rows, one) -> int:
    if hasattr(one, "value_set"):
        bad = f"{one.column} not in ({', '.join(map(str, one.value_set))})"
    elif hasattr(one, "min_value"):
        limits = [(one.min_value, "<"), (one.max_value, ">")]
        bad = " or ".join(f"{one.column} {sign} {limit}" for limit, sign in limits if limit is not None)
    else:
        bad = f"{one.column} is null"
    return rows.filter(bad).aggregate("count(*)").fetchone()[0]
