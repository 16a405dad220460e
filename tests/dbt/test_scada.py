"""What EnergyPack makes of SCADA readings, against a plain Python that was written from the definition."""

import csv
import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pytest

from include.build import build_layer, run_dbt
from include.catalog import DBT, calendar, marts
from include.contract_day import ContractDay
from include.ot.reading import BAD_NO_COMMUNICATION, BAD_SENSOR_FAILURE, GOOD
from include.periods import between
from tests.dbt.scada_by_hand import HOUR, Missing, Point, Row, hours_of, scada_hours

WELLS = {"permian": ("EAG-01", "EAG-02", "MES-01"), "north_sea": ("NOR-01", "NOR-02")}
UNCERTAIN_SENSOR = 0x40930000
FREEZE = 1000  # the commit of ot.readings up to which a close reads


def compiled(tmp_path, expression: str) -> str:
    """An expression of macros as the SQL that runs."""
    outcome = run_dbt(["compile", "--inline", "select {{ " + expression + " }} as x"], None, tmp_path, target="plain")
    assert outcome.success, outcome.exception
    return outcome.result.results[0].node.compiled_code


@pytest.mark.platform  # needs none, but its dozen of builds take long
def test_units_are_converted_exactly_and_unknown_ones_stop_the_build(tmp_path):
    cases = {
        "to_kpa": {
            "psi": "6.894757293168",
            "bar": "100",
            "kpa": "1",
            "mbar": "0.1",
            "mpa": "1000",
            "pa": "0.001",
            "atm": "101.325",
        },
        "to_share": {"pct": "0.01", "1": "1"},
        "rate_to_sm3_per_d": {
            "sm3_per_d": "1",
            "sm3_per_h": "24",
            "bbl_per_d": "0.158987294928",
            "bbl_per_h": "3.815695078272",
            "mcf_per_d": "28.328",
            "mcf_per_h": "679.872",
        },
    }
    values = [Decimal(v) for v in ("0", "-0.0000005", "0.0000015", "1.123456789012", "987654.321", "999999999.999999")]
    with duckdb.connect() as con:
        for macro, factors in cases.items():
            sql = compiled(tmp_path, f"{macro}('v', 'u')")
            for unit, factor in factors.items():
                for value in values:
                    got = con.execute(f"{sql} from (select {value}::decimal(38, 12) as v, '{unit}' as u)").fetchone()[0]
                    expected = (value * Decimal(factor)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
                    assert got == expected, (macro, unit, value)
            with pytest.raises(duckdb.Error, match="unit furlong is not known"):
                con.execute(f"{sql} from (select 1::decimal(38, 12) as v, 'furlong' as u)").fetchall()
            assert con.execute(f"{sql} from (select null::decimal(38, 12) as v, 'furlong' as u)").fetchone() == (None,)
        sql = compiled(tmp_path, "to_degc('v', 'u')")
        for unit, value, expected in (
            ("degf", "77", "25"),
            ("degf", "-459.67", "-273.15"),
            ("degf", "33", "0.555556"),
            ("degc", "20.1234565", "20.123456"),
            ("k", "273.16", "0.01"),
        ):
            got = con.execute(f"{sql} from (select {value}::decimal(38, 12) as v, '{unit}' as u)").fetchone()[0]
            assert got == Decimal(expected), unit


# On the lakehouse ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def points() -> list[Point]:
    with (DBT / "seeds" / "energypack" / "energypack_tags.csv").open(newline="") as lines:
        return [Point(r["tag_id"], r["asset_id"], r["measurement"], r["source"]) for r in csv.DictReader(lines)]


@pytest.fixture(scope="module")
def units() -> dict[str, str]:
    with (DBT / "seeds" / "energypack" / "energypack_tags.csv").open(newline="") as lines:
        return {r["tag_id"]: r["unit"] for r in csv.DictReader(lines)}


def land(rows: list[Row], gaps: list[tuple[Missing, int]] = ()) -> None:
    """Append rows to the mirror's tables, in no order."""
    from include import lakehouse
    from include.ot.tables import GAPS, READINGS, ensure

    ensure()
    rows = random.Random(1).sample(rows, len(rows))
    now = datetime(2024, 3, 20, tzinfo=UTC)
    lakehouse.append(
        "ot.readings",
        pa.Table.from_pylist(
            [
                {
                    "tag_id": r.tag_id,
                    "observed_at": r.observed_at,
                    "sequence": r.sequence,
                    "value_double": None if isinstance(r.value, bool) else r.value,
                    "value_bool": r.value if isinstance(r.value, bool) else None,
                    "quality": r.quality,
                    "clock": r.clock,
                    "received_at": r.observed_at,
                    "unit": r.unit,
                    "landed_at": now,
                    "_segment_id": "test",
                    "_ordinal": r.ordinal,
                }
                for r in rows
            ],
            READINGS,
        ),
    )
    if gaps:
        lakehouse.append(
            "ot.gaps",
            pa.Table.from_pylist(
                [
                    {
                        "gap_id": f"{g.cause} {g.from_at:%d %H:%M}",
                        "tag_id": g.tag_id,
                        "source": "test",
                        "from_at": g.from_at,
                        "to_at": g.to_at,
                        "cause": g.cause,
                        "state": g.state,
                        "recorded_at": now,
                        "_ordinal": ordinal,
                    }
                    for g, ordinal in gaps
                ],
                GAPS,
            ),
        )


def irregular(points, units, starts_at: datetime, ends_at: datetime) -> list[Row]:
    """Samples as a plant gives them: at odd times, some bad, uncertain, absurd, twice at a time or in another unit."""
    rng, rows = random.Random(20), []
    for point in points:
        level = rng.uniform(5, 500)
        at = starts_at - timedelta(minutes=rng.uniform(0, 150))
        if point.measurement in ("choke_opening", "is_running"):  # told once, days ago, and seldom since
            value = True if point.measurement == "is_running" else round(level, 3)
            told = starts_at - timedelta(days=rng.uniform(1, 34))
            rows.append(Row(point.tag_id, told, 0, value, GOOD, "source", units[point.tag_id], 1))
            at = starts_at + timedelta(hours=rng.uniform(1, 30))
        while at < ends_at:
            quality = rng.choices((GOOD, BAD_SENSOR_FAILURE, UNCERTAIN_SENSOR), (90, 5, 5))[0]
            value: float | bool | None = round(level * rng.uniform(0.9, 1.1), rng.choice((0, 1, 3, 6)))
            if point.measurement == "is_running":
                value = rng.random() < 0.6
            elif rng.random() < 0.01:
                value = rng.choice((0.0, -3.5, 2e9, float("-1e300")))
            bad = quality == BAD_SENSOR_FAILURE
            unit = "kpa" if units[point.tag_id] == "psi" and rng.random() < 0.02 else units[point.tag_id]
            row = Row(point.tag_id, at, 0, None if bad else value, quality, "source", unit, rng.randrange(1, FREEZE))
            rows.append(row)
            if rng.random() < 0.05 and not isinstance(value, bool):
                rows.append(replace(row, sequence=1, value=round(level, 2), quality=GOOD))
            if rng.random() < 0.03:  # the same key once more, and what came too late to be read
                rows.append(replace(row, ordinal=row.ordinal + 1, quality=BAD_SENSOR_FAILURE, value=None))
                rows.append(replace(row, observed_at=at + timedelta(seconds=1), ordinal=FREEZE + 1))
            step = 9000 if point.measurement in ("choke_opening", "is_running") else rng.choice((2, 60, 600))
            at += timedelta(microseconds=rng.randrange(1, step * 1_000_000))
    return rows


def closed(close_of, name: str, first: date, last: date, run_id: str, cut: int | None = FREEZE):
    close = close_of(name, first, last, run_id)
    if cut is not None:
        close = replace(close, cut_off={**close.cut_off, "ot": {"epoch": 0, "commit_lsn": cut}})
    results = [r for layer in ("stage", "mart") for r in build_layer(close, layer)]
    con = duckdb.connect(str(close.workspace), read_only=True)
    con.execute("set TimeZone = 'UTC'")
    return con, results


def as_built(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, datetime], dict]:
    rows = con.sql("select * from fct_well_scada_hourly").to_arrow_table().to_pylist()
    return {(r["well_id"], r["started_at"].astimezone(UTC)): r for r in rows}


