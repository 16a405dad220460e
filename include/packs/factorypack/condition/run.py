"""The steps of scoring on the lakehouse: `tell`, `train`, `score`, `alert`.

Each reads what is published now and adds what is missing, so the tables follow from the published hours and from what
people said: killed anywhere, cleared or run twice, a step leaves the same rows. A step holds a lease, which is checked
again at its commit, so a copy that was lost and came back writes nothing beside its retry.

    ops.asset_models          a model a row, added once by its id
    condition.asset_scores    a row a station, hour of evidence and method; hours that were restated are replaced
    ops.asset_alerts          events of alerts, only added
"""

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual
from pyiceberg.table import Table

from include import lakehouse
from include.catalog import calendars
from include.errors import CommitConflict
from include.ops.lease import Lease, hold
from include.ops.store import read, record
from include.packs.factorypack.condition import MART, life
from include.packs.factorypack.condition import models as made
from include.packs.factorypack.condition.confirm import Verdict, episodes
from include.packs.factorypack.condition.events import PACK, events_of, tell
from include.packs.factorypack.condition.methods import VOTING
from include.packs.factorypack.condition.models import Model
from include.packs.factorypack.condition.rules import RULES
from include.packs.factorypack.condition.scoring import VOTE, as_row, scores
from include.packs.factorypack.condition.segments import COLUMNS, Segment, segments

__all__ = ["alert", "score", "tell", "train"]
log = logging.getLogger(__name__)
SCORES = "condition.asset_scores"
text, instant = pa.string(), pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("pack", text),
        ("calendar", text),
        ("shift_id", text),
        ("production_date", pa.date32()),
        ("station_id", text),
        ("hour_started_at", instant),
        ("hour_ended_at", instant),
        ("baseline_id", text),
        ("product_id", text),
        ("method", text),  # robust_z, ewma, cusum, pca, isolation_forest or vote
        ("state", text),  # learning, scored or unknown
        ("statistic", pa.float64()),  # a share of the limit; of a vote the number of methods that exceed
        ("feature", text),
        ("exceeds", pa.bool_()),
        ("model_id", text),
    ]
)
TRIES = 5


def train(holder: str, try_number: int = 1) -> int:
    """Train the models that the published hours ask for and nobody has trained; give their number."""
    with hold(f"condition:{PACK}", holder, try_number) as lease:
        return sum(_train(one.name, *_hours(one.name), lease, holder) for one in calendars(PACK))


def score(holder: str, try_number: int = 1) -> int:
    """Score the published hours of every calendar; give the number of rows that were written.

    Hours that came between training and scoring have their models trained here first.
    """
    with hold(f"condition:{PACK}", holder, try_number) as lease:
        return sum(_score(one.name, lease, holder) for one in calendars(PACK))


def alert(holder: str, try_number: int = 1) -> list[dict[str, Any]]:
    """Tell what the scores say of alerts and nobody has told; give the new events."""
    with hold(f"condition:{PACK}", holder, try_number) as lease:
        return [event for one in calendars(PACK) for event in _alert(one.name, lease, holder)]


def _hours(calendar: str) -> tuple[list[Segment], int | None]:
    """The segments of what is published, and its snapshot; none before anything is."""
    if not lakehouse.exists(f"{PACK}.{MART}"):
        return [], None
    target = lakehouse.table(f"{PACK}.{MART}")
    rows = target.scan(row_filter=EqualTo("calendar", calendar), selected_fields=COLUMNS).to_arrow()
    return segments(rows.to_pylist()), target.metadata.current_snapshot_id


def _models(calendar: str) -> dict[str, Model]:
    names = ("model_id", "station_id", "baseline_id", "product_id", "method", "trained_from", "trained_to")
    kept = (*names, "training_h", "library", "parameters")
    return {
        row["model_id"]: Model(**{**{name: row[name] for name in kept}, "parameters": json.loads(row["parameters"])})
        for row in read("asset_models", None, kept, pack=PACK, calendar=calendar)
    }


def _train(calendar: str, found: Sequence[Segment], snapshot: int | None, lease: Lease, holder: str) -> int:
    known = {row["model_id"] for row in read("asset_models", None, ("model_id",), pack=PACK, calendar=calendar)}
    new = [
        model
        for name, (segment, method) in made.wanted(found).items()
        if name not in known and (model := made.train(segment, method))
    ]
    rows = [
        {
            "pack": PACK,
            "calendar": calendar,
            **vars(model),
            "rules": RULES.as_json(),
            "features_snapshot": snapshot,
            "run_id": holder,
        }
        for model in new
    ]
    with lease.guard():
        record("asset_models", rows)
    return len(new)


