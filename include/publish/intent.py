"""What a publish is about to do, written down before it does it, and whether it has happened.

The catalog applies one request to several tables, but table by table: killed in between, it leaves some
changed. So a publish first records an *intent*: per table the snapshot before and the snapshot to come, and the
very request. The files that the request names are written already, so any process can ask again for the tables
that are missing, and the outcome is the same whoever does it. An intent stays open until it is sealed, void
(nothing of it happened) or undone.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pyiceberg.exceptions import RESTError
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.update import AssertRefSnapshotId, RemoveSnapshotRefUpdate, SetSnapshotRefUpdate

from include import lakehouse
from include.errors import LakehouseError, PublishError
from include.ops.lease import Lease
from include.ops.store import read, record

log = logging.getLogger(__name__)
Outcome = Literal["done", "void", "undone"]
SETTLE_FOR_S, PAUSE_S = 120, 0.3  # a killed catalog is back within seconds; until then readers may see a part


@dataclass(frozen=True)
class Intent:
    publish_id: str
    kind: Literal["publish", "rollback"]
    pack: str
    calendar: str
    from_date: date
    to_date: date
    first: str  # name of the first period, and of the last
    last: str
    run_id: str
    tables: Mapping[str, Mapping[str, int | None]] = field(hash=False)  # mart -> {before, planned}
    requests: Mapping[str, str] = field(hash=False)  # <pack>.<mart> -> request
    seals: Mapping[str, Any] = field(hash=False)  # see include/publish/seal.py
    note: str = ""

    def write(self, lease: Lease) -> None:
        """Record the intent, as the holder of the pack's lease."""
        with lease.guard():
            record("publishes", [self._row("intent", lease.fence, full=True)])

    def end(self, state: Literal["sealed", "void", "undone"], lease: Lease, note: str = "") -> None:
        """Record how the intent ended. The caller holds the lease's guard."""
        record("publishes", [{**self._row(state, lease.fence), "note": note or self.note}])

    def _row(self, state: str, fence: int, *, full: bool = False) -> dict[str, Any]:
        row = {
            "publish_id": self.publish_id,
            "state": state,
            "kind": self.kind,
            "pack": self.pack,
            "calendar": self.calendar,
            "from_date": self.from_date,
            "to_date": self.to_date,
            "first": self.first,
            "last": self.last,
            "run_id": self.run_id,
            "tables": dict(self.tables),
            "lease_fence": fence,
            "note": self.note,
        }
        return {**row, "requests": dict(self.requests), "seals": dict(self.seals)} if full else row


def open_intents(pack: str | None = None) -> list[Intent]:
    """The intents that have not ended, oldest first."""
    wanted = {"pack": pack} if pack else {}
    states = read("publishes", None, ("publish_id", "state"), **wanted)
    ended = {row["publish_id"] for row in states if row["state"] != "intent"}
    if not (ids := [row["publish_id"] for row in states if row["publish_id"] not in ended]):
        return []
    return [_from_row(row) for row in read("publishes", publish_id=ids, state="intent")]


def commit(intent: Intent, lease: Lease) -> Outcome:
    """Ask the catalog for all of the intent's tables at once and make sure of the outcome."""
    try:
        with lease.guard():
            lakehouse.post_commit(intent.requests)
        return "done"
    except LakehouseError as error:  # refused or unanswered: what is in decides
        log.warning("%s: %s", intent.publish_id, error)
    return settle(intent, lease)


def settle(intent: Intent, lease: Lease) -> Outcome:
    """Bring the intent to one of its ends: all tables changed, or none.

    Where every missing table still stands as it was, the missing ones are asked for again. Where one has moved
    on, those that were changed are set back. Raises `PublishError` where neither can be done.
    """
    deadline = time.monotonic() + SETTLE_FOR_S
    while time.monotonic() < deadline:
        try:
            standing = {mart: _standing(intent, mart) for mart in intent.tables}
            if all(s == "done" for s in standing.values()):
                return "done"
            if "moved" not in standing.values():
                missing = {f"{intent.pack}.{m}" for m, s in standing.items() if s == "before"}
                log.warning(
                    "%s: %d of %d tables are not in; asking again", intent.publish_id, len(missing), len(standing)
                )
                with lease.guard():
                    lakehouse.post_commit(
                        {name: request for name, request in intent.requests.items() if name in missing}
                    )
                continue
            changed = [mart for mart, s in standing.items() if s == "done"]
            if not changed:
                return "void"
            log.warning(
                "%s: %s moved on; setting back %s",
                intent.publish_id,
                [m for m, s in standing.items() if s == "moved"],
                changed,
            )
            with lease.guard():
                lakehouse.post_commit({f"{intent.pack}.{mart}": _undo(intent, mart) for mart in changed})
            return "undone"
        except (LakehouseError, RESTError, OSError) as error:  # requests' and the object store's errors are OSErrors
            log.warning("%s: not settled yet: %s", intent.publish_id, error)
            time.sleep(PAUSE_S)
    raise PublishError(
        f"The publish {intent.publish_id} of run {intent.run_id} is half-way and could not be settled. "
        "Look at: make status. Then run: python -m include.publish.recover"
    )


def _standing(intent: Intent, mart: str) -> Literal["done", "before", "moved"]:
    """Whether the table has the planned snapshot, stands as before, or was changed by somebody else."""
    metadata = lakehouse.table(f"{intent.pack}.{mart}").metadata  # a catalog that is starting may not know it yet
    plan = intent.tables[mart]
    if metadata.current_snapshot_id == plan["planned"]:
        return "done"
    return "before" if metadata.current_snapshot_id == plan["before"] else "moved"


def _undo(intent: Intent, mart: str) -> str:
    """The request that sets a changed table back to the snapshot that it had before."""
    target = lakehouse.table(f"{intent.pack}.{mart}")
    before, planned = intent.tables[mart]["before"], intent.tables[mart]["planned"]
    if before is None:
        update = RemoveSnapshotRefUpdate(ref_name=MAIN_BRANCH)
    else:
        update = SetSnapshotRefUpdate(ref_name=MAIN_BRANCH, type=SnapshotRefType.BRANCH, snapshot_id=before)
    tx = target.transaction()
    tx._stage((update,), (AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=planned),))
    (request,) = lakehouse.commit_requests([tx]).values()
    return request


def tables_of(row: Mapping[str, Any]) -> dict[str, dict[str, int | None]]:
    """The tables of a recorded publish: mart -> the snapshot before it and the one it made."""
    return json.loads(row["tables"])


def _from_row(row: Mapping[str, Any]) -> Intent:
    return Intent(
        publish_id=row["publish_id"],
        kind=row["kind"],
        pack=row["pack"],
        calendar=row["calendar"],
        from_date=row["from_date"],
        to_date=row["to_date"],
        first=row["first"] or str(row["from_date"]),
        last=row["last"] or str(row["to_date"]),
        run_id=row["run_id"],
        tables=tables_of(row),
        requests=json.loads(row["requests"]),
        seals=json.loads(row["seals"]),
        note=row["note"] or "",
    )
