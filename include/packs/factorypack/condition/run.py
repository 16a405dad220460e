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
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual

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
    rows = [{"pack": PACK, "calendar": calendar, **as_row(one)} for one in scores(found, _models(calendar))]
    new = pa.Table.from_pylist(rows, schema=SCHEMA)
    for _ in range(TRIES):
        target = lakehouse.ensure_table(
            SCORES, SCHEMA, partition_by=[("calendar", "identity"), ("production_date", "month")]
        )
        mine = And(EqualTo("pack", PACK), EqualTo("calendar", calendar))
        standing = lakehouse.conform(target.scan(row_filter=mine).to_arrow(), target).sort_by(ORDER)
        changed = first_difference(standing.to_pylist(), lakehouse.conform(new, target).to_pylist())
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


def first_difference(standing: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> datetime | None:
    """The start of the first hour in which two lists of scores differ, both in order of time; None where none does."""
    for old, now in zip(standing, new, strict=False):
        if old != now:
            return min(old["hour_started_at"], now["hour_started_at"])
    longer = max(standing, new, key=len)
    shorter = min(len(standing), len(new))
    return longer[shorter]["hour_started_at"] if len(longer) > shorter else None


def _alert(calendar: str, lease: Lease, holder: str) -> list[dict[str, Any]]:
    if not lakehouse.exists(SCORES):
        return []
    mine = And(EqualTo("pack", PACK), EqualTo("calendar", calendar))
    rows = lakehouse.table(SCORES).scan(row_filter=mine).to_arrow().sort_by(ORDER).to_pylist()
    events = events_of(calendar)
    closed = life.closings(events)
    told = []
    for station in sorted({row["station_id"] for row in rows}):
        verdicts = [verdict(row) for row in rows if row["station_id"] == station and row["method"] == VOTE]
        told += episodes(verdicts, closings=closed.get(station, ()))
    told.sort(key=lambda one: (one.opened_at, one.station_id))
    new = life.missing(told, events, evidence_of(rows))
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
