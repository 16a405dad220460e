"""Freeze a close: give it a version and the exact position up to which it may read, once and for all.

The first task of a close. Everything downstream reads what is at or below the cut-off, so a cleared task sees
the same rows for ever. The same run freezes once: asked again, it gets what it got. Another run of the same
periods gets the next version and a cut-off of its own. The clock of a shift is frozen with it.

    python -m include.publish.freeze --help
"""

import argparse
import json
import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import catalog
from include.catalog import Calendar, Source, calendar, feeds, marts, sources
from include.errors import LandingError, PublishError
from include.periods import Period, between, date_of, names
from include.settings import settings

if TYPE_CHECKING:
    from include.ops.lease import Lease

log = logging.getLogger(__name__)
Position = dict[str, int]  # {"epoch": …, "commit_lsn": …}
NOTHING: Position = {"epoch": 0, "commit_lsn": 0}
OT = "ot"  # the entry of `ot.readings` in a cut-off: the ordinal of its last commit


@dataclass(frozen=True)
class Close:
    """One run that closes the production days `from_date` to `to_date` of one calendar, or shifts of those days."""

    pack: str
    calendar: str
    from_date: date
    to_date: date
    run_id: str
    reason: str
    keys: dict[str, int] = field(hash=False)  # close key -> version
    cut_off: dict[str, Position] = field(hash=False)  # source, feed by its identifier, `ot` -> position
    history: dict[str, int | None] = field(hash=False)  # mart -> snapshot id published at history_at
    frozen_at: datetime
    history_at: datetime
    caught_up: bool = True  # False: the stream lagged behind the source; the close reads what had landed
    shifts: tuple[Period, ...] = field(default=(), hash=False)  # empty where the calendar closes contract days

    @property
    def workspace(self) -> Path:
        """The DuckDB file in which this run builds."""
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.run_id).strip("-")[:80]
        return settings.workspaces_dir / self.pack / f"{slug}-{self._run_hash}.duckdb"

    @property
    def namespace(self) -> str:
        """The namespace of the lakehouse in which this run builds where Trino builds it."""
        slug = re.sub(r"[^a-z0-9]+", "_", self.run_id.lower()).strip("_")[:80]
        return f"ws_{slug}_{self._run_hash}"

    @property
    def _run_hash(self) -> str:
        return sha256(self.run_id.encode()).hexdigest()[:8]

    @property
    def dates(self) -> list[date]:
        """The production dates of the run, in order."""
        return [self.from_date + timedelta(days=n) for n in range((self.to_date - self.from_date).days + 1)]

    @property
    def names(self) -> list[str]:
        """The names of its periods, in order."""
        return names(self.shifts) or [day.isoformat() for day in self.dates]

    @property
    def first(self) -> str:
        return self.names[0]

    @property
    def last(self) -> str:
        return self.names[-1]

    @property
    def periods(self) -> list[Period]:
        """What it closes, with its clock."""
        return list(self.shifts) or between(calendar(self.calendar).periods, self.first, self.last)

    @property
    def window(self) -> str:
        """How people name the periods: one, or `FROM…TO`."""
        return self.first if self.first == self.last else f"{self.first}…{self.last}"

    @property
    def label(self) -> str:
        """How people name the run: one close key, or `FROM…TO@calendar`."""
        return close_key(self.window, self.calendar)


def close_key(period: str | date, calendar_name: str) -> str:
    """The key of a period by its name; a date is the name of a contract day."""
    return f"{period}@{calendar_name}"


