"""A table that the source has is declared and staged by one command; what cannot be told is asked for."""

import pytest
import yaml

from include.add_table import Column, SourceTable, write
from include.catalog import Source, Table
from include.errors import DeclarationError

WELL_TESTS = Table(
    source="yard",
    name="well_tests",
    identifier="yard__well_tests",
    pack="energypack",
    key=("id",),
    owner="field-data",
    zone="@field",
    zone_lookup={"column": "well_id", "paths": [["wells.field_code", "fields.zone"]]},
    local_times=("dt",),
)
YARD = Source("yard", "energypack", "field-data", "*/5 * * * *", "yard", (WELL_TESTS,))
EXISTING = """\
# a comment that stays
sources:
  - name: yard
    config: {meta: {land: {every: "*/5 * * * *", owner: field-data}}}
    tables:
      - name: well_tests
        identifier: yard__well_tests
        config: {meta: {land: {key: [id]}}}
"""


def pump_checks(**other) -> SourceTable:
    known = {
        "source": "yard",
        "name": "pump_checks",
        "schema": "public",
        "columns": (
            Column("id", "bigint"),
            Column("well_id", "text"),
            Column("checked_at", "timestamp without time zone"),
            Column("amps", "numeric", "Motor current, in A: highest of the check."),
            Column("note", "text"),
        ),
        "key": ("id",),
        "has_full_identity": False,
    }
    return SourceTable(**known | other)


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "energypack" / "staging" / "yard"
    folder.mkdir(parents=True)
    (folder / "_yard__sources.yml").write_text(EXISTING)
    return tmp_path


def test_the_entry_tells_key_zone_and_long_values(models):
    path, *_ = write(pump_checks(), YARD, models=models)

    text = path.read_text()
    assert text.startswith("# a comment that stays")
    (declared,) = yaml.safe_load(text)["sources"]
    assert [t["name"] for t in declared["tables"]] == ["well_tests", "pump_checks"]
    assert declared["tables"][1]["config"]["meta"]["land"] == {
        "key": ["id"],
        "zone": "@field",
        "zone_lookup": {"column": "well_id", "paths": [["wells.field_code", "fields.zone"]]},
        "local_times": ["checked_at"],
        "toasted": ["note"],
        "drift": {"default": "evolve"},
    }


def test_the_staging_model_takes_the_latest_row_and_utc_instants(models):
    _, sql, yml = write(pump_checks(), YARD, models=models)

    assert sql.name == "stg_yard__pump_checks.sql"
    assert sql.read_text() == (
        "with latest as (\n    {{ latest('yard', 'pump_checks') }}\n),\n\n"
        "renamed as (\n    select\n        id as pump_check_id,\n        well_id,\n"
        "        checked_at_utc as checked_at,\n        amps,\n        {{ carried('note') }} as note\n"
        "    from latest\n)\n\n"
        "select * from renamed\n"
    )
    (model,) = yaml.safe_load(yml.read_text())["models"]
    assert [c["name"] for c in model["columns"]] == ["pump_check_id", "well_id", "checked_at", "amps", "note"]
    assert model["columns"][3]["description"] == "Motor current, in A: highest of the check."


def test_a_full_replica_identity_needs_no_carrying(models):
    path, sql, _ = write(pump_checks(has_full_identity=True), YARD, models=models)

    assert "toasted" not in path.read_text()
    assert "carried" not in sql.read_text()


def test_a_local_time_whose_zone_nothing_tells_is_asked_for(models):
    elsewhere = pump_checks(columns=(Column("id", "bigint"), Column("checked_at", "timestamp without time zone")))

    with pytest.raises(DeclarationError, match="ZONE="):
        write(elsewhere, YARD, models=models)
    assert (models / "energypack/staging/yard/_yard__sources.yml").read_text() == EXISTING
    write(elsewhere, YARD, "Europe/Oslo", models=models)


def test_a_table_without_a_key_is_refused(models):
    with pytest.raises(DeclarationError, match="no primary key"):
        write(pump_checks(key=()), YARD, models=models)


def test_a_table_is_declared_once(models):
    with pytest.raises(DeclarationError, match="declared already"):
        write(pump_checks(name="well_tests"), YARD, models=models)
