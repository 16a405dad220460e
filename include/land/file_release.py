"""Land again what quarantine holds, once a declaration was changed, or somebody vouched for it.

Quarantine is a log too: a released row stays in it, and counts as released because raw holds its batch and row number.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include import catalog
from include.catalog import Feed
from include.errors import LandingError
from include.land import file_commit, file_inbox
from include.land.file_commit import Batch
from include.land.file_inbox import UNCLAIMED
from include.land.file_open import BadFile
from include.land.file_read import Cells
from include.land.file_rows import Parsed, parse
from include.land.files import Transfer, discover, land_file
from include.ops import store
from include.settings import settings


def release(
    feed_name: str,
    batch_id: str,
    who: str,
    why: str,
    *,
    rows: Sequence[int] | None = None,
    vouched: bool = False,
) -> Transfer:
    """Land again a file that was held as a whole, or the rows of one that were held.

    `batch_id` may be its beginning. `rows` picks rows by number. Nothing is repaired: a row is read
    again as it came, by today's declaration, and what still cannot be read stays where it is. So does a row whose
    key came with a later file. `vouched`: content that landed under another meter's name is right for this one too.
    """
    if not who.strip() or not why.strip():
        raise LandingError("A release needs to say who releases and why")
    files = [e for e in file_inbox.quarantined(feed_name) if e["sha256"].startswith(batch_id)]
    if len(files) > 1 and len({e["sha256"] for e in files}) > 1:
        raise LandingError(f"Several held files of {feed_name} begin with {batch_id!r}; give more of the batch id")
    if files:
        return _release_file(feed_name, files[0], who, why, vouched)
    feed = catalog.feed(feed_name)
    waiting = [r for r in file_commit.open_rows(feed) if r["_batch_id"].startswith(batch_id)]
    chosen = [r for r in waiting if rows is None or r["_row_number"] in rows]
    if not chosen:
        raise LandingError(
            f"Nothing of {feed_name} waits in quarantine under {batch_id!r}. "
            "See: python -m include.gate.quarantine list"
        )
    return _release_rows(feed, chosen, who, why)


def _release_file(feed_name: str, entry: Mapping[str, Any], who: str, why: str, vouched: bool) -> Transfer:
    held_at = Path(entry["path"])
    if not held_at.is_file():
        raise LandingError(
            f"{held_at} is no longer there; ask the sender for {entry['file_name']} again and drop it into the inbox"
        )
    back = _inbox_folder(feed_name) / file_inbox.safe_name(entry["file_name"])
    if back.exists():
        raise LandingError(f"{back} waits in the inbox already; land it first")
    draft = back.with_name(f".{back.name}.part")
    back.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(held_at, draft)
    draft.replace(back)
    if feed_name == UNCLAIMED:
        feed_name = next(a["feed_name"] for a in discover() if Path(a["path"]) == back)
    transfer = land_file(feed_name, back, vouched=vouched, note=f"Released by {who}: {why}")
    if transfer.state != "quarantined" or transfer.rows_quarantined:
        held_at.unlink(missing_ok=True)
        held_at.with_name(f"{held_at.name}.reason.json").unlink(missing_ok=True)
    return transfer


def _inbox_folder(feed_name: str) -> Path:
    return settings.inbox_dir if feed_name == UNCLAIMED else settings.inbox_dir / feed_name


def _release_rows(feed: Feed, chosen: Sequence[Mapping[str, Any]], who: str, why: str) -> Transfer:
    first = chosen[0]
    batch = Batch(first["_batch_id"], first["_file_name"], first["_source_at"], first["_received_at"])
    still: list[str] = []
    parsed = None
    try:
        named = feed.matches(batch.file_name)
        parsed = parse(_cells(chosen), feed, named.groupdict() if named else {}, batch.received_at, catalog.feeds())
        still += [f"row {r.number}: {r.reason}" for r in parsed.rejected]
        parsed, late = _without_superseded(feed, batch, parsed)
        still += late
    except BadFile as bad:
        still.append(str(bad))
    ordinal = None
    landed = parsed.rows.num_rows if parsed else 0
    if landed:
        ordinal = file_commit.commit(feed, [(batch, parsed)], again=True)[batch.batch_id]
    transfer = Transfer(
        feed=feed.full_name,
        file_name=batch.file_name,
        sha256=batch.batch_id,
        state="landed" if landed else "quarantined",
        rows_landed=landed,
        rows_quarantined=len(chosen) - landed,
        reason="; ".join([f"Released by {who}: {why}", *still]),
        received_at=batch.received_at,
        batch_ordinal=ordinal,
    )
    store.record("file_transfers", [asdict(transfer)])
    return transfer


def _cells(chosen: Sequence[Mapping[str, Any]]) -> Cells:
    """The held rows as they stood in the file."""
    found = [(row["_row_number"], json.loads(row["_fields"])) for row in chosen]
    whole = [(number, fields) for number, fields in found if isinstance(fields, dict)]
    if not whole:
        raise BadFile("Every row has too few or too many fields; ask the sender for the file again")
    header = list(dict.fromkeys(name for _, fields in whole for name in fields))
    return Cells(
        header,
        numbers=[number for number, _ in whole],
        rows=[[fields.get(name, "") for name in header] for _, fields in whole],
        misfits=[(number, fields) for number, fields in found if isinstance(fields, list)],
    )


def _without_superseded(feed: Feed, batch: Batch, parsed: Parsed) -> tuple[Parsed, list[str]]:
    """Leave out rows whose key came with a file that landed after this one: the later file is right."""
    raw = file_commit.raw_table(feed)
    keys = list(feed.key)
    seen = raw.scan(selected_fields=(*keys, "_commit_lsn", "_landed_at", "_batch_id")).to_arrow()
    first = pc.min(seen.filter(pc.equal(seen["_batch_id"], batch.batch_id))["_landed_at"]).as_py()
    held_at = first or batch.received_at
    later = seen.filter(
        pc.and_(
            pc.greater(seen["_landed_at"], pa.scalar(held_at, seen["_landed_at"].type)),
            pc.not_equal(seen["_batch_id"], batch.batch_id),
        )
    )
    taken = set(zip(*(later[k].to_pylist() for k in keys), strict=True))
    mine = list(zip(*(parsed.rows[k].to_pylist() for k in keys), strict=True))
    late = [
        f"row {n} came again with a later file, which stays"
        for n, k in zip(parsed.rows["_seq"].to_pylist(), mine, strict=True)
        if k in taken
    ]
    rows = parsed.rows.filter(pa.array([key not in taken for key in mine], pa.bool_()))
    return Parsed(rows, parsed.rejected, parsed.notes), late