@pytest.mark.platform
@pytest.mark.parametrize("name", ["permian", "north_sea"])
def test_every_figure_of_the_hours_is_that_of_the_definition(operator, close_of, points, units, name):
    """Three days around the one on which the clocks go forward; gaps of every kind, and a source silent for hours."""
    site = calendar(name)
    first, last = {
        "permian": (date(2024, 3, 8), date(2024, 3, 10)),
        "north_sea": (date(2024, 3, 30), date(2024, 4, 1)),
    }[name]
    day = ContractDay(site.zone, site.contract_hour)
    hours = hours_of(day, first, last)
    assert len(hours) == 71
    starts_at, ends_at = hours[0][1], hours[-1][2]
    mine = [p for p in points if p.well_id in WELLS[name]]
    silent = starts_at + timedelta(hours=40), starts_at + timedelta(hours=46)  # of field_rtu
    rows = [
        r
        for r in irregular(mine, units, starts_at, ends_at)
        if not (silent[0] < r.observed_at < silent[1] and r.tag_id.endswith(("_rate", "is_running")))
    ]
    told: list[tuple[Missing, int]] = []
    for tag_id, hour, minutes, cause, states in (
        ("tubing_head_pressure", 3.2, 50, "connection_lost", ("open", "lost")),
        ("tubing_head_pressure", 3.9, 30, "bridge_stopped", ("open",)),
        ("casing_pressure", 6, 90, "connection_lost", ("open", "backfilled")),
        ("oil_rate", 8.5, 200, "outbox_full", ("open", "lost")),
        ("choke_opening", 0, 120, "bridge_stopped", ("open",)),
        ("is_running", -30, 300, "spool_corrupt", ("lost",)),
        ("gas_rate", 20, 30, "no_response", ("dismissed",)),
        ("tubing_head_temperature", 70.5, 300, "connection_lost", ("lost",)),
    ):
        for well in WELLS[name]:
            from_at = starts_at + timedelta(hours=hour)
            gap = Missing(f"{well}.{tag_id}", from_at, from_at + timedelta(minutes=minutes), cause, states[-1])
            told += [(replace(gap, state=state), 10 + n) for n, state in enumerate(states)]
            told.append((replace(gap, state="dismissed"), FREEZE + 1))  # after the freeze
    for well in WELLS[name]:
        for tag, hour in (("casing_pressure", 6.5), ("tubing_head_pressure", 30), ("casing_pressure", -1)):
            at, tag_id = starts_at + timedelta(hours=hour), f"{well}.{tag}"
            rows.append(Row(tag_id, at, 0, None, BAD_NO_COMMUNICATION, "bridge", units[tag_id], 5))
    land(rows, told)
    con, results = closed(close_of, name, first, last, f"scada-{name}")

    built = as_built(con)
    wells = {well: field for well, field in con.sql("select well_id, field_code from dim_well").fetchall()}
    known = [r for r in rows if r.ordinal <= FREEZE]
    latest = {(g.tag_id, g.from_at): g for g, ordinal in told if ordinal <= FREEZE}
    expected = scada_hours(points, known, list(latest.values()), hours, name, wells)

    assert set(WELLS[name]) <= set(wells)
    assert len(expected) == 71 * len(WELLS[name])
    assert built.keys() == expected.keys()
    columns = next(m.columns for m in marts("energypack") if m.name == "fct_well_scada_hourly")
    for key, row in expected.items():
        assert set(row) == set(columns)
        assert {k: v for k, v in built[key].items() if k not in ("started_at", "ended_at")} == {
            k: v for k, v in row.items() if k not in ("started_at", "ended_at")
        }, key
    figures = [v for row in expected.values() for k, v in row.items() if isinstance(v, Decimal)]
    assert len(figures) > 1500 and sum(v != v.to_integral_value() for v in figures) > 800
    assert sum(r.name == "fct_well_scada_hourly" and r.status == "success" for r in results) == 1