def _score(calendar: str, lease: Lease, holder: str) -> int:
    found, snapshot = _hours(calendar)
    if not found and not lakehouse.exists(SCORES):
        return 0
    _train(calendar, found, snapshot, lease, holder)
    models = _models(calendar)
    mine = And(EqualTo("pack", PACK), EqualTo("calendar", calendar))
    for _ in range(TRIES):
        target = lakehouse.ensure_table(
            SCORES, SCHEMA, partition_by=[("calendar", "identity"), ("production_date", "month")]
        )
        scored = _scored(target, mine)
        live = live_segments(found, set(scored))
        kept = {one.key for one in found} - {one.key for one in live}
        said = [{"pack": PACK, "calendar": calendar, **as_row(one)} for one in scores(live, models)]
        new = lakehouse.conform(pa.Table.from_pylist(said, schema=SCHEMA), target)
        starts = [first for key, first in scored.items() if key not in kept] + [one["hour_started_at"] for one in said]
        if not starts:
            return 0
        since = And(mine, GreaterThanOrEqual("hour_started_at", min(starts).isoformat()))
        standing = lakehouse.conform(target.scan(row_filter=since).to_arrow(), target)
        new, standing = pa.concat_tables([new, _of(standing, kept)]).sort_by(ORDER), standing.sort_by(ORDER)
        changed = first_difference(standing, new)
        if changed is None:
            return 0
        window = And(mine, GreaterThanOrEqual("hour_started_at", changed.isoformat()))
        rest = new.filter(pc.greater_equal(new["hour_started_at"], pa.scalar(changed, instant)))
        try:
            change = lakehouse.replaced(target, rest, window, {"hnai.run-id": holder})
            with lease.guard():
                lakehouse.commit_many([change])
            return rest.num_rows
        except CommitConflict:
            log.warning("%s was changed by somebody else; looking again", SCORES)
    raise CommitConflict(f"{SCORES}: other writers were always faster; clear `score` to try again")


ORDER = [("hour_started_at", "ascending"), ("station_id", "ascending"), ("method", "ascending")]
KEY = ("station_id", "baseline_id", "product_id")


def live_segments(found: Sequence[Segment], scored: set[tuple[str, str, str]]) -> list[Segment]:
    """The segments that are scored again: those not scored yet, and those with hours of the last `rescored_days`."""
    newest = max((one.hours[-1].started_at for one in found), default=None)
    horizon = timedelta(days=RULES.rescored_days)
    return [one for one in found if one.key not in scored or one.hours[-1].started_at >= newest - horizon]


def _scored(target: Table, mine: BooleanExpression) -> dict[tuple[str, str, str], datetime]:
    """The segments that have scores, and the start of their first hour."""
    rows = target.scan(row_filter=mine, selected_fields=(*KEY, "hour_started_at")).to_arrow()
    firsts = rows.group_by(list(KEY)).aggregate([("hour_started_at", "min")]).to_pylist()
    return {tuple(row[name] for name in KEY): row["hour_started_at_min"] for row in firsts}


def _of(rows: pa.Table, keys: set[tuple[str, str, str]]) -> pa.Table:
    """The rows of these segments."""
    if not keys:
        return rows.slice(0, 0)
    columns = zip(*(rows[name].to_pylist() for name in KEY), strict=True)
    return rows.filter(pa.array([key in keys for key in columns], pa.bool_()))


def first_difference(standing: pa.Table, new: pa.Table) -> datetime | None:
    """The start of the first hour in which two lists of scores differ, both in order of time; None where none does."""
    shared = min(standing.num_rows, new.num_rows)
    same = pa.array(np.ones(shared, dtype=bool))
    for name in new.column_names:
        a, b = (table[name].slice(0, shared).combine_chunks() for table in (standing, new))
        equal = pc.fill_null(pc.equal(a, b), False)
        same = pc.and_(same, pc.or_(equal, pc.and_(pc.is_null(a), pc.is_null(b))))
    at = pc.index(same, False).as_py()
    if at < 0:
        if standing.num_rows == new.num_rows:
            return None
        at = shared
    starts = [table["hour_started_at"][at].as_py() for table in (standing, new) if table.num_rows > at]
    return min(starts)


def _alert(calendar: str, lease: Lease, holder: str) -> list[dict[str, Any]]:
    if not lakehouse.exists(SCORES):
        return []
    target, mine = lakehouse.table(SCORES), And(EqualTo("pack", PACK), EqualTo("calendar", calendar))
    votes = target.scan(row_filter=And(mine, EqualTo("method", VOTE))).to_arrow().sort_by(ORDER).to_pylist()
    exceeding = target.scan(row_filter=And(mine, EqualTo("exceeds", True))).to_arrow().sort_by(ORDER).to_pylist()
    events = events_of(calendar)
    closed = life.closings(events)
    told = []
    for station in sorted({row["station_id"] for row in votes}):
        verdicts = [verdict(row) for row in votes if row["station_id"] == station]
        told += episodes(verdicts, closings=closed.get(station, ()))
    told.sort(key=lambda one: (one.opened_at, one.station_id))
    new = life.missing(told, events, evidence_of(exceeding))
    with lease.guard():
        record("asset_alerts", [{"pack": PACK, "calendar": calendar, "run_id": holder, **event} for event in new])
    return new


def verdict(row: dict[str, Any]) -> Verdict:
    """What a row of the vote says of its hour; an hour without an opinion says nothing."""
    counts = row["exceeds"] if row["state"] == "scored" else None
    return Verdict(row["station_id"], row["baseline_id"], row["hour_started_at"], row["hour_ended_at"], counts)


def evidence_of(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, datetime], dict[str, Any]]:
    """Station and end of hour -> the methods that exceeded, each with its share of the limit and leading feature."""
    found: dict[tuple[str, datetime], dict[str, Any]] = {}
    for row in rows:
        if row["exceeds"] and row["method"] in VOTING:
            seen = found.setdefault((row["station_id"], row["hour_ended_at"]), {})
            seen[row["method"]] = {"share_of_limit": round(row["statistic"], 3), "feature": row["feature"]}
    return found
