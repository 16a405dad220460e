"""Which keys `ot.readings` has already: no key is ever put there twice.

Readings of a tag come in the order of time, nearly always. What is later than anything the table has of its tag is
news, and that takes no look at the table; for the rest (late, repeated, first of a run) it is asked, in the window in
question alone.
"""

from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, GreaterThan, GreaterThanOrEqual, In, LessThanOrEqual, Or
from pyiceberg.table import Table

from include.ot.lake import batches

KEY = ("tag_id", "observed_at", "sequence")
LOOK_BACK = (timedelta(seconds=30), timedelta(minutes=15))  # of the latest readings of each tag, least and most
WINDOWS = 20  # of a look at the table
APART_US = 60_000_000  # what lies further apart is asked for in a window of its own
MANY_TAGS = 200  # from here on a look asks for all tags


def without_repetitions(rows: pa.Table) -> pa.Table:
    """The rows in order of their keys, the first of each key alone."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in KEY]))
    if rows.num_rows < 2:
        return rows
    is_same = np.ones(rows.num_rows - 1, bool)
    for name in KEY:
        column = rows[name].combine_chunks()
        is_same &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return rows.filter(pa.array(np.concatenate([[True], ~is_same])))


def unknown(readings: Table, rows: pa.Table, above: int = 0) -> pa.Table:
    """Those of `rows`, whose keys differ, that the table did not get by a commit above an ordinal."""
    if not rows.num_rows:
        return rows
    where = _windows(rows)
    if above:
        where = And(where, GreaterThan("_ordinal", above))
    keys = rows.select(KEY).append_column("place", pa.array(np.arange(rows.num_rows)))
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'; set threads = 1")
        con.register("asked", keys)
        con.register("held", batches(readings, where, KEY))
        found = con.execute(f"select place from asked semi join held using ({', '.join(KEY)})").fetchnumpy()["place"]
    is_new = np.ones(rows.num_rows, bool)
    is_new[found] = False
    return rows.filter(pa.array(is_new))


def _windows(rows: pa.Table) -> BooleanExpression:
    """Where in the table the keys of `rows` can be: some windows of time, and the tags where they are few."""
    times = np.sort(_microseconds(rows))
    cuts = np.flatnonzero(np.diff(times) > APART_US)
    if len(cuts) >= WINDOWS:  # at the widest of them
        cuts = np.sort(cuts[np.argsort(np.diff(times)[cuts])[-(WINDOWS - 1) :]])
    firsts, lasts = np.concatenate([[0], cuts + 1]), np.concatenate([cuts, [len(times) - 1]])
    spans = [
        And(GreaterThanOrEqual("observed_at", _text(times[a])), LessThanOrEqual("observed_at", _text(times[b])))
        for a, b in zip(firsts, lasts, strict=True)
    ]
    where = Or(*spans) if len(spans) > 1 else spans[0]
    tags = pc.unique(rows["tag_id"]).to_pylist()
    return And(where, In("tag_id", tags)) if len(tags) < MANY_TAGS else where


class LatestKeys:
    """The latest reading that the table has of each tag, as long as nobody else adds any."""

    def __init__(self) -> None:
        self._floor: int | None = None  # from here on `_latest` is complete; None: nothing is known
        self._latest: dict[str, int] = {}

    def forget(self) -> None:
        """Somebody else added readings."""
        self._floor, self._latest = None, {}

    def news(self, readings: Table, rows: pa.Table) -> pa.Table:
        """Those of `rows` that the table does not have, each key once, in order of the keys."""
        rows = without_repetitions(rows)
        if not rows.num_rows:
            return rows
        if self._floor is None:
            self._learn(readings, rows)
        times = _microseconds(rows)
        tags = rows["tag_id"].combine_chunks().dictionary_encode()
        latest = np.array([self._latest.get(tag, self._floor - 1) for tag in tags.dictionary.to_pylist()])
        is_later = times > latest[tags.indices.to_numpy()]
        if is_later.all():
            return rows
        asked = unknown(readings, rows.filter(pa.array(~is_later)))
        if not asked.num_rows:
            return rows.filter(pa.array(is_later))
        return without_repetitions(pa.concat_tables([rows.filter(pa.array(is_later)), asked]))

    def took(self, rows: pa.Table) -> None:
        """`rows`, in order of their keys, are in the table now."""
        if not rows.num_rows or self._floor is None:
            return
        times = _microseconds(rows)
        tags = rows["tag_id"].combine_chunks().dictionary_encode()
        indices = tags.indices.to_numpy()
        last = np.flatnonzero(np.concatenate([indices[1:] != indices[:-1], [True]]))
        names = tags.dictionary.to_pylist()
        for place in last:
            tag, us = names[indices[place]], int(times[place])
            if us >= self._floor and us > self._latest.get(tag, self._floor - 1):
                self._latest[tag] = us

    def _learn(self, readings: Table, rows: pa.Table) -> None:
        """Read what the table has from shortly before these rows on, ahead of the clock included."""
        now = datetime.now(UTC)
        earliest, latest = (_us(now - by) for by in reversed(LOOK_BACK))
        usual = int(np.percentile(_microseconds(rows), 5)) - _us(LOOK_BACK[0])
        self._floor = min(max(usual, earliest), latest)
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'; set threads = 1")
            where = GreaterThanOrEqual("observed_at", _text(self._floor))
            con.register("held", batches(readings, where, ("tag_id", "observed_at")))
            found = con.execute("select tag_id, epoch_us(max(observed_at)) from held group by tag_id").fetchall()
        self._latest = dict(found)


def _microseconds(rows: pa.Table) -> np.ndarray:
    return rows["observed_at"].combine_chunks().cast(pa.int64()).to_numpy()


def _us(of: datetime | timedelta) -> int:
    return (of - datetime(1970, 1, 1, tzinfo=UTC) if isinstance(of, datetime) else of) // timedelta(microseconds=1)


def _text(us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(us))).isoformat()