@pytest.mark.platform
def test_the_daily_mart_has_scada_beside_the_record_and_null_where_it_saw_nothing(operator, close_of, units):
    day, starts_at = date(2024, 1, 25), datetime(2024, 1, 25, 13, tzinfo=UTC)
    rows = [
        Row(f"EAG-01.{tag}", starts_at + n * HOUR, 0, value(n), GOOD, "source", units[f"EAG-01.{tag}"], 3)
        for tag, value in (("oil_rate", lambda n: 240.0 if n < 18 else 0.0), ("is_running", lambda n: n < 18))
        for n in range(24)
    ]
    land(rows)
    scada = (
        "scada_hours_on, scada_hours_known, scada_oil_sm3, scada_oil_hours_known, scada_gas_sm3, scada_gas_hours_known"
    )
    before, _ = closed(close_of, "permian", day, day, "scada-before", cut=None)
    without, _ = closed(close_of, "permian", day, day, "scada-without", cut=2)
    con, _ = closed(close_of, "permian", day, day, "scada-daily", cut=3)
    figures = f"select {scada} from fct_well_production_daily where well_id = "

    # 18 h of 240 bbl/d are 180 bbl, 10 bbl an hour: 18 x 1.589873 (10 x 0.158987294928 to six decimals)
    assert con.sql(figures + "'EAG-01'").fetchone() == (18, 24, Decimal("28.617714"), 24, None, 0)
    assert con.sql(figures + "'EAG-02'").fetchone() == (None,) * 6
    assert con.sql(
        "select scada_hours_on, scada_oil_sm3, scada_gas_sm3 from fct_field_production_daily order by field_code"
    ).fetchall() == [
        (18, Decimal("28.617714"), None),
        (None, None, None),
    ]
    record = "select * exclude (" + scada + ") from fct_well_production_daily order by all"
    for other in (before, without):
        assert other.sql("select count(*) from fct_well_scada_hourly").fetchone() == (0,)
        assert other.sql(
            f"select count(*) from fct_well_production_daily where {scada.split(',')[0]} is not null"
        ).fetchone() == (0,)
        assert other.sql(record).fetchall() == con.sql(record).fetchall()