def freeze(
    pack: str,
    calendar_name: str,
    first: date | str,
    last: date | str,
    run_id: str,
    reason: str,
    wait: bool = True,
) -> Close:
    """Freeze the run, or give what it froze before.

    `first` and `last` name periods; of a calendar of shifts a date stands for all shifts of that date. `wait` lets each
    change stream catch up with its source first, for `settings.landing.catch_up_timeout_s`. Raises `PublishError` where
    the run id already stands for other periods, and `DeclarationError` where the calendar does not have them.
    """
    from include.ops.lease import hold
    from include.ops.store import record

    site = calendar(calendar_name)
    if site.pack != pack:
        raise PublishError(f"The calendar {calendar_name!r} belongs to the pack {site.pack!r}, not {pack!r}")
    if found := _find(run_id):
        return _same(found, pack, calendar_name, str(first), str(last))
    periods = _periods(site, str(first), str(last))
    cut_off, caught_up = cut_off_now(pack, wait=wait)
    with hold(f"freeze:{pack}", run_id) as lease:
        if found := _find(run_id):
            return _same(found, pack, calendar_name, str(first), str(last))
        now = datetime.now(UTC)
        first_date, last_date = periods[0].production_date, periods[-1].production_date
        common = {
            "state": "frozen",
            "pack": pack,
            "calendar": calendar_name,
            "from_date": first_date,
            "to_date": last_date,
            "run_id": run_id,
            "reason": reason,
            "cut_off": cut_off,
            "caught_up": caught_up,
            "history": published_snapshots(pack),
            "frozen_at": now,
            "history_at": now,
        }
        latest = _latest_versions(pack, calendar_name, first_date, last_date)
        rows = [
            {
                **common,
                "production_date": period.production_date,
                "close_key": key,
                "version": latest.get(key, 0) + 1,
                "clock": period.as_json() if site.shifts else None,
            }
            for period in periods
            for key in [close_key(period.name, calendar_name)]
        ]
        with lease.guard():
            record("closes", rows)
    close = load_close(run_id)
    log.info("Froze %s, version %s, cut-off %s", close.label, sorted(set(close.keys.values())), close.cut_off)
    return close


def refresh_history(close: Close, lease: "Lease") -> Close:
    """The same close, version and cut-off, with what is published now as its history.

    For a close that waited while other days of its months were published: what it builds from history (months)
    would forget them.
    """
    from include.ops.store import read, record

    now = datetime.now(UTC)
    history = published_snapshots(close.pack)
    rows = [
        {**{k: v for k, v in row.items() if k != "recorded_at"}, "history": history, "history_at": now}
        for row in _newest(read("closes", run_id=close.run_id, state="frozen"))
    ]
    with lease.guard():
        record("closes", rows)
    return load_close(close.run_id)


def load_close(run_id: str) -> Close:
    """The close that `run_id` froze. Raises `PublishError` where it froze none."""
    if found := _find(run_id):
        return found
    raise PublishError(f"The run {run_id!r} froze no close. Clear its task freeze, or trigger a new run")


def cut_off_now(pack: str, *, wait: bool = True) -> tuple[dict[str, Position], bool]:
    """Where each source and feed of the pack stands, and whether every stream had caught up with its source."""
    cut_off: dict[str, Position] = {}
    caught_up = True
    for source in sources():
        if source.pack == pack:
            landed, is_level = _landed(source, wait)
            cut_off[source.name] = landed
            caught_up = caught_up and is_level
    for feed in feeds():
        if feed.pack == pack:
            ordinal = {"epoch": 0, "commit_lsn": _highest_ordinal(feed.identifier)}
            # Ordinals count per table. The source's own entry serves a source of one feed; the other is exact.
            cut_off[feed.identifier] = ordinal
            if feed.source not in cut_off or ordinal["commit_lsn"] > cut_off[feed.source]["commit_lsn"]:
                cut_off[feed.source] = ordinal
    if has_tags(pack):
        cut_off[OT] = {"epoch": 0, "commit_lsn": _ot_ordinal()}
    return cut_off, caught_up


def published_snapshots(pack: str) -> dict[str, int | None]:
    """The snapshot of each published mart, read while no publish of the pack is half-way."""
    from include import lakehouse
    from include.publish.intent import open_intents
    from include.publish.recover import recover

    while True:
        if open_intents(pack):
            recover(pack)  # one that lives is waited for, one that was cut off is settled
        found = {}
        for mart in marts(pack):
            name = f"{pack}.{mart.name}"
            found[mart.name] = lakehouse.table(name).metadata.current_snapshot_id if lakehouse.exists(name) else None
        if not open_intents(pack):
            return found


def _landed(source: Source, wait: bool) -> tuple[Position, bool]:
    """What of the source has landed, after waiting for the source's position of now."""
    import psycopg

    from include.land import connect

    try:
        target = connect.source_position(source.name)
        return connect.wait_until(source.name, target, None if wait else 0), True
    except (LandingError, psycopg.Error) as error:
        log.warning("%s: closing with what has landed. %s", source.name, str(error).strip())
        return connect.landed_position(source.name) or NOTHING, False


