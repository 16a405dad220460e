"""How each tag is, by hour: `ot.tag_health`, and a table for on-call.

A tag is stale when its source was silent for `settings.ot.stale_s`; one with a `silence_s` in the dictionary, when it
was silent itself for so long. A value that is steady, and sent on change alone, is not stale.

An hour is counted again whenever readings or gaps of it came in, however late: its rows are replaced whole. The commit
that does so says up to which commit of `ot.readings` it looked: nothing is left out and nothing is counted twice.

    python -m include.ot.health            # the tags that need somebody, worst first
    python -m include.ot.health --all
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, GreaterThan, GreaterThanOrEqual, In, LessThan, Or
from pyiceberg.table import Table

from include import lakehouse
from include.errors import CommitConflict, HnaiError
from include.lakehouse_upkeep import forget_old_snapshots
from include.ot import lake, tables
from include.ot.tags import Tag, tags
from include.settings import settings

log = logging.getLogger(__name__)

LOOKED, AS_OF = "hnai.ot.looked", "hnai.ot.as_of"  # the ordinal up to which the rows count, and when that was
HOUR = timedelta(hours=1)
HOURS = 150  # replaced in one commit
SILENT_HOURS = 48  # of a plant that was silent as a whole: so many get rows that say so
TRIES = 10
SHOWN = timedelta(days=2)  # how far back the table for on-call looks
BAD_SHARE, GAP_S = 0.01, 60.0  # of this hour and the last: less needs nobody
_COLUMNS = ("tag_id", "observed_at", "sequence", "value_double", "value_text", "value_bool", "quality")
_INSTANT = pa.timestamp("us", tz="UTC")

_TOUCHED = "select distinct date_trunc('hour', observed_at) from held"
_COUNTED = """
create temporary table counted as
select
    tag_id,
    date_trunc('hour', observed_at) as hour_at,
    count(*) as readings,
    count(*) filter (quality >> 30 = 0) as good,
    count(*) filter (quality >> 30 = 1) as uncertain,
    count(*) filter (quality >> 30 >= 2) as bad,
    count(*) filter (quality >> 30 < 2 and (value_double < range_low or value_double > range_high)) as out_of_range,
    max(observed_at) as last_observed_at,
    arg_max(
        {'quality': quality, 'value_double': value_double, 'value_text': value_text, 'value_bool': value_bool},
        {'observed_at': observed_at, 'sequence': sequence}
    ) as last
from held left join dictionary using (tag_id)
group by all
"""
_GAPS = """
with unsettled as (
    select distinct tag_id, from_at, to_at from told
    where not exists (
        select 1 from told as settled
        where settled.gap_id = told.gap_id and settled.tag_id = told.tag_id
            and settled.state in ('backfilled', 'dismissed')
    )
),

clipped as (
    select tag_id, hour_at, greatest(from_at, hour_at) as starts_at, least(to_at, hour_at + interval 1 hour) as ends_at
    from unsettled inner join hours on from_at < hour_at + interval 1 hour and to_at > hour_at
),

ordered as (
    select *, max(ends_at) over (
        partition by tag_id, hour_at order by starts_at, ends_at rows between unbounded preceding and 1 preceding
    ) as covered_until
    from clipped
)

select tag_id, hour_at, sum(greatest(0.0, epoch(ends_at) - epoch(greatest(starts_at, covered_until)))) as gap_s
from ordered
group by all
"""
_HEALTH = f"""
with gaps as ({_GAPS}),

rows as (
    select tag_id, hour_at from dictionary cross join hours
    union
    select tag_id, hour_at from counted inner join hours using (hour_at)
    union
    select tag_id, hour_at from gaps
),

looked as (
    select *, least(hour_at + interval 1 hour, $as_of) as looked_until from rows
),

seen as (
    select looked.tag_id, looked.hour_at, max(counted.last_observed_at) as seen_at
    from looked inner join counted on counted.tag_id = looked.tag_id and counted.hour_at <= looked.hour_at
    group by all
),

counted_of_source as (
    select dictionary.source, counted.hour_at, max(counted.last_observed_at) as last_observed_at
    from counted inner join dictionary using (tag_id)
    group by all
),

