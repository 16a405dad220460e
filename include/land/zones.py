"""Whose wall clock a row's local times were read from: its table's one zone, or that of the field it belongs to.

`zone: "@field"` follows the declared paths. `{column: asset_id, paths: [[wells.field_code, fields.zone], …]}` says:
the value of `asset_id` is the key of `wells`; that row's `field_code` is the key of `fields`, whose `zone` it is.
The first path that leads to a zone counts. A zone once found is kept, so a row deleted since still has one.
"""

import time
from collections.abc import Callable
from typing import Any

from include.catalog import Table
from include.catalog import source as declared
from include.errors import DeclarationError
from include.land.source_schema import quoted

RETRY_S = 30.0  # a value without a zone is looked for again after this


class Zones:
    """Zones by row of one source. `query` asks the source."""

    def __init__(self, source: str, query: Callable[[str], list[tuple]]) -> None:
        self._source = source
        self._query = query
        self._found: dict[tuple, dict[str, str]] = {}
        self._missed: dict[tuple, dict[str, float]] = {}  # value -> when it was last looked for

    @property
    def unknown(self) -> int:
        """How many values led to no zone; their rows have no UTC instant."""
        return sum(map(len, self._missed.values()))

    def of(self, table: Table, values: list[Any]) -> list[str | None]:
        """The zone of each value of the lookup column; the source is asked again for values not seen before."""
        paths = tuple(tuple(path) for path in table.zone_lookup["paths"])
        texts = [None if v is None else str(v) for v in values]
        found, missed = self._found.setdefault(paths, {}), self._missed.setdefault(paths, {})
        now = time.monotonic()
        new = {t for t in texts if t is not None and t not in found and now - missed.get(t, -RETRY_S) >= RETRY_S}
        if new:
            for path in paths:
                for value, zone in self._query(self.path_sql(path)):
                    if zone is not None:
                        found.setdefault(value, zone)
            missed |= dict.fromkeys(new - found.keys(), now)
            for value in found.keys() & missed.keys():
                del missed[value]
        return [None if t is None else found.get(t) for t in texts]

    def known(self, table: Table) -> dict[str, str]:
        """Every value that leads to a zone now."""
        self.of(table, [""])
        return dict(self._found[tuple(tuple(path) for path in table.zone_lookup["paths"])])

    def steps(self, table: Table) -> list[list[tuple[str, str, str]]]:
        """The table's paths, each step as (`schema.table`, its key, the column that it leads to)."""
        paths = [[step.split(".", 1) for step in path] for path in table.zone_lookup["paths"]]
        return [
            [(f"{(t := self._table(n)).schema}.{t.name}", t.key[0], column) for n, column in path] for path in paths
        ]

    def pairs(self, step: tuple[str, str, str]) -> dict[str, str]:
        """Where one step leads from each row that there is now, in the order of the keys."""
        table, key, column = step
        name = ".".join(map(quoted, table.split(".", 1)))
        query = f"select {quoted(key)}::text, {quoted(column)}::text from {name} where {quoted(column)} is not null"
        return dict(sorted(self._query(query)))

    def path_sql(self, path: tuple[str, ...]) -> str:
        """SQL for the pairs (value, zone) along one path."""
        steps = [step.split(".", 1) for step in path]
        first = self._table(steps[0][0])
        joins, last = [], "t0"
        for i, (name, _) in enumerate(steps[1:], start=1):
            table = self._table(name)
            joins.append(
                f"join {quoted(table.schema)}.{quoted(table.name)} t{i} "
                f"on t{i}.{quoted(table.key[0])}::text = t{i - 1}.{quoted(steps[i - 1][1])}::text"
            )
            last = f"t{i}"
        return (
            f"select t0.{quoted(first.key[0])}::text, {last}.{quoted(steps[-1][1])}::text "
            f"from {quoted(first.schema)}.{quoted(first.name)} t0 {' '.join(joins)}"
        )

    def _table(self, name: str) -> Table:
        table = declared(self._source).table(name)
        if len(table.key) != 1:
            raise DeclarationError(
                f"zone_lookup passes through {name}, whose key {list(table.key)} is not a single column"
            )
        return table