def has_tags(pack: str) -> bool:
    """Whether the pack has a tag dictionary, and so reads `ot.readings`."""
    return (catalog.DBT / "seeds" / pack / f"{pack}_tags.csv").is_file()


def _ot_ordinal() -> int:
    from include.ot.lake import ordinal_now

    return ordinal_now()


def _highest_ordinal(identifier: str) -> int:
    import pyarrow.compute as pc

    from include import lakehouse

    if not lakehouse.exists(f"raw.{identifier}"):
        return 0
    ordinals = lakehouse.table(f"raw.{identifier}").scan(selected_fields=("_commit_lsn",)).to_arrow()["_commit_lsn"]
    return pc.max(ordinals).as_py() or 0


def _latest_versions(pack: str, calendar_name: str, first: date, last: date) -> dict[str, int]:
    from include.publish.seal import close_rows

    latest: dict[str, int] = {}
    for row in close_rows(pack, calendar_name, first, last):
        latest[row["close_key"]] = max(row["version"], latest.get(row["close_key"], 0))
    return latest


def _find(run_id: str) -> Close | None:
    from include.ops.store import read

    rows = read("closes", run_id=run_id, state="frozen")
    return _from_rows(rows) if rows else None


def _from_rows(rows: list[dict[str, Any]]) -> Close:
    rows = _newest(rows)
    head = rows[0]
    return Close(
        pack=head["pack"],
        calendar=head["calendar"],
        from_date=head["from_date"],
        to_date=head["to_date"],
        run_id=head["run_id"],
        reason=head["reason"],
        keys={row["close_key"]: row["version"] for row in rows},
        cut_off=json.loads(head["cut_off"]),
        history=json.loads(head["history"]),
        frozen_at=head["frozen_at"],
        history_at=head["history_at"] or head["frozen_at"],
        caught_up=head["caught_up"] is not False,
        shifts=tuple(Period.of_json(json.loads(row["clock"])) for row in rows if row["clock"]),
    )


def _newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The latest frozen row of each period, in order of time."""
    latest = {row["close_key"]: row for row in rows}
    return [latest[key] for key in sorted(latest)]


def _same(found: Close, pack: str, calendar_name: str, first: str, last: str) -> Close:
    """The close that the run froze. A date stands for its first shift in `first`, for its last one in `last`."""
    is_first = first in (found.first, found.first.partition(".")[0])
    is_last = last in (found.last, found.last.partition(".")[0])
    if (found.pack, found.calendar) != (pack, calendar_name) or not (is_first and is_last):
        raise PublishError(
            f"The run id {found.run_id!r} already stands for {found.label} of {found.pack}. "
            "Give this run an id of its own"
        )
    return found


def _periods(site: Calendar, first: str, last: str) -> list[Period]:
    for name in (first, last):
        try:
            date_of(name)
        except ValueError:
            shift = " or, for a shift, 2026-11-23.3" if site.shifts else ""
            raise PublishError(f"{name!r} is not a date. Write it as 2026-11-23{shift}") from None
    if date_of(last) < date_of(first) or ("." in first and "." in last and last < first):
        raise PublishError(f"The close ends on {last}, before it starts on {first}. Swap FROM and TO")
    return between(site.periods, first, last)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m include.publish.freeze", description="Freeze a close and print it."
    )
    parser.add_argument("--calendar", required=True)
    parser.add_argument("--from", dest="first", required=True, help="a production date, or a shift as 2026-11-23.3")
    parser.add_argument("--to", dest="last", help="the same as --from unless given")
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--reason", required=True)
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the change streams")
    a = parser.parse_args(arguments)
    pack = calendar(a.calendar).pack
    close = freeze(pack, a.calendar, a.first, a.last or a.first, a.run_id, a.reason, wait=not a.no_wait)
    print(
        json.dumps(
            {"close": close.label, "versions": close.keys, "cut_off": close.cut_off, "workspace": str(close.workspace)}
        )
    )


if __name__ == "__main__":
    main()
