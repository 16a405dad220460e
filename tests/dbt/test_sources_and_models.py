"""What is declared and what is modelled fit together."""

import re

from include.catalog import DBT, MODELS, feeds, marts, sources

STAGING = {p.stem: p.read_text() for p in MODELS.rglob("stg_*.sql")}


def test_every_source_table_of_the_application_has_a_staging_model():
    captured = {f"stg_{t.identifier}" for s in sources() for t in s.tables if t.schema == "public"}
    filed = {f"stg_{f.identifier}" for f in feeds()}
    mirrored = {"stg_ot__readings", "stg_ot__gaps", "stg_machines__readings", "stg_machines__gaps"}

    assert captured | filed | mirrored == set(STAGING)


def test_a_staging_model_reads_long_values_through_carried():
    """PostgreSQL may leave them out of a change; read bare they would be null then."""
    import yaml

    for path in MODELS.rglob("*__sources.yml"):
        for source in yaml.safe_load(path.read_text())["sources"]:
            for table in source["tables"]:
                toasted = table.get("config", {}).get("meta", {}).get("land", {}).get("toasted", [])
                model = STAGING.get(f"stg_{source['name']}__{table['name']}", "")
                assert set(toasted) == set(re.findall(r"carried\('(\w+)'\)", model)), table["name"]


def test_a_staging_model_never_reads_a_local_time_as_an_instant():
    for source in sources():
        for table in source.tables:
            model = STAGING.get(f"stg_{table.identifier}", "")
            for column in table.local_times:
                assert re.search(rf"\b{column}_utc\b", model), f"{table.name}.{column}"
                assert not re.search(rf"^\s*{column}\b", model, re.MULTILINE), f"{table.name}.{column}"


def test_the_mirror_s_tables_are_declared_with_the_columns_that_staging_reads():
    """They have no `meta.land` and no `meta.feed`, so nothing else checks their names."""
    from include.ot.tables import GAPS, GAPS_TABLE, READINGS, READINGS_TABLE

    assert (READINGS_TABLE, GAPS_TABLE) == ("ot.readings", "ot.gaps")
    macros = (DBT / "macros" / "ot.sql").read_text()
    readings, gaps = (macros.split(f"macro {name}(")[1].split("endmacro")[0] for name in ("ot_readings", "ot_gaps"))
    read = set(re.findall(r"\breadings\.(\w+)", readings))
    assert {"tag_id", "observed_at", "value_bool", "_ordinal"} < read <= set(READINGS.names)
    kept = gaps.rsplit("select", 1)[1].split("from numbered")[0]
    assert set(re.findall(r"\w+", kept)) <= set(GAPS.names)


def test_every_mart_can_be_published():
    """The window column, the key and the calendar are columns of it, and its types are storable in Iceberg."""
    storable = {"varchar", "date", "integer", "bigint", "boolean", "timestamp with time zone"}
    found = marts("energypack")

    assert {m.name for m in found} >= {
        "dim_date", "dim_well", "dim_facility", "fct_well_production_daily", "fct_field_production_daily",
        "fct_field_production_monthly", "fct_gas_measurement_hourly", "fct_well_scada_hourly", "fct_well_test",
    }  # fmt: skip
    for mart in found:
        assert "calendar" in mart.columns and set(mart.key) <= set(mart.columns)
        assert mart.window == "all" or mart.window in mart.columns
        assert mart.owner and mart.description
        for name, data_type in mart.columns.items():
            assert data_type in storable or re.fullmatch(r"decimal\(\d+, \d+\)", data_type), (
                f"{mart.name}.{name}: {data_type}"
            )
