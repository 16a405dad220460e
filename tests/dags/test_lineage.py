"""Names that join up, events stored exactly once, and questions answered from them."""

import json
from pathlib import Path

import pytest

from include.errors import DeclarationError
from include.lineage import store
from include.lineage.edges import Edge, edges
from include.lineage.models import lineage_of
from include.lineage.naming import dataset, mart_uri, model_uri, raw_uri
from include.lineage.questions import coverage, latest_edges, walk


def test_what_landing_writes_is_what_the_build_reads():
    assert dataset("iceberg://raw/fieldops__wells") == ("iceberg://lakehouse", "raw.fieldops__wells")
    assert dataset(raw_uri("fieldops__wells")) == dataset("iceberg://raw/fieldops__wells")
    assert dataset(mart_uri("energypack", "dim_well")) == ("iceberg://lakehouse", "energypack.dim_well")
    assert dataset(model_uri("energypack", "dim_well")) != dataset(mart_uri("energypack", "dim_well"))


@pytest.mark.parametrize("uri", ["raw.fieldops__wells", "iceberg://raw", "ftp://a/b", ""])
def test_a_name_that_is_no_dataset_is_refused(uri):
    with pytest.raises(DeclarationError):
        dataset(uri)


def event(number: int = 1, inputs=("a",), outputs=("b",), **more) -> dict:
    return {
        "eventType": "COMPLETE",
        "eventTime": f"2026-06-01T00:00:{number:02d}.000Z",
        "run": {"runId": f"run-{number}"},
        "job": {"namespace": "hnai", "name": "close.stage"},
        "inputs": [{"namespace": "n", "name": i} for i in inputs],
        "outputs": [{"namespace": "n", "name": o} for o in outputs],
        **more,
    }


@pytest.fixture
def table(monkeypatch):
    """`ops.lineage_events` as a list: rows arrive whole commits at a time."""
    rows: list[dict] = []

    def record(name, batch):
        assert name == "lineage_events"
        rows.extend(batch)
        return len(batch)

    def progress():
        highest: dict[str, int] = {}
        for row in rows:
            highest[row["segment"]] = max(row["byte_offset"], highest.get(row["segment"], 0))
        return highest

    monkeypatch.setattr("include.ops.store.record", record)
    monkeypatch.setattr(store, "_progress", progress)
    return rows


def write(folder: Path, *events: dict | str) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.writelines((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in events)


def test_each_event_is_stored_once_however_often_one_loads(tmp_path, table):
    write(tmp_path, event(1), event(2))
    assert store.load_events(tmp_path) == 2
    assert store.load_events(tmp_path) == 0

    write(tmp_path, event(3))
    assert store.load_events(tmp_path) == 1
    assert [row["run_id"] for row in table] == ["run-1", "run-2", "run-3"]


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path, table):
    write(tmp_path, event(1))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write(json.dumps(event(2))[:40])
    assert store.load_events(tmp_path) == 1

    with (tmp_path / "events.jsonl").open("a") as file:
        file.write(json.dumps(event(2))[40:] + "\n")
    assert store.load_events(tmp_path) == 1
    assert [row["run_id"] for row in table] == ["run-1", "run-2"]


def test_a_load_that_dies_after_its_commit_repeats_nothing(tmp_path, table, monkeypatch):
    monkeypatch.setattr(store, "EVENTS_PER_COMMIT", 2)
    write(tmp_path, *(event(n) for n in range(1, 6)))
    recorded = []

    def dying(name, batch):
        table.extend(batch)
        recorded.append(len(batch))
        if len(recorded) == 2:
            raise KeyboardInterrupt  # killed after the second commit was answered
        return len(batch)

    monkeypatch.setattr("include.ops.store.record", dying)
    with pytest.raises(KeyboardInterrupt):
        store.load_events(tmp_path)
    monkeypatch.setattr("include.ops.store.record", lambda name, batch: table.extend(batch) or len(batch))

    store.load_events(tmp_path)
    assert [row["run_id"] for row in table] == [f"run-{n}" for n in range(1, 6)]


