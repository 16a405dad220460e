"""The published marts of trace, as they are or as readers saw them at an earlier instant."""

import json
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from include import catalog, lakehouse
from include.errors import DeclarationError, PublishError
from include.ops.store import read

PACK = "factorypack"
Snapshots = dict[str, int | None]


def site(name: str | None) -> str:
    """The calendar that is meant: the named one, or the pack's only one; `DeclarationError` where there is a choice."""
    if name:
        return catalog.calendar(name).name
    found = [one.name for one in catalog.calendars() if one.pack == PACK]
    if len(found) != 1:
        raise DeclarationError(f"{PACK} has several calendars. Name one with --calendar: {', '.join(found)}")
    return found[0]


def instant_of(text: str, calendar: str) -> datetime:
    """The instant that a text names: an ISO time with its offset, or a date, which stands for its end by the site.

    Raises `PublishError` where it is neither.
    """
    zone = ZoneInfo(catalog.calendar(calendar).zone)
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), zone)
        found = datetime.fromisoformat(text)
    except ValueError:
        raise PublishError(
            f"{text!r} is no day and no time. Write it as 2026-01-31 or 2026-01-31T12:00:00+00:00"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=zone)


def snapshots_at(instant: datetime) -> Snapshots:
    """The snapshot of each mart that readers saw at `instant`. Raises `PublishError` where nothing was published."""
    rows = _publishes()
    earlier = [row for row in rows if row["recorded_at"] < instant]
    if not earlier:
        first = f"; the first publish was at {rows[0]['recorded_at']:%Y-%m-%d %H:%M} UTC" if rows else ""
        raise PublishError(f"Nothing of {PACK} was published by {instant.isoformat()}{first}")
    return json.loads(earlier[-1]["snapshot_ids"])


def published_at() -> datetime:
    """When the last publish was sealed. Raises `PublishError` where there was none."""
    if not (rows := _publishes()):
        raise PublishError(f"Nothing of {PACK} is published yet. Close a shift: make close SHIFT=… PACK={PACK}")
    return rows[-1]["recorded_at"]


def _publishes() -> list[dict[str, Any]]:
    columns = ("state", "snapshot_ids", "recorded_at")
    rows = read("closes", None, columns, pack=PACK, state=("published", "rolled_back"))
    return [row for row in rows if row["snapshot_ids"]]


def rows_of(mart: str, columns: tuple[str, ...], snapshots: Snapshots | None = None) -> pa.Table:
    """Some columns of a published mart: as it is, or at its snapshot among `snapshots`.

    Raises `PublishError` where it was never published, or the snapshot has expired.
    """
    if not lakehouse.exists(f"{PACK}.{mart}"):
        raise PublishError(f"{PACK}.{mart} is not published yet. Close a shift: make close SHIFT=… PACK={PACK}")
    target = lakehouse.table(f"{PACK}.{mart}")
    if snapshots is None:
        return target.scan(selected_fields=columns).to_arrow()
    snapshot_id = snapshots.get(mart)
    if snapshot_id is None:  # nothing was in it yet
        return target.schema().as_arrow().empty_table().select(columns)
    if target.snapshot_by_id(snapshot_id) is None:
        raise PublishError(
            f"{PACK}.{mart} as it was then has expired (setting HNAI_RETENTION__SNAPSHOTS_DAYS). "
            "What changed since stands in ops.restatements"
        )
    return target.scan(selected_fields=columns, snapshot_id=snapshot_id).to_arrow()
