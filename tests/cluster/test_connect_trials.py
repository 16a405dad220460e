"""The named trials of the change stream, through Kafka, Debezium and the Iceberg sink."""

import psycopg
import pytest

from tests.land_cdc.test_drift import (
    test_a_frozen_table_ignores_a_new_column_and_says_so,  # noqa: F401
    test_a_quarantining_table_sets_rows_with_a_new_column_aside,  # noqa: F401
    test_dropped_renamed_and_retyped_columns_are_named_and_the_rows_stay_right,  # noqa: F401
)
from tests.land_cdc.test_trials import (
    test_a_deleted_row_tells_its_key_and_makes_nothing_up,  # noqa: F401
    test_a_key_change_and_a_key_swap_in_one_transaction,  # noqa: F401
    test_a_key_change_beside_an_unsent_value_has_the_table_loaded_again,  # noqa: F401
    test_a_message_that_an_application_writes_into_the_log_is_not_a_row,  # noqa: F401
    test_a_missing_grant_is_named_as_the_statement_to_run,  # noqa: F401
    test_a_table_without_a_key_is_refused_and_its_application_goes_on,  # noqa: F401
    test_a_value_that_raw_cannot_hold_is_set_aside_with_its_reason,  # noqa: F401
    test_every_type_lands_the_same_by_the_stream_and_by_a_full_load,  # noqa: F401
    test_long_values_that_were_not_sent_again_are_carried_on,  # noqa: F401
    test_truncate_is_a_row_that_clears_what_came_before,  # noqa: F401
)

pytestmark = [pytest.mark.platform, pytest.mark.torture]


def test_of_two_interleaved_transactions_the_first_to_begin_sorts_last(trial):
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
    assert landed[1][2] < landed[2][2]  # a cut between the two commits parts them,
    assert landed[2][3] < landed[0][3]  # which the rows' own LSN would not
    assert [row[4] for row in landed] == [1, 2, 1, 2]
    assert trial.differences("interleaved") == []


def test_a_column_that_was_added_is_whole_after_the_next_run_and_its_rows_before_lose_nothing(trial):
    trial.make("widened", "id int primary key")
    trial.db.execute("insert into widened values (1)")
    trial.db.execute("alter table widened add column grade text")  # null in row 1: no default, no event
    trial.db.execute("insert into widened values (2, 'unknown to the sink')")
    trial.settle()

    done = trial.land()

    assert [loaded["table"] for loaded in done["loaded"]] == ["widened"]
    trial.db.execute("insert into widened values (3, 'known')")
    trial.settle()
    assert trial.latest("widened", "id, grade") == [(1, None), (2, "unknown to the sink"), (3, "known")]
    assert trial.differences("widened") == []
    assert trial.land() == {"changes": [], "loaded": []}