@pytest.mark.platform
def test_what_the_mirror_took_in_later_is_a_cause_per_well_and_day(lake_platform):
    """Two readings on the contract day of 5 July and one on the next, a gap over both; other days are not asked for."""
    from include.publish.cause import mirrored

    noon = datetime(2023, 7, 5, 12, tzinfo=UTC)  # when the contract day starts
    hours = {-1: 21, 3: 20, 4: 21, 5: 21, 30: 21, 60: 21}  # after noon: commit
    rows = [Row("EAG-01.oil_rate", noon + h * HOUR, 0, 1.0, GOOD, "source", "bbl_per_d", n) for h, n in hours.items()]
    gap = Missing("EAG-01.oil_rate", noon + 20 * HOUR, noon + 28 * HOUR, "no_response", "lost")
    land([*rows, Row("PACK-01.speed", noon + HOUR, 0, 1.0, GOOD, "source", "1", 21)], [(gap, 22)])
    old, new = ({"ot": {"epoch": 0, "commit_lsn": n}} for n in (20, 22))
    close = SimpleNamespace(
        pack="energypack",
        cut_off=new,
        periods=between(calendar("permian").periods, "2023-07-05", "2023-07-06"),
    )

    found = mirrored(close, [old])

    assert [m.text for m in found] == [
        "ot: lost gaps of EAG-01 on 2023-07-05: 1",
        "ot: readings of EAG-01 on 2023-07-05: 2",
        "ot: lost gaps of EAG-01 on 2023-07-06: 1",
        "ot: readings of EAG-01 on 2023-07-06: 1",
    ]
    assert {(m.values, m.periods) for m in found} == {
        (frozenset({"EAG-01"}), frozenset({day})) for day in ("2023-07-05", "2023-07-06")
    }
    assert mirrored(close, [new]) == []
    assert len(mirrored(close, [{}])) == 4


@pytest.mark.platform
def test_readings_are_scanned_for_the_window_alone(operator, close_of):
    """The bounds are constants to the planner, so that files of other days are not read."""
    from include import lakehouse

    at = datetime(
        2023, 6, 10, 12, tzinfo=UTC
    )  # within 10 June, 12:00 to 12:00 UTC being the contract day of 07:00 Central
    days = (-3, 0, 1, 40)
    land([Row("EAG-01.oil_rate", at + timedelta(days=n), 0, 1.0, GOOD, "source", "bbl_per_d", 3) for n in days])
    day = date(2023, 6, 10)
    con, results = closed(close_of, "permian", day, day, "scada-explain", cut=3)
    path = con.sql("select path from duckdb_databases() where path is not null").fetchone()[0]
    assert con.sql("select count(*) from stg_ot__readings").fetchone() == (2,)
    con.close()
    (model,) = [r for r in results if r.name == "stg_ot__readings"]
    with lakehouse.connect() as engine:
        engine.execute(f"attach '{path}' as workspace (read_only)")
        plan = engine.execute("explain (analyze, format json) " + model.compiled.read_text()).fetchone()[1]
    scans = sorted((scan["Filters"], scan["Total Files Read"]) for scan in _scans(json.loads(plan)))

    bounds = [
        ("2023-05-06 12", "2023-06-10 06"),
        ("2023-06-10 06", "2023-06-10 12"),
        ("2023-06-10 12", "2023-06-11 12"),
    ]
    assert len(scans) == 3
    for (filters, files), (first, last), read in zip(scans, bounds, (1, 0, 1), strict=True):
        assert f"observed_at>='{first}:00:00+00'" in str(filters) and f"observed_at<'{last}:00:00+00'" in str(filters)
        assert int(files) <= read + 1, filters  # a file of the day on the window's edge may be opened


def _scans(node) -> list[dict]:
    """What a plan says of each scan of the lakehouse."""
    nodes = node if isinstance(node, list) else [node]
    found = [n["extra_info"] for n in nodes if n.get("operator_name") == "ICEBERG_SCAN"]
    return found + [scan for n in nodes for child in n.get("children", []) for scan in _scans(child)]
