"""The seal of a close: what was published, counted and summed, under which version, by whom and why.

`ops.closes` is append-only. A close key's version goes through the states frozen, published, failed and
rolled_back; the last row of a version is its state, and the highest version whose state is *published* is what
readers see.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.expressions import And, GreaterThan, GreaterThanOrEqual, LessThanOrEqual

from include.catalog import Mart, marts
from include.errors import PublishError, Superseded
from include.ops.lease import Lease
from include.ops.store import read, record
from include.periods import date_of
from include.publish.freeze import Close, close_key
from include.publish.intent import Intent
from include.settings import ROOT


@dataclass(frozen=True)
class Sealed:
    """The live version of one close key."""

    close_key: str
    version: int
    run_id: str
    publish_id: str
    snapshot_ids: dict[str, int | None]
    cut_off: dict[str, dict[str, int]]
    git_sha: str


def close_rows(pack: str, calendar: str, first: date, last: date) -> list[dict[str, Any]]:
    """The rows of `ops.closes` for the periods of these production dates, oldest first."""
    window = And(
        GreaterThanOrEqual("production_date", first.isoformat()),
        LessThanOrEqual("production_date", last.isoformat()),
    )
    return read("closes", window, pack=pack, calendar=calendar)


def states(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    """Close key -> version -> its latest row."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["close_key"], {})[row["version"]] = dict(row)
    return found


def live(rows: Iterable[Mapping[str, Any]]) -> dict[str, Sealed]:
    """Close key -> the version that readers see; a key that was never published, or was withdrawn, is absent."""
    found = {}
    for key, versions in states(rows).items():
        published = [v for v, row in versions.items() if row["state"] == "published"]
        if published:
            row = versions[max(published)]
            found[key] = Sealed(
                close_key=key,
                version=row["version"],
                run_id=row["run_id"],
                publish_id=row["publish_id"],
                snapshot_ids=json.loads(row["snapshot_ids"] or "{}"),
                cut_off=json.loads(row["cut_off"] or "{}"),
                git_sha=row["git_sha"] or "",
            )
    return found