source_seen as (
    select hours.hour_at, counted_of_source.source, max(counted_of_source.last_observed_at) as source_seen_at
    from hours inner join counted_of_source on counted_of_source.hour_at <= hours.hour_at
    group by all
)

select
    tag_id,
    hour_at,
    coalesce(readings, 0) as readings,
    coalesce(good, 0) as good,
    coalesce(uncertain, 0) as uncertain,
    coalesce(bad, 0) as bad,
    coalesce(out_of_range, 0) as out_of_range,
    last_observed_at,
    last.quality as last_quality,
    last.value_double as last_value_double,
    last.value_text as last_value_text,
    last.value_bool as last_value_bool,
    looked_until > hour_at and coalesce(
        case
            when silence_s is not null then seen_at <= looked_until - silence_s * interval 1 second
            when is_declared then source_seen_at <= looked_until - $stale
            else seen_at <= looked_until - $stale
        end,
        true
    ) as is_stale,
    coalesce(gap_s, 0.0) as gap_s,
    is_declared is not null as is_declared,
    $as_of as looked_at
from looked
left join counted using (tag_id, hour_at)
left join seen using (tag_id, hour_at)
left join gaps using (tag_id, hour_at)
left join dictionary using (tag_id)
left join source_seen using (hour_at, source)
order by hour_at, tag_id
"""


@dataclass(frozen=True)
class Looked:
    """What one look at the tags found."""

    as_of: datetime
    hours: int  # whose rows were replaced
    tags: int
    stale: int
    undeclared: tuple[str, ...]  # tags that send and stand in no dictionary

    def __str__(self) -> str:
        told = f"{self.tags} tags, {self.hours} hours counted, {self.stale} tags stale at {self.as_of:%H:%M:%S} UTC"
        if self.undeclared:
            some = ", ".join(self.undeclared[:10])
            told += f"; in no dictionary: {some}{' …' if len(self.undeclared) > 10 else ''}"
        return told


def update(as_of: datetime) -> Looked:
    """Bring `ot.tag_health` up to the newest commit of `ot.readings`.

    `as_of`: the time at which silence is measured for the hour that still runs, unless readings came later.
    """
    tables.ensure()
    for tried in range(1, TRIES + 1):
        try:
            return _update(as_of)
        except CommitConflict:  # another run looked at the same time
            if tried == TRIES:
                raise
    raise AssertionError("unreachable")


def _update(as_of: datetime) -> Looked:
    readings, told = lakehouse.table(tables.READINGS_TABLE), lakehouse.table(tables.GAPS_TABLE)
    health = lakehouse.table(tables.TAG_HEALTH_TABLE)
    ordinal = lake.position(readings).ordinal
    as_of = max(as_of, _committed_at(readings) or as_of)
    last_ordinal, last_at = _last_look(health)
    hours = sorted(_touched(readings, told, last_ordinal) | _hours_until(as_of, last_at))
    this_hour, now = next(_hours(as_of, as_of + HOUR)), []
    with duckdb.connect() as con:
        con.execute(f"set TimeZone = 'UTC'; set threads = {settings.engine_threads}")
        con.register("dictionary", _dictionary(tags()))
        for start in range(0, len(hours), HOURS):
            chunk = hours[start : start + HOURS]
            rows = _rows(con, readings, told, chunk, as_of)
            if this_hour in chunk:
                now = rows.filter(pc.equal(rows["hour_at"], pa.scalar(this_hour, _INSTANT))).to_pylist()
            done = ordinal if start + HOURS >= len(hours) else last_ordinal
            said = {LOOKED: str(done), AS_OF: as_of.isoformat()}
            tx = lakehouse.replaced(health, rows, In("hour_at", {hour.isoformat() for hour in chunk}), said)
            forget_old_snapshots(tx)
            lakehouse.commit_many([tx])
            health = lakehouse.table(tables.TAG_HEALTH_TABLE)
    return Looked(
        as_of,
        len(hours),
        len(now),
        sum(row["is_stale"] for row in now),
        tuple(sorted(row["tag_id"] for row in now if not row["is_declared"])),
    )


def _committed_at(readings: Table) -> datetime | None:
    snapshot = readings.current_snapshot()
    return snapshot and datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def _last_look(health: Table) -> tuple[int, datetime | None]:
    """Up to which ordinal the rows count, and when that was; 0 where nothing says so: then all is counted again."""
    snapshot = health.current_snapshot()
    while snapshot is not None:
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        if LOOKED in said:
            return int(said[LOOKED]), datetime.fromisoformat(said[AS_OF])
        snapshot = health.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return 0, None


def _touched(readings: Table, told: Table, above: int) -> set[datetime]:
    """The hours of the readings and gaps that came with the commits above an ordinal."""
    new = GreaterThan("_ordinal", above)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'; set threads = 1")
        con.register("held", lake.batches(readings, new, ("observed_at",)))
        hours = {_utc(at) for (at,) in con.execute(_TOUCHED).fetchall()}
    spans = told.scan(row_filter=new, selected_fields=("from_at", "to_at")).to_arrow()
    for from_at, to_at in set(zip(spans["from_at"].to_pylist(), spans["to_at"].to_pylist(), strict=True)):
        hours.update(_hours(from_at, to_at))
    return hours


def _hours_until(as_of: datetime, last_at: datetime | None) -> set[datetime]:
    """The hour that still runs, the one before it, and those that nobody has looked at since."""
    since = max(min(last_at or as_of, as_of - HOUR), as_of - SILENT_HOURS * HOUR)
    return set(_hours(since, as_of + timedelta(microseconds=1)))


def _hours(from_at: datetime, to_at: datetime) -> Iterator[datetime]:
    hour = _utc(from_at).replace(minute=0, second=0, microsecond=0)
    while hour < to_at:
        yield hour
        hour += HOUR


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _dictionary(declared: Sequence[Tag]) -> pa.Table:
    return pa.table(
        {
            "tag_id": pa.array([tag.tag_id for tag in declared], pa.string()),
            "source": pa.array([tag.source for tag in declared], pa.string()),
            "silence_s": pa.array([tag.silence_s for tag in declared], pa.float64()),
            "range_low": pa.array([tag.range_low for tag in declared], pa.float64()),
            "range_high": pa.array([tag.range_high for tag in declared], pa.float64()),
            "is_declared": pa.array([True] * len(declared), pa.bool_()),
        }
    )


def _rows(
    con: duckdb.DuckDBPyConnection, readings: Table, told: Table, hours: Sequence[datetime], as_of: datetime
) -> pa.Table:
    """The rows of some hours, from all that the tables hold of them."""
    stale = timedelta(seconds=settings.ot.stale_s)
    longest = max((timedelta(seconds=tag.silence_s) for tag in tags() if tag.silence_s), default=stale)
    con.register("hours", pa.table({"hour_at": pa.array(hours, _INSTANT)}))
    con.register("held", lake.batches(readings, _within(hours, before=max(stale, longest)), _COLUMNS))
    con.execute("drop table if exists counted")
    con.execute(_COUNTED)
    overlapping = And(LessThan("from_at", (hours[-1] + HOUR).isoformat()), GreaterThan("to_at", hours[0].isoformat()))
    con.register("told", told.scan(row_filter=overlapping).to_arrow())
    found = con.execute(_HEALTH, {"as_of": as_of, "stale": stale}).to_arrow_table()
    return found.cast(tables.TAG_HEALTH)


def _within(hours: Sequence[datetime], before: timedelta) -> BooleanExpression:
    """Readings of some hours, in order, and of a while before each."""
    runs: list[list[datetime]] = []
    for hour in hours:
        if runs and hour - before <= runs[-1][1]:
            runs[-1][1] = hour + HOUR
        else:
            runs.append([hour - before, hour + HOUR])
    spans = [
        And(GreaterThanOrEqual("observed_at", a.isoformat()), LessThan("observed_at", b.isoformat())) for a, b in runs
    ]
    return Or(*spans) if len(spans) > 1 else spans[0]


@dataclass(frozen=True)
class Condition:
    """A tag as on-call sees it."""

    tag_id: str
    what: str  # what is wrong, empty where nothing is
    worst: tuple  # sorts the worst first
    seen_at: datetime | None
    value: str
    quality: int | None
    owner: str


def conditions(now: datetime) -> list[Condition]:
    """Every tag that is declared or was seen of late, the worst first."""
    held: dict[str, list[dict[str, Any]]] = {}
    if lakehouse.exists(tables.TAG_HEALTH_TABLE):
        since = GreaterThanOrEqual("hour_at", (now - SHOWN).isoformat())
        rows = lakehouse.table(tables.TAG_HEALTH_TABLE).scan(row_filter=since).to_arrow()
        for row in rows.sort_by("hour_at").to_pylist():
            held.setdefault(row["tag_id"], []).append(row)
    declared = {tag.tag_id: tag for tag in tags()}
    heard: dict[str, datetime] = {}  # by source
    for tag_id, tag in declared.items():
        if seen := _last_seen(held.get(tag_id, [])):
            heard[tag.source] = max(heard.get(tag.source, seen["last_observed_at"]), seen["last_observed_at"])
    found = [
        _condition(tag_id, tag, held.get(tag_id, []), heard.get(tag.source) if tag else None, now)
        for tag_id in {*declared, *held}
        for tag in [declared.get(tag_id)]
    ]
    return sorted(found, key=lambda one: (one.worst, one.tag_id))


def _last_seen(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return max((row for row in rows if row["last_observed_at"]), key=lambda row: row["last_observed_at"], default=None)


def _condition(
    tag_id: str, tag: Tag | None, rows: list[dict[str, Any]], heard_at: datetime | None, now: datetime
) -> Condition:
    """`heard_at`: when the tag's source was last heard, by whatever tag of it."""
    seen = _last_seen(rows)
    recent = [row for row in rows if now - 2 * HOUR < row["hour_at"] <= now]  # this hour and the one before
    count = {name: sum(row[name] for row in recent) for name in ("readings", "bad", "out_of_range", "gap_s")}
    is_by_source = tag is not None and tag.silence_s is None
    last = heard_at if is_by_source else seen and seen["last_observed_at"]
    silent_s = (now - last).total_seconds() if last and seen else float("inf")
    who = f"source {tag.source} silent" if is_by_source else "silent"
    limit_s = tag.silence_s if tag and tag.silence_s else settings.ot.stale_s
    share = count["bad"] / count["readings"] if count["readings"] else 0.0
    whats = [
        (silent_s > limit_s, f"{who} for {_age(silent_s)}" if seen else "not seen for two days"),
        (share >= BAD_SHARE, f"{share:.0%} bad"),
        (count["gap_s"] >= GAP_S, f"gaps of {count['gap_s']:.0f} s"),
        (count["out_of_range"] > 0, f"{count['out_of_range']} out of range"),
        (tag is None, "in no dictionary"),
    ]
    first = next((i for i, (is_so, _) in enumerate(whats) if is_so), len(whats))
    worst = (first, -silent_s if first == 0 else -share)
    values = [seen[f"last_value_{kind}"] for kind in ("text", "double", "bool")] if seen else []
    value = next((str(v) for v in values if v is not None), "")
    return Condition(
        tag_id,
        "; ".join(what for is_so, what in whats if is_so),
        worst,
        seen and seen["last_observed_at"],
        f"{value} {tag.unit}" if value and tag else value,
        seen and seen["last_quality"],
        tag.owner if tag else "",
    )


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def as_text(found: Sequence[Condition], everything: bool = False) -> str:
    shown = [one for one in found if one.what or everything]
    lines = [("TAG", "LAST SEEN (UTC)", "VALUE", "QUALITY", "OWNER", "WHAT")]
    for one in shown:
        seen = f"{one.seen_at:%Y-%m-%d %H:%M:%S}" if one.seen_at else "-"
        quality = "-" if one.quality is None else "good" if one.quality >> 30 == 0 else f"0x{one.quality:08X}"
        lines.append((one.tag_id, seen, one.value[:24] or "-", quality, one.owner, one.what or "well"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    well = sum(not one.what for one in found)
    return f"{table if shown else 'No tag needs anybody'}\n{len(found)} tags, {well} well in this hour and the last"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m include.ot.health", description="The tags that need somebody, worst first."
    )
    parser.add_argument("--all", action="store_true", help="those that are well, too")
    a = parser.parse_args(arguments)
    now = datetime.now(UTC)
    try:
        update(now)
        print(as_text(conditions(now), a.all))
    except HnaiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
