"""What may be missing in `ot.readings`, and what became of it.

A gap is a row per tag in `ot.gaps`, in state `open`; a further row says what became of it: `backfilled` from the
source's history, `lost` where there is none, `dismissed` by somebody who says why. A try that failed is an `open` row
with its reason, and the next try comes later each time.

    python -m include.ot.gaps list
    python -m include.ot.gaps dismiss GAP --who NAME --why TEXT
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import duckdb
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, In

from include import lakehouse
from include.errors import CommitConflict, DeclarationError, HnaiError, OtError
from include.ot import lake, tables
from include.ot.reading import Gap
from include.ot.sources import source

State = Literal["open", "backfilled", "lost", "dismissed"]
HISTORY_KINDS = ("opcua",)  # kinds of sources that may keep a history
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=2), timedelta(hours=6)  # between tries
TRIES = 30  # of a commit that loses against a drain
_UNSETTLED = """
select * from gaps as told
where not exists (
    select 1 from gaps as settled
    where settled.gap_id = told.gap_id and settled.tag_id = told.tag_id and settled.state <> 'open'
)
order by recorded_at, tag_id
"""


@dataclass(frozen=True)
class OpenGap:
    """A gap with the tags for which nothing is settled yet."""

    gap_id: str
    source: str
    cause: str
    from_at: datetime
    to_at: datetime
    tag_ids: tuple[str, ...]
    tries: int = 0
    tried_at: datetime | None = None
    reason: str = ""

    def __str__(self) -> str:
        first, last = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (self.from_at, self.to_at))
        return f"{self.source} {self.cause} {first} to {last}"

    @property
    def due_at(self) -> datetime:
        """When it may be tried (again)."""
        if not self.tries or self.tried_at is None:
            return self.to_at
        return self.tried_at + min(FIRST_PAUSE * 2 ** min(self.tries - 1, 20), LONGEST_PAUSE)


def news(told: Iterable[Gap]) -> list[dict[str, Any]]:
    """The rows that open gaps, without those that are known: a gap told twice is one."""
    rows = {(gap.gap_id, tag_id): _row(gap, tag_id) for gap in told for tag_id in gap.tag_ids}
    if not rows:
        return []
    known = lakehouse.table(tables.GAPS_TABLE).scan(
        row_filter=In("gap_id", {gap_id for gap_id, _ in rows}), selected_fields=("gap_id", "tag_id")
    )
    for row in known.to_arrow().to_pylist():
        rows.pop((row["gap_id"], row["tag_id"]), None)
    return list(rows.values())


def _row(gap: Gap | OpenGap, tag_id: str, state: State = "open", reason: str = "", recovered: int = 0) -> dict:
    return {
        "gap_id": gap.gap_id,
        "tag_id": tag_id,
        "source": gap.source,
        "from_at": gap.from_at,
        "to_at": gap.to_at,
        "cause": gap.cause,
        "state": state,
        "recovered_rows": recovered,
        "reason": reason,
    }


def state_rows(
    gap: OpenGap, tag_ids: Iterable[str], state: State, reason: str = "", recovered: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """The rows that say what became of a gap for some of its tags; `recovered` counts their readings."""
    return [_row(gap, tag_id, state, reason, (recovered or {}).get(tag_id, 0)) for tag_id in tag_ids]


def open_gaps(gap_id: str | None = None) -> list[OpenGap]:
    """The gaps that have a tag for which nothing is settled, the latest first."""
    if not lakehouse.exists(tables.GAPS_TABLE):
        return []
    where: BooleanExpression = EqualTo("gap_id", gap_id) if gap_id else AlwaysTrue()
    rows = lakehouse.table(tables.GAPS_TABLE).scan(row_filter=where).to_arrow()
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'; set threads = 1")
        con.register("gaps", rows)
        left = con.execute(_UNSETTLED).to_arrow_table().to_pylist()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in left:
        found.setdefault(row["gap_id"], []).append(row)
    return sorted((_open_gap(rows) for rows in found.values()), key=lambda gap: gap.to_at, reverse=True)


def told_of(source_name: str, cause: str) -> bool:
    """Whether a gap of this source and cause was ever told, settled or not."""
    if not lakehouse.exists(tables.GAPS_TABLE):
        return False
    where = And(EqualTo("source", source_name), EqualTo("cause", cause))
    return lakehouse.table(tables.GAPS_TABLE).scan(row_filter=where, selected_fields=("gap_id",), limit=1).count() > 0


def _open_gap(rows: list[dict[str, Any]]) -> OpenGap:
    head = rows[0]
    tried = sorted((row for row in rows if row["reason"]), key=lambda row: row["recorded_at"])
    return OpenGap(
        gap_id=head["gap_id"],
        source=head["source"],
        cause=head["cause"],
        from_at=min(row["from_at"] for row in rows),
        to_at=max(row["to_at"] for row in rows),
        tag_ids=tuple(dict.fromkeys(row["tag_id"] for row in rows)),
        tries=len({row["recorded_at"] for row in tried}),
        tried_at=tried[-1]["recorded_at"] if tried else None,
        reason=tried[-1]["reason"] if tried else "",
    )


def due(at: datetime, limit: int) -> list[OpenGap]:
    """The gaps to be tried at an instant, those never tried first, then the latest. Those that cannot be are settled.

    A gap of a source that nobody declares any more waits, and is shown: somebody may have renamed it.
    """
    found = open_gaps()
    reasons = {name: why_not(name) for name in {gap.source for gap in found}}
    lost = [
        row for gap in found if (reason := reasons[gap.source]) for row in state_rows(gap, gap.tag_ids, "lost", reason)
    ]
    if lost:
        settle(lost)
    ready = [gap for gap in found if reasons[gap.source] is None and gap.due_at <= at]
    return sorted(ready, key=lambda gap: gap.tries)[:limit]


def why_not(name: str) -> str | None:
    """Why no gap of a source can ever be filled; None where one may, empty where nobody declares the source."""
    try:
        asked = source(name)
    except DeclarationError:
        return ""
    if asked.can_be_read and not asked.has_bridge:
        return f"{name} is read by a bridge elsewhere and cannot be asked from here"
    kind = asked.kind
    return None if kind in HISTORY_KINDS else f"{name} keeps no history ({kind})"


def settle(rows: Sequence[Mapping[str, Any]]) -> None:
    """Record what became of gaps, under an ordinal of its own."""
    for tried in range(1, TRIES + 1):
        readings = lakehouse.table(tables.READINGS_TABLE)
        try:
            lake.commit(readings, lake.position(readings), gap_rows=rows)
            return
        except CommitConflict:
            if tried == TRIES:
                raise


def dismiss(gap_id: str, who: str, why: str) -> OpenGap:
    """Settle a gap by hand. Raises `OtError` where it is not open."""
    gap = one(gap_id)
    if gap is None:
        raise OtError(f"No gap {gap_id!r} is open. See: python -m include.ot.gaps list")
    settle(state_rows(gap, gap.tag_ids, "dismissed", f"{who}: {why}"))
    return gap


def one(gap_id: str) -> OpenGap | None:
    """The gap, where it is open."""
    found = open_gaps(gap_id)
    return found[0] if found else None


def as_text(gaps: Collection[OpenGap]) -> str:
    reasons = {name: why_not(name) for name in {gap.source for gap in gaps}}
    lines = [
        f"{gap.gap_id}  {gap}  {len(gap.tag_ids)} tags"
        + (f"  tried {gap.tries} times, next after {gap.due_at:%H:%M:%S} UTC: {gap.reason}" if gap.tries else "")
        + ("  its source is not declared" if reasons[gap.source] == "" else "")
        for gap in gaps
    ]
    return "\n".join(lines) or "No gap is open"


def to_dict(gap: OpenGap) -> dict[str, Any]:
    """As JSON takes it."""
    return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in asdict(gap).items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m include.ot.gaps", description="Show the open gaps, or settle one by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the open gaps, the latest first; times are UTC")
    by_hand = commands.add_parser("dismiss", help="settle a gap that is none, or that nobody can fill")
    by_hand.add_argument("gap", metavar="GAP")
    by_hand.add_argument("--who", required=True)
    by_hand.add_argument("--why", required=True)
    a = parser.parse_args(arguments)
    try:
        if a.command == "list":
            print(as_text(open_gaps()))
        else:
            print(f"Dismissed: {dismiss(a.gap, a.who, a.why)}")
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