def ever_published(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The close keys of which readers have seen some version."""
    return {row["close_key"] for row in rows if row["state"] == "published"}


def refuse_superseded(close: Close, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise where a later version is published, or where this one was rolled back."""
    rows = list(rows)
    current = live(rows)
    later = [s for key, version in close.keys.items() if (s := current.get(key)) and s.version > version]
    if later:
        first = later[0]
        raise Superseded(
            f"{first.close_key}: version {first.version} is published already, so version "
            f"{close.keys[first.close_key]} of run {close.run_id} is not ({len(later)} of {len(close.keys)} closes). "
            "To close again, trigger a new run"
        )
    found = states(rows)
    for key, version in close.keys.items():
        if found.get(key, {}).get(version, {}).get("state") == "rolled_back":
            raise PublishError(
                f"{key}: version {version} was rolled back and stays so. To close again, trigger a new run"
            )


def closed_since(close: Close) -> list[str]:
    """The other days of the close's months that were published or withdrawn after it read its history.

    Of no account where the pack publishes no month.
    """
    if not any(mart.window == "month" for mart in marts(close.pack)):
        return []
    first = close.from_date.replace(day=1)
    last = (close.to_date.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return sorted(
        {
            row["close_key"]
            for row in close_rows(close.pack, close.calendar, first, last)
            if row["state"] in ("published", "rolled_back")
            and row["recorded_at"] > close.history_at
            and row["close_key"] not in close.keys
        }
    )


def is_overtaken(close: Close) -> bool:
    """Whether a close of the calendar that froze later is published: its dimensions are newer than this one's."""
    later = GreaterThan("frozen_at", close.frozen_at.isoformat())
    return bool(read("closes", later, ("run_id",), pack=close.pack, calendar=close.calendar, state="published"))


def measured(close: Close, rows: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Close key -> row counts per mart and exact control totals per mart and decimal column.

    A mart kept by month counts for every day of that month in the run; a mart without a window counts whole.
    """
    found: dict[str, dict[str, Any]] = {key: {"row_counts": {}, "control_totals": {}} for key in close.keys}
    for mart in marts(close.pack):
        if mart.name not in rows:
            continue
        per_window = _totals(mart, rows[mart.name])
        for name in close.names:
            day = date_of(name)
            window = {"all": None, "month": day.replace(day=1)}.get(mart.window, name if mart.is_by_name else day)
            count, totals = per_window.get(window, (0, {}))
            entry = found[close_key(name, close.calendar)]
            entry["row_counts"][mart.name] = count
            if totals and mart.window != "all":
                entry["control_totals"][mart.name] = totals
    return found


def _totals(mart: Mart, rows: pa.Table) -> dict[date | str | None, tuple[int, dict[str, str]]]:
    """Window value -> row count and exact sums of the decimal columns that are not part of the key."""
    columns = [f.name for f in rows.schema if pa.types.is_decimal(f.type) and f.name not in mart.key]
    sums = "".join(f', cast(sum("{name}") as varchar)' for name in columns)
    group = "null" if mart.window == "all" else f'"{mart.window}"'
    with duckdb.connect() as engine:
        engine.register("mart", rows)
        found = engine.execute(f"select {group} as w, count(*){sums} from mart group by w").fetchall()
    return {
        w: (count, {n: t for n, t in zip(columns, totals, strict=True) if t is not None}) for w, count, *totals in found
    }


def plan(
    close: Close, rows: Mapping[str, pa.Table], snapshot_ids: Mapping[str, int | None], who: str, why: str
) -> dict[str, Any]:
    """What the intent keeps so that anyone can write the seal: one entry per close key."""
    return {
        "common": {
            "git_sha": git_sha(),
            "snapshot_ids": dict(snapshot_ids),
            "verdict": verdict(close.run_id),
            "who": who,
            "why": why,
        },
        "rows": {name: table.num_rows for name, table in rows.items()},
        "keys": [
            {"run_id": close.run_id, "close_key": key, "version": close.keys[key], "state": "published", **entry}
            for key, entry in measured(close, rows).items()
        ],
    }


def write(intent: Intent, lease: Lease) -> None:
    """Write the seals of an intent whose tables are all in, and end it. Done already, nothing happens."""
    written = {(r["close_key"], r["version"], r["state"]) for r in read("closes", publish_id=intent.publish_id)}
    frozen: dict[str, dict[str, dict[str, Any]]] = {}
    rows = []
    for entry in intent.seals["keys"]:
        if (entry["close_key"], entry["version"], entry["state"]) in written:
            continue
        run_id = entry["run_id"]
        if run_id not in frozen:
            frozen[run_id] = {r["close_key"]: r for r in read("closes", run_id=run_id, state="frozen")}
        base = {k: v for k, v in frozen[run_id].get(entry["close_key"], {}).items() if k != "recorded_at"}
        rows.append({**base, **intent.seals["common"], **entry, "publish_id": intent.publish_id})
    with lease.guard():
        if any(r["state"] != "intent" for r in read("publishes", None, ("state",), publish_id=intent.publish_id)):
            return
        record("closes", rows)
        intent.end("sealed", lease)


def verdict(run_id: str) -> str:
    """What the gates of the run said, in a few words."""
    latest: dict[tuple, dict[str, Any]] = {}
    for row in read("gate_results", run_id=run_id):
        latest[
            (row["layer"], row["suite"], row["table_name"], row["expectation"], row["column_name"], row["bound"])
        ] = row
    results = list(latest.values())
    if not results:
        return "not gated"
    bad = [r for r in results if not r["success"]]
    accepted = [r for r in bad if r["accepted_by"]]
    critical = [r for r in bad if r["severity"] == "critical" and not r["accepted_by"]]
    warnings = len(bad) - len(accepted) - len(critical)
    said = "failed" if critical else "accepted" if accepted else "passed"
    parts = [f"{len(results)} expectations"]
    parts += [f"{len(critical)} critical failed"] * bool(critical) + [f"{len(accepted)} accepted"] * bool(accepted)
    parts += [f"{warnings} warnings"] * bool(warnings)
    return f"{said} ({', '.join(parts)})"


@cache
def git_sha() -> str:
    """The commit that the code runs from, with `+` where files were changed since; `unknown` outside git."""
    try:
        run = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 10, "check": True}
        sha = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **run).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **run).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{sha}+" if changed else sha
