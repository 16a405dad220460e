"""Columns that come, go, change name or type at the source, while its stream runs."""

from decimal import Decimal

import pytest

pytestmark = pytest.mark.platform


def test_a_column_added_with_a_default_has_the_table_loaded_again(trial):
    trial.make("defaulted", "id int primary key")
    trial.db.execute("insert into defaulted values (1)")
    trial.db.execute("alter table defaulted add column grade text not null default 'd'")
    trial.db.execute("insert into defaulted values (2, 'new')")
    trial.settle()
    assert trial.latest("defaulted", "id, grade") == [(1, None), (2, "new")]  # no event told of row 1

    done = trial.land()

    assert [c["text"] for c in done["changes"]] == ["defaulted.grade added: text, rows that were there got {d}"]
    assert [loaded["table"] for loaded in done["loaded"]] == ["defaulted"]
    trial.settle()
    assert trial.latest("defaulted", "id, grade") == [(1, "d"), (2, "new")]
    assert trial.differences("defaulted") == []
    assert trial.land() == {"changes": [], "loaded": []}


def test_dropped_renamed_and_retyped_columns_are_named_and_the_rows_stay_right(trial):
    trial.make("shifting", "id int primary key, goes text, was text, n numeric(10, 2), small int")
    trial.db.execute("insert into shifting values (1, 'x', 'kept', 1.25, 7), (2, 'y', 'kept too', 2.50, 8)")
    trial.settle()
    trial.db.execute("alter table shifting drop column goes")
    trial.db.execute("alter table shifting rename column was to is_now")
    trial.db.execute("alter table shifting alter column n type numeric(12, 4)")  # another scale: not to be had in place
    trial.db.execute("alter table shifting alter column small type bigint")
    trial.db.execute("update shifting set n = 3.1234, small = 9000000000 where id = 2")
    trial.settle()

    done = trial.land()

    assert sorted(c["text"] for c in done["changes"]) == [
        "shifting.goes dropped: raw keeps it, without new values",
        "shifting.is_now renamed: it was was",
        "shifting.n retyped: numeric(10,2) to numeric(12,4)",
        "shifting.small retyped: int4 to int8",
    ]
    trial.settle()
    assert trial.latest("shifting", "id, is_now, n, small") == [
        (1, "kept", Decimal("1.2500"), 7),
        (2, "kept too", Decimal("3.1234"), 9000000000),
    ]
    assert trial.differences("shifting") == []
    before = [c for c in trial.rows("shifting", "columns(c -> c like 'n__before_%')", "_op = 'c'")]
    assert before == [(Decimal("1.25"),), (Decimal("2.50"),)]  # what older closes read is still there


def test_a_frozen_table_ignores_a_new_column_and_says_so(trial):
    from include.land.connect import status

    trial.make("frozen", "id int primary key, v text", drift={"default": "freeze"})
    trial.db.execute("alter table frozen add column extra text default 'e'")
    trial.db.execute("insert into frozen values (1, 'v', 'x')")
    trial.settle()

    done = trial.land()

    assert [(c["column"], c["drift"], c["needs_load"]) for c in done["changes"]] == [("extra", "freeze", False)]
    assert done["loaded"] == []
    assert trial.latest("frozen", "id, v") == [(1, "v")]
    assert status("trial")["hnai"]["ignored_columns"]["frozen"] == ["extra"]


def test_a_quarantining_table_sets_rows_with_a_new_column_aside(trial):
    from include import lakehouse

    trial.make("guarded", "id int primary key, v text", drift={"default": "evolve", "secretive": "quarantine"})
    trial.db.execute("insert into guarded values (1, 'before')")
    trial.db.execute("alter table guarded add column secretive text")
    trial.db.execute("insert into guarded values (2, 'after', 's')")
    trial.settle()

    assert trial.latest("guarded", "id, v") == [(1, "before")]
    aside = lakehouse.table("quarantine.trial__guarded").scan().to_arrow().to_pylist()
    assert [row["row"] for row in aside] == ['{"id":2,"v":"after","secretive":"s"}']
    assert "secretive" in aside[0]["reason"]
