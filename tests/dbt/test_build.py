"""A close builds from raw at its cut-off, and its figures are those of the source."""

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import duckdb
import pyarrow as pa
import pytest

from include.build import BuildFailed, build_layer
from tests.dbt.operator_lake import CORRECTED_AT, at_position

pytestmark = pytest.mark.platform
FIRST, LAST = date(2024, 2, 10), date(2024, 2, 12)
FACTOR = {"bbl": Decimal("0.158987294928"), "mcf": Decimal("28.328")}


def built(close, *layers: str) -> duckdb.DuckDBPyConnection:
    for layer in layers or ("stage", "mart"):
        build_layer(close, layer)
    return duckdb.connect(str(close.workspace), read_only=True)


def in_sm3(volume: Decimal | None, unit: str) -> Decimal | None:
    if volume is None or unit == "sm3":
        return volume
    return (volume * FACTOR[unit]).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)


def readings(operator: dict[str, pa.Table], fields: set[str], first: date, last: date) -> list[dict]:
    fields_of = {r["well_id"]: r["field_code"] for r in operator["wells"].to_pylist()}
    rows = operator["daily_readings"].to_pylist()
    return [r for r in rows if fields_of[r["well_id"]] in fields and first <= r["production_date"] <= last]


def test_every_figure_of_the_close_is_the_source_s_own(operator, close_of):
    con = built(close_of("permian", FIRST, LAST, "first"))
    got = con.sql(
        "select well_id, production_date, oil_reported, oil_sm3, gas_sm3, water_sm3 from fct_well_production_daily"
    ).fetchall()
    expected = {
        (r["well_id"], r["production_date"]): (
            r["oil_volume"],
            in_sm3(r["oil_volume"], r["liquid_unit"]),
            in_sm3(r["gas_volume"], r["gas_unit"]),
            in_sm3(r["water_volume"], r["liquid_unit"]),
        )
        for r in readings(operator, {"EAGLE", "MESQUITE"}, FIRST, LAST)
    }

    assert len(expected) > 10
    assert {(w, d): tuple(v) for w, d, *v in got} == expected
    totals = con.sql("select sum(oil_sm3), sum(gas_sm3) from fct_field_production_daily").fetchone()
    assert totals == con.sql("select sum(oil_sm3), sum(gas_sm3) from fct_well_production_daily").fetchone()
    assert con.sql("select count(*) from dim_date").fetchone() == (3,)


def test_what_comes_after_the_cut_off_changes_only_closes_that_froze_later(operator, close_of):
    """A correction, a delete and a key change at commit 2000; the close at commit 1000 builds the same as before."""
    from include import lakehouse

    rows = readings(operator, {"NORDLYS"}, FIRST, LAST)
    corrected, deleted = rows[0], rows[1]
    schema = operator["daily_readings"].schema
    changes = [{**corrected, "oil_volume": Decimal("123.456789")}, {"reading_id": deleted["reading_id"]}]
    for op, change in zip("ud", changes, strict=True):
        lakehouse.append(
            "raw.fieldops__daily_readings",
            at_position(pa.Table.from_pylist([change], schema=schema), op, CORRECTED_AT),
        )
    figures = "select well_id, production_date, oil_reported from fct_well_production_daily order by all"
    before = built(close_of("north_sea", FIRST, LAST, "before")).sql(figures).fetchall()
    after = built(close_of("north_sea", FIRST, LAST, "after", commit=CORRECTED_AT)).sql(figures).fetchall()

    assert len(before) == len(rows)
    key = (corrected["well_id"], corrected["production_date"])
    assert (*key, corrected["oil_volume"]) in before
    assert (*key, Decimal("123.456789")) in after
    gone = (deleted["well_id"], deleted["production_date"], deleted["oil_volume"])
    assert set(before) - set(after) == {(*key, corrected["oil_volume"]), gone}


def test_a_month_holds_the_days_published_before_and_those_of_the_close(operator, close_of):
    """The close of the next day reads the mart at the snapshot that it froze, from before it had its last column."""
    from include import lakehouse

    con = built(close_of("permian", date(2024, 2, 8), date(2024, 2, 8), "day-8"))
    day = con.sql("select * from fct_field_production_daily").to_arrow_table()
    day = day.drop_columns("full_downtime_h")
    lakehouse.ensure_table("energypack.fct_field_production_daily", day.schema)
    snapshot = lakehouse.append("energypack.fct_field_production_daily", day)
    lakehouse.append("energypack.fct_field_production_daily", day)  # published after the freeze: must not count
    close = close_of(
        "permian", date(2024, 2, 9), date(2024, 2, 9), "day-9", history={"fct_field_production_daily": snapshot}
    )
    con = built(close)
    eighth = {r["field_code"]: r["oil_sm3"] for r in day.to_pylist()}

    months = con.sql("select field_code, month, days_closed, days_in_month, oil_sm3 from fct_field_production_monthly")
    ninth = dict(con.sql("select field_code, oil_sm3 from fct_field_production_daily").fetchall())
    assert sorted(months.fetchall()) == [
        (field, date(2024, 2, 1), 2, 29, eighth[field] + ninth[field]) for field in sorted(ninth)
    ]


def test_a_failed_data_test_names_itself_and_the_rows(operator, close_of):
    from include import lakehouse

    row = {**operator["fields"].to_pylist()[0], "field_code": "NEWFIELD"}
    new = pa.Table.from_pylist([row], schema=operator["fields"].schema)
    lakehouse.append("raw.fieldops__fields", at_position(new, "c", 3000))

    with pytest.raises(BuildFailed) as failure:
        build_layer(close_of("permian", FIRST, LAST, "new-field", commit=3000), "stage")

    assert "every_field_has_a_calendar" in str(failure.value)
    assert "NEWFIELD" in str(failure.value)


def test_a_value_that_was_not_sent_again_and_is_not_known_stops_the_build(operator, close_of):
    """Well names are not declared as toasted, so nothing carries them forward; a null would be a lie."""
    from include import lakehouse

    row = {**operator["wells"].to_pylist()[0], "well_name": None}
    change = at_position(pa.Table.from_pylist([row], schema=operator["wells"].schema), "u", 2500)
    change = change.set_column(change.column_names.index("_unchanged"), "_unchanged", pa.array(["well_name"]))
    lakehouse.append("raw.fieldops__wells", change)

    with pytest.raises(BuildFailed, match="a value was not sent again and no earlier one is known"):
        build_layer(close_of("permian", FIRST, LAST, "unsent", commit=2500), "stage")


def test_results_are_recorded(close_of):
    from include.ops.store import read

    rows = read("model_runs", run_id="first", layer="mart", kind="model")

    assert {r["status"] for r in rows} == {"success"}
    assert next(r["rows"] for r in rows if r["model"] == "dim_date") == 3