def test_a_large_file_is_set_aside_and_what_still_comes_into_it_is_read(tmp_path, table, monkeypatch):
    monkeypatch.setattr(store, "SET_ASIDE_BYTES", 10)
    write(tmp_path, event(1))
    with (tmp_path / "events.jsonl").open("a") as slow_writer:
        store.load_events(tmp_path)
        assert not (tmp_path / "events.jsonl").exists()
        slow_writer.write(json.dumps(event(2)) + "\n")
    write(tmp_path, event(3))

    store.load_events(tmp_path)
    assert sorted(row["run_id"] for row in table) == ["run-1", "run-2", "run-3"]


def test_a_broken_line_is_kept_and_stops_nothing(tmp_path, table):
    write(tmp_path, event(1), '{"eventType": "COMPL', event(2))

    assert store.load_events(tmp_path) == 3
    assert [row["event_type"] for row in table] == ["COMPLETE", "UNREADABLE", "COMPLETE"]


def column_lineage(fields: dict, dataset: list) -> dict:
    def origin(name, column=""):
        return {"namespace": "n", "name": name, "field": column}

    return {
        "columnLineage": {
            "fields": {c: {"inputFields": [origin(*o) for o in origins]} for c, origins in fields.items()},
            "dataset": [origin(d) for d in dataset],
        }
    }


def test_an_output_that_names_its_inputs_is_not_tied_to_those_of_others():
    both = event(inputs=("raw_a", "raw_b"), outputs=())
    both["outputs"] = [
        {"namespace": "n", "name": "stg_a", "facets": column_lineage({"x": [("raw_a", "y")]}, ["raw_a"])},
        {"namespace": "n", "name": "stg_b", "facets": column_lineage({}, ["raw_b"])},
    ]

    assert set(edges(both)) == {
        Edge("n raw_a", "n stg_a", "close.stage"),
        Edge("n raw_a", "n stg_a", "close.stage", "y", "x"),
        Edge("n raw_b", "n stg_b", "close.stage"),
    }


GRAPH = [
    Edge("raw", "stg", "stage", "q", "rate"),
    Edge("raw", "stg", "stage"),
    Edge("stg", "fct", "mart"),
    Edge("stg", "fct", "mart", "rate", "oil"),
]


def test_upstream_and_downstream_walk_the_same_way_both_ways():
    assert [(d, e.source) for d, e in walk(GRAPH, "fct", "upstream")] == [(1, "stg"), (2, "raw")]
    assert [(d, e.target) for d, e in walk(GRAPH, "raw", "downstream")] == [(1, "stg"), (2, "fct")]
    assert [(e.source, e.source_column) for _, e in walk(GRAPH, "fct", "upstream", "oil")] == [
        ("stg", "rate"),
        ("raw", "q"),
    ]


def test_a_dataset_made_of_nothing_is_tied_to_no_input_of_its_job():
    calendar = event(inputs=("raw_a",), outputs=())
    calendar["outputs"] = [{"namespace": "n", "name": "int_days", "facets": column_lineage({}, [])}]

    assert set(edges(calendar)) == set()


def test_upkeep_of_a_table_is_no_step_on_the_way():
    assert walk([Edge("a", "a", "maintain.expire")], "a", "upstream") == []


def test_what_a_job_says_today_replaces_what_it_said_before():
    newer, older = event(2, inputs=("a",), outputs=("b",)), event(1, inputs=("a", "gone"), outputs=("b", "other"))

    found = latest_edges([newer, older])

    assert {(e.source, e.target) for e in found} == {("n a", "n b"), ("n a", "n other"), ("n gone", "n other")}


def test_a_circle_ends():
    assert len(walk([Edge("a", "b", "j"), Edge("b", "a", "j")], "a", "downstream")) == 2


