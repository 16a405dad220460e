"""The named trials of the change stream, each on a table of its own, all by one worker."""

from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest

from include.errors import LandingError

pytestmark = pytest.mark.platform


def test_of_two_interleaved_transactions_the_first_to_begin_commits_last(trial):
    trial.make("interleaved", "id int primary key, v text")
    with psycopg.connect(trial.dsn) as first, psycopg.connect(trial.dsn) as second:
        first.execute("insert into interleaved values (1, 'first')")
        second.execute("insert into interleaved values (2, 'second')")
        first.execute("insert into interleaved values (3, 'first')")
        second.execute("update interleaved set v = 'second again' where id = 2")
        second.commit()
        first.commit()
    trial.settle()

    landed = trial.rows("interleaved", "id, _op, _commit_lsn, _lsn, _seq")

    assert [row[:2] for row in landed] == [(2, "c"), (2, "u"), (1, "c"), (3, "c")]
    assert landed[0][2] == landed[1][2] < landed[2][2] == landed[3][2]  # in order of commit,
    assert landed[2][3] < landed[0][3]  # not of the rows' own LSN
    assert [row[4] for row in landed] == [1, 2, 1, 2]
    assert trial.differences("interleaved") == []


def test_a_key_change_and_a_key_swap_in_one_transaction(trial):
    trial.make("swapped", "id int primary key, v text")
    trial.db.execute("insert into swapped values (1, 'one'), (2, 'two'), (3, 'three')")
    with trial.db.transaction():
        trial.db.execute("update swapped set id = 30 where id = 3")
        trial.db.execute("update swapped set id = 99 where id = 1")
        trial.db.execute("update swapped set id = 1 where id = 2")
        trial.db.execute("update swapped set id = 2 where id = 99")
    trial.settle()

    assert trial.latest("swapped", "id, v") == [(1, "two"), (2, "one"), (30, "three")]
    assert trial.differences("swapped") == []


def test_a_deleted_row_tells_its_key_and_makes_nothing_up(trial):
    trial.make("deleted", "id int primary key, v text not null, seen_at timestamptz not null, n int")
    trial.make("deleted_whole", "id int primary key, v text not null")
    trial.db.execute("alter table deleted_whole replica identity full")
    trial.land()
    trial.db.execute("insert into deleted values (1, 'v', now(), 1); delete from deleted")
    trial.db.execute("insert into deleted_whole values (1, 'v'); delete from deleted_whole")
    trial.settle()

    assert trial.rows("deleted", "id, v, seen_at, n", "_op = 'd'") == [(1, None, None, None)]
    assert trial.rows("deleted_whole", "id, v", "_op = 'd'") == [(1, "v")]


def test_truncate_is_a_row_that_clears_what_came_before(trial):
    trial.make("truncated", "id int primary key, v text")
    trial.db.execute("insert into truncated values (1, 'gone'), (2, 'gone')")
    with trial.db.transaction():
        trial.db.execute("insert into truncated values (3, 'gone')")
        trial.db.execute("truncate truncated")
        trial.db.execute("insert into truncated values (2, 'kept')")
    trial.settle()

    assert [op for (op,) in trial.rows("truncated", "_op")] == ["c", "c", "c", "t", "c"]
    assert trial.latest("truncated", "id, v") == [(2, "kept")]
    assert trial.differences("truncated") == []


def test_a_table_without_a_key_is_refused_and_its_application_goes_on(trial):
    trial.db.execute("create table keyless (id int, v text)")
    trial.declare("keyless", ["id"])
    with pytest.raises(LandingError, match="replica identity full"):
        trial.land()
    trial.db.execute("insert into keyless values (1, 'a')")
    trial.db.execute("update keyless set v = 'b'")  # fails where such a table is published

    trial.db.execute("alter table keyless replica identity full")
    trial.land()
    trial.db.execute("update keyless set v = 'c'")
    trial.settle()
    assert trial.latest("keyless", "id, v") == [(1, "c")]


def test_a_missing_grant_is_named_as_the_statement_to_run(trial):
    trial.db.execute("create table ungranted (id int primary key)")
    trial.db.execute("revoke select on ungranted from cdc")
    trial.declare("ungranted", ["id"])
    try:
        with pytest.raises(LandingError, match='grant select on "public"."ungranted" to cdc'):
            trial.land()
    finally:
        trial.forget("ungranted")


def test_long_values_that_were_not_sent_again_are_carried_on(trial):
    trial.make("toasted", "id int primary key, note text, raw bytea, n int")
    trial.db.execute("alter table toasted alter note set storage external, alter raw set storage external")
    trial.db.execute("insert into toasted values (1, repeat('x', 9000), decode(repeat('ab', 9000), 'hex'), 1)")
    trial.db.execute("update toasted set n = 2")
    trial.settle()

    assert trial.rows("toasted", "n, length(note), _unchanged") == [(1, 9000, None), (2, None, "note,raw")]
    assert trial.latest("toasted", "id, n")[0] == (1, 2)
    assert trial.differences("toasted") == []

    trial.db.execute("update toasted set note = null")  # a null of its own is not "not sent"
    trial.settle()
    assert trial.differences("toasted") == []


