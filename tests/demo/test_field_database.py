"""Loading, catching up, the day's work and the bad days, in a real PostgreSQL."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from demo.bad_day import KINDS, NotNow, Site, in_force
from demo.churn import NEW_COLUMNS, add_column, churn
from demo.load import catch_up, deliver, fill, load, remembered
from demo.operator import generate, operate

pytestmark = pytest.mark.platform

NOON = datetime(2026, 11, 10, 15, tzinfo=UTC)
SMALL = {"days": 60, "wells": 10, "seed": 4}
UNBALANCED = "select journal_id from ledger_entries group by 1 having sum(debit_usd) <> sum(credit_usd)"


@pytest.fixture
def database(field_database) -> str:
    fill(field_database, **SMALL, as_of=NOON)
    return field_database


def ask(dsn: str, query: str, *values) -> list[tuple]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, values or None).fetchall()


def contents(dsn: str, table: str) -> list[tuple]:
    return ask(dsn, f"select * from {table} order by 1")


def test_every_row_arrives_and_the_stream_may_read_it(field_database):
    tables = generate(**SMALL, as_of=NOON)

    assert load(field_database, tables) == sum(table.num_rows for table in tables.values())
    for name, table in tables.items():
        assert ask(field_database, f"select count(*) from {name}") == [(table.num_rows,)]
    exact = tables["daily_readings"].to_pandas()["oil_volume"].dropna().sum()
    assert ask(field_database, "select sum(oil_volume) from daily_readings") == [(exact,)]
    assert ask(field_database, "select has_table_privilege('cdc', 'wells', 'select')") == [(True,)]


def test_loading_again_replaces_and_keeps_columns_that_were_added(database):
    add_column(database)
    load(database, generate(**SMALL, as_of=NOON))

    table, column, _ = NEW_COLUMNS[0]
    assert ask(database, f"select count({column}) from {table}") == [(0,)]


def test_long_text_is_stored_out_of_line(database):
    sizes = ask(
        database,
        "select relname from pg_class where pg_relation_size(reltoastrelid) > 0"
        " and relnamespace = 'public'::regnamespace",
    )

    assert {"wells", "work_orders"} <= {name for (name,) in sizes}


def test_catching_up_equals_loading_later(database):
    config, _ = remembered(database)
    later = NOON + timedelta(days=3)
    added = catch_up(database, later)
    expected = operate(config, later).tables()

    assert added["daily_readings"] == 30
    assert catch_up(database, later) == {}
    for name in ("daily_readings", "meter_volumes", "run_tickets", "ledger_entries", "downtime_events", "work_orders"):
        assert ask(database, f"select count(*) from {name}") == [(expected[name].num_rows,)], name
    assert ask(database, "select count(*) from downtime_events where ended_at is null") == [
        (expected["downtime_events"]["ended_at"].null_count,)
    ]


def test_catching_up_keeps_a_correction_and_bears_a_lost_column(database):
    with psycopg.connect(database) as connection:
        connection.execute(
            "update daily_readings set oil_volume = 1 where reading_id = (select min(reading_id) from daily_readings)"
        )
        connection.execute("alter table well_tests drop column casing_pressure")
    try:
        assert catch_up(database, NOON + timedelta(days=35))["well_tests"] > 0
        assert ask(database, "select oil_volume from daily_readings order by reading_id limit 1") == [(Decimal(1),)]
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("alter table well_tests add column casing_pressure numeric(10, 2)")


def test_partner_files_are_sent_once(database, tmp_path):
    operator = operate(*remembered(database))

    assert len(deliver(database, operator, tmp_path)) == 40 * 6
    assert deliver(database, operator, tmp_path) == []
    catch_up(database, NOON + timedelta(days=1))
    assert len(deliver(database, operate(*remembered(database)), tmp_path)) == 6


def test_a_busy_day_keeps_its_pace_and_breaks_no_balance(database):
    before = contents(database, "meter_volumes"), ask(database, "select sum(net_volume), count(*) from run_tickets")
    written = churn(database, rows_per_s=500, seconds=3, seed=2)

    assert sum(written.values()) >= 1200
    assert written["well_tests renumbered"] and written["run_tickets deleted"] and written["daily_readings updated"]
    assert ask(database, UNBALANCED) == []
    assert (
        contents(database, "meter_volumes"),
        ask(database, "select sum(net_volume), count(*) from run_tickets"),
    ) == before


def test_columns_are_added_three_times_at_most(database):
    names = [add_column(database) for _ in range(5)]

    assert names[-1] is None and len([n for n in names if n]) <= len(NEW_COLUMNS)


@pytest.fixture
def site(database, tmp_path) -> Site:
    from include.settings import postgres_dsn

    return Site(database, postgres_dsn("postgres", "postgres"), tmp_path)


@pytest.mark.parametrize("kind", ["unit-off-by-1000", "late-correction", "dropped-column"])
def test_a_bad_day_in_the_database_can_be_undone(site, kind):
    tables = ("daily_readings", "well_tests")
    readable = {"daily_readings": "reading_id, oil_volume, gas_volume", "well_tests": "id, oil_rate, casing_pressure"}

    def now() -> list:
        return [ask(site.dsn, f"select {readable[t]} from {t} order by 1") for t in tables]

    before = now()

    KINDS[kind].do(site)
    assert in_force(site) == [kind]
    with pytest.raises(NotNow, match="--undo"):
        KINDS[kind].do(site)
    KINDS[kind].undo(site)
    assert in_force(site) == [] and now() == before


def test_a_missing_file_arrives_when_undone(site):
    said = KINDS["missing-file"].do(site)
    missing = said.split()[0]

    assert len(list(site.inbox.iterdir())) == 41 * 6 - 1 and not (site.inbox / missing).exists()
    assert deliver(site.dsn, site.operator(), site.inbox) == []
    KINDS["missing-file"].undo(site)
    assert (site.inbox / missing).exists() and in_force(site) == []


def test_a_file_sent_twice_is_the_same_under_two_names(site):
    KINDS["duplicated-file"].do(site)
    first, second = site.inbox.iterdir()

    assert first.name != second.name and first.read_bytes() == second.read_bytes()


def test_the_source_goes_down_and_comes_up(site):
    KINDS["source-down"].do(site)
    try:
        assert in_force(site) == ["source-down"]
    finally:
        KINDS["source-down"].undo(site)
    assert in_force(site) == []


def test_the_service_works_and_ends_when_told(field_database, tmp_path):
    """As the supervisor runs it, but in a state folder and database of its own."""
    from include.settings import settings

    (tmp_path / "secrets").symlink_to(settings.secrets_dir)
    own = {"HNAI_STATE_DIR": str(tmp_path), "HNAI_FIELDOPS_DATABASE": "demo_trial"}
    fill(field_database, **SMALL, as_of=datetime.now(UTC) - timedelta(days=2))
    service = subprocess.Popen(
        [sys.executable, "-m", "demo.simulate", "--rows-per-s", "50"],
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ours = "select count(*) from work_orders where work_order_id > 1000000000"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and ask(field_database, ours) == [(0,)]:
        time.sleep(0.3)
    service.send_signal(signal.SIGTERM)
    said, _ = service.communicate(timeout=15)

    assert service.returncode == 0, said
    assert "A contract day ended" in said and said.rstrip().endswith("Stopped")
    assert len(list((tmp_path / "inbox" / "flow_computer").iterdir())) == 40 * 6