def test_coverage_counts_tasks_that_name_both_sides():
    dag = event()
    dag["job"] = {"namespace": "hnai", "name": "close"}
    silent = event()
    silent["job"] = {"namespace": "hnai", "name": "close.silent"}
    silent["outputs"] = []

    assert coverage([event(), dag, silent]) == (1, 2)


def test_columns_are_followed_through_a_model_in_house_style():
    sql = """
        with latest as (
            select * from (
                select *, row_number() over (partition by id order by _commit_lsn desc) as place
                from "lakehouse"."raw"."fieldops__well_tests"
            ) as ordered
            where place = 1
        ),
        renamed as (select id as well_test_id, oil_rate as oil_rate_bbl_per_day from latest)
        select * from renamed
    """

    found = lineage_of("energypack", "stg_tests", sql, ["well_test_id", "oil_rate_bbl_per_day"])

    assert found.inputs == ("iceberg://raw/fieldops__well_tests",)
    assert found.columns["oil_rate_bbl_per_day"] == (("iceberg://raw/fieldops__well_tests", "oil_rate"),)


def test_a_macro_with_a_with_of_its_own_is_looked_through():
    sql = """
        with latest as (
            with numbered as (select *, row_number() over () as n from "lakehouse"."raw"."fieldops__wells")
            select * from numbered where n = 1 and case when x then true else error('no :) here') end
        ),
        renamed as (select id as well_id from latest)
        select * from renamed
    """

    found = lineage_of("energypack", "stg_wells", sql, ["well_id"])

    assert found.inputs == ("iceberg://raw/fieldops__wells",)
    assert found.columns == {"well_id": (("iceberg://raw/fieldops__wells", "id"),)}


def test_a_mart_of_two_models_keeps_their_columns_apart():
    sql = """
        with joined as (
            select t.well_id, w.name as well_name, t.oil * 2 as oil_sm3
            from "x"."main"."stg_tests" as t inner join "x"."main"."stg_wells" as w on w.well_id = t.well_id
        )
        select * from joined
    """

    found = lineage_of("energypack", "fct", sql, ["well_id", "well_name", "oil_sm3"])

    assert found.inputs == ("workspace://energypack/stg_tests", "workspace://energypack/stg_wells")
    assert found.columns["well_name"] == (("workspace://energypack/stg_wells", "name"),)
    assert found.columns["oil_sm3"] == (("workspace://energypack/stg_tests", "oil"),)


def test_columns_are_followed_through_the_inputs_first_style():
    sql = """
        with tests as (select *, date '2026-01-01' as production_date from "x"."main"."stg_tests"),
        wells as (select * from "x"."main"."int_wells" where calendar = 'permian'),
        joined as (
            select wells.calendar, tests.well_id, cast(tests.oil_rate * 2 as decimal(38, 6)) as oil
            from tests inner join wells on tests.well_id = wells.well_id
        )
        select * from joined
    """

    found = lineage_of("energypack", "fct", sql, ["calendar", "well_id", "oil"])

    assert found.columns["calendar"] == (("workspace://energypack/int_wells", "calendar"),)
    assert found.columns["oil"] == (("workspace://energypack/stg_tests", "oil_rate"),)


def test_what_was_published_before_is_an_input_too():
    sql = """
        with days as (
            select * from "x"."main"."fct_daily" where false
            union all by name
            select * from lakehouse.energypack.fct_daily at (version => 123)
        )
        select * from days
    """

    found = lineage_of("energypack", "fct_monthly", sql, ["oil_sm3"])

    assert found.inputs == ("iceberg://energypack/fct_daily", "workspace://energypack/fct_daily")


def test_sql_that_nobody_can_parse_has_no_lineage_and_does_no_harm():
    assert lineage_of("energypack", "odd", "this is not sql at all (", ["a"]).inputs == ()