def test_a_key_change_beside_an_unsent_value_has_the_table_loaded_again(trial):
    trial.make("rekeyed", "id int primary key, note text")
    trial.db.execute("alter table rekeyed alter note set storage external")
    trial.db.execute("insert into rekeyed values (1, repeat('x', 9000))")
    trial.db.execute("update rekeyed set id = 2")
    trial.settle()

    loaded = trial.land()["loaded"]

    assert [(done["table"], done["reason"]) for done in loaded] == [
        ("rekeyed", "a key changed in a row whose long values were not sent again")
    ]
    assert trial.differences("rekeyed") == []


def test_every_type_lands_the_same_by_the_stream_and_by_a_full_load(trial):
    typed = {
        "id bigint primary key": "1",
        "small int2": "-3",
        "flag boolean": "true",
        "exact numeric(20, 8)": "12345678.90123456",
        "loose numeric": "1.50",
        "wide numeric(50, 2)": "123456789012345678901234567890123456789012345678.25",
        "real8 float8": "0.1",
        "day date": "'2024-02-29'",
        "local timestamp": "'2024-03-31 02:30:00.123456'",
        "zoned timestamptz": "'2024-10-27 02:30:00.654321+02'",
        "clock time": "'10:11:12.5'",
        "doc jsonb": """'{"b": 1, "a": [1.50]}'""",
        "mark uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "words text[]": """array['x', 'y "z"']""",
        "raw bytea": r"'\x00ff'",
        "fixed char(5)": "'ab'",
        "name varchar(9)": "'é€'",
    }
    columns, values = ", ".join(typed), ", ".join(list(typed.values())[1:])
    trial.db.execute(f"create table typed ({columns})")
    trial.db.execute(f"insert into typed values (1, {values}), (2, {', '.join(['null'] * 16)})")
    trial.declare("typed", ["id"], zone="Europe/Oslo", local_times=["local"])
    trial.land()
    trial.db.execute(f"insert into typed values (11, {values}), (12, {', '.join(['null'] * 16)})")
    trial.settle()

    rows = {
        row[0]: (op, row[1:])
        for *row, op in trial.rows(
            "typed",
            "* exclude (_epoch, _commit_lsn, _lsn, _seq, _source_at, _landed_at, _batch_id, _unchanged, _op), _op",
        )
    }

    assert {key: op for key, (op, _) in rows.items()} == {1: "r", 2: "r", 11: "c", 12: "c"}
    assert rows[1][1] == rows[11][1]
    assert rows[2][1] == rows[12][1] == [None] * len(rows[2][1])
    assert rows[11][1][2] == Decimal("12345678.90123456")
    assert rows[11][1][3:5] == ["1.50", "123456789012345678901234567890123456789012345678.25"]
    assert rows[11][1][6] == date(2024, 2, 29)
    assert rows[11][1][-1] == datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)  # in the hour that spring skips
    assert trial.differences("typed") == []


def test_a_value_that_raw_cannot_hold_is_set_aside_with_its_reason(trial):
    from include import lakehouse
    from include.land.full_load import load_table

    trial.make("strange", "id int primary key, n numeric(10, 2), d date")
    trial.db.execute("insert into strange values (1, 'NaN', 'infinity'), (2, 2.5, '2024-01-01')")
    trial.settle()

    assert trial.latest("strange", "id, n, d") == [(1, None, None), (2, Decimal("2.50"), date(2024, 1, 1))]
    aside = lakehouse.table("quarantine.trial__strange").scan().to_arrow().to_pylist()
    trial.db.execute("insert into strange values (3, 'NaN', '-infinity')")
    trial.settle()
    load_table("trial", "strange")  # a full load keeps the same
    assert trial.differences("strange") == []
    assert len(aside) == 1 and '"id":1' in aside[0]["row"] and "does not fit date" in aside[0]["reason"]


def test_a_message_that_an_application_writes_into_the_log_is_not_a_row(trial):
    trial.make("beside_messages", "id int primary key")
    with trial.db.transaction():
        trial.db.execute("select pg_logical_emit_message(true, 'app', 'within')")
        trial.db.execute("insert into beside_messages values (1)")
    trial.db.execute("select pg_logical_emit_message(false, 'app', 'without')")
    trial.db.execute("insert into beside_messages values (2)")
    trial.settle()

    assert trial.rows("beside_messages", "id, _op") == [(1, "c"), (2, "c")]
