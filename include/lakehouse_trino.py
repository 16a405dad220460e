"""Merge small files by Trino: where the tables outgrow one process, so does merging them.

Snapshots and orphans are left to `lakehouse_upkeep` in both profiles. Forgetting a snapshot is a small change of
metadata, and Trino's procedures go by age alone: they know neither which snapshots a close still reads nor what Nessie
remembers.
"""

import time
from collections.abc import Sequence

from pyiceberg.table import Table
from trino.exceptions import TrinoQueryError

from include.engine_trino import connect
from include.errors import CommitConflict, LakehouseError
from include.lakehouse import LAKEHOUSE, table

CONFLICTS = ("ICEBERG_COMMIT_ERROR", "TRANSACTION_CONFLICT")


def optimize(identifier: str, small_bytes: int, sort_by: Sequence[str] = ()) -> None:
    """Merge the data files below `small_bytes`, the rows of a file in the order of `sort_by`.

    Writers may append meanwhile. Raises `CommitConflict` where one of them was faster than this.
    """
    relation = _relation(identifier)
    if sort_by and table(identifier).sort_order().is_unsorted:
        columns = ", ".join(f"'{name}'" for name in sort_by)
        _run(identifier, f"alter table {relation} set properties sorted_by = array[{columns}]")
    _run(identifier, f"alter table {relation} execute optimize(file_size_threshold => '{small_bytes}B')")


def scan_seconds(target: Table) -> float:
    """How long Trino takes to read one column of the whole table."""
    (column, *_) = (field.name for field in target.schema().fields)
    started = time.monotonic()
    _run(".".join(target.name()), f'select count("{column}") from {_relation(".".join(target.name()))}')
    return time.monotonic() - started


def _run(identifier: str, sql: str) -> None:
    with connect() as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
            cursor.fetchall()
        except TrinoQueryError as error:
            if error.error_name in CONFLICTS:
                raise CommitConflict(f"{identifier}: {error.message.splitlines()[0]}") from error
            raise LakehouseError(f"Trino, upkeep of {identifier}: {error.message.splitlines()[0]}") from error


def _relation(identifier: str) -> str:
    namespace, name = identifier.rsplit(".", 1)
    return f'{LAKEHOUSE}."{namespace}"."{name}"'
