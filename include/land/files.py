"""Land partner files: find what waits in the inbox, land it once, hold back what cannot be trusted.

`land` may be killed at any instant and run again: raw itself says which files are in. A bad file is no error
of ours: it goes to quarantine with a reason, the transfer says so, and the other files land.

    python -m include.land.files waiting
    python -m include.land.files land

What quarantine holds, and how to release it: python -m include.gate.quarantine
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

from include import catalog
from include.catalog import Feed
from include.errors import DeclarationError, HnaiError, LandingError
from include.land import file_commit, file_inbox
from include.land.file_commit import Batch, Before
from include.land.file_inbox import UNCLAIMED
from include.land.file_open import MB, BadFile, Opened, logical_name, open_file
from include.land.file_read import kin, read_cells
from include.land.file_rows import Parsed, parse
from include.ops import store

TOGETHER, TOGETHER_MB = 200, 256  # files of one feed that share a commit, and their size
NOTHING: dict[str, int | None] = {"rows_landed": 0, "rows_quarantined": 0, "batch_ordinal": None}
State = Literal["landed", "duplicate", "quarantined"]


class Arrival(TypedDict):
    """One file to land: the arguments of `land_file`."""

    feed_name: str
    path: str


@dataclass(frozen=True)
class Transfer:
    """What became of one file; a row of `ops.file_transfers`."""

    feed: str
    file_name: str
    sha256: str
    state: State
    rows_landed: int
    rows_quarantined: int
    reason: str | None
    received_at: datetime
    batch_ordinal: int | None

    def __str__(self) -> str:
        counts = f"{self.rows_landed} rows landed, {self.rows_quarantined} in quarantine"
        return f"{self.feed}: {self.file_name}: {self.state}, {counts}" + (f". {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class _Found:
    """A file of the inbox, opened."""

    path: Path
    received_at: datetime
    opened: Opened
    from_name: dict[str, str]
    batch: Batch


@dataclass(frozen=True)
class _Load:
    """A file that was read and waits for its commit."""

    found: _Found
    parsed: Parsed


def discover(feed_name: str | None = None) -> list[Arrival]:
    """The files that wait in the inbox, in order of arrival, each with its feed; not those still being written.

    A file in a feed's own folder is of that feed; elsewhere its name tells, and where several patterns fit,
    its heading. One that no pattern fits is of feed "unclaimed": landing it puts it into quarantine.
    """
    feeds = catalog.feeds()
    found: list[Arrival] = [{"feed_name": _feed_of(path, feeds), "path": str(path)} for path in file_inbox.waiting()]
    return [arrival for arrival in found if feed_name in (None, arrival["feed_name"])]


def _feed_of(path: Path, feeds: tuple[Feed, ...]) -> str:
    if owner := file_inbox.folder_feed(path, feeds):
        return owner.full_name
    name = logical_name(path)
    fitting = [feed for feed in feeds if feed.matches(name)]
    if len(fitting) > 1:
        with suppress(LandingError):  # landing finds the same and says why
            fitting = [kin(open_file(path), fitting) or fitting[0]]
    return fitting[0].full_name if fitting else UNCLAIMED


def prepare() -> None:
    """Make the raw table of every feed, so that models and gates can read one that no file has reached yet."""
    for feed in catalog.feeds():
        file_commit.raw_table(feed)


def land_file(feed_name: str, path: str | Path, *, vouched: bool = False, note: str = "") -> Transfer:
    """Land one file of the inbox. A file that landed before is not landed again; a bad one goes to quarantine.

    Raises only where the platform or a declaration is at fault, never for what is in the file. `vouched`:
    somebody said that content which landed under another meter's name is right for this one too.
    """
    return land([{"feed_name": feed_name, "path": str(path)}], vouched=vouched, note=note)[0]


def land(arrivals: Iterable[Arrival], *, vouched: bool = False, note: str = "") -> list[Transfer]:
    """Land files, in the given order; those of one feed share commits. The transfers come in the same order."""
    todo = [(a["feed_name"], file_inbox.in_inbox(Path(a["path"]))) for a in arrivals]
    done: dict[Path, Transfer] = {}
    failed: dict[Path, HnaiError] = {}
    while left := [(name, path) for name, path in todo if path not in done and path not in failed]:
        name = left[0][0]
        paths = _together([path for other, path in left if other == name])
        try:
            group = _Group(None if name == UNCLAIMED else catalog.feed(name), vouched, note)
            done.update(group.land(paths))
            failed.update(group.failed)
        except DeclarationError as error:  # the feed's own; files of other feeds still land
            failed.update(dict.fromkeys(paths, error))
    if failed:
        raise next(iter(failed.values()))
    return [done[path] for _, path in todo]


def _together(paths: list[Path]) -> list[Path]:
    """The first of the files, as many as may share a commit and the memory."""
    taken, size = [], 0
    for path in paths[:TOGETHER]:
        size += path.lstat().st_size if path.exists() else 0
        if taken and size > TOGETHER_MB * MB:
            break
        taken.append(path)
    return taken


class _Group:
    """Some files of one feed, landed by one commit; one with another's content waits for the next round."""

    def __init__(self, feed: Feed | None, vouched: bool, note: str) -> None:
        self.feed, self.vouched, self.note = feed, vouched, note
        self.feed_name = feed.full_name if feed else UNCLAIMED
        self.done: dict[Path, Transfer] = {}
        self.failed: dict[Path, HnaiError] = {}

    def land(self, paths: list[Path]) -> dict[Path, Transfer]:
        found: dict[str, _Found] = {}
        for path in paths:
            if not path.is_symlink() and not path.exists():
                self.earlier(path)
            elif (one := self.open(path)) and one.batch.batch_id not in found:
                found[one.batch.batch_id] = one
        known = file_commit.before(self.feed, list(found)) if found else {}
        loads = [load for one in found.values() if (load := self.read(one, known.get(one.batch.batch_id)))]
        if loads:
            ordinals = file_commit.commit(self.feed, [(load.found.batch, load.parsed) for load in loads])
            transfers = {load.found.path: self.landed(load, ordinals[load.found.batch.batch_id]) for load in loads}
            store.record("file_transfers", [asdict(t) for t in transfers.values()])
            for load in loads:
                file_inbox.archive(load.found.path, self.feed, load.found.batch.batch_id)
                file_inbox.remove(load.found.path)
                file_inbox.no_longer_held(load.found.opened.sha256, load.found.path.name)
            self.done.update(transfers)
        return self.done

    def open(self, path: Path) -> _Found | None:
        received_at = file_inbox.arrived_at(path)
        try:
            opened = open_file(path)
        except BadFile as bad:
            self.hold(path, file_inbox.sha256_of(path), str(bad), received_at)
            return None
        except PermissionError:
            self.failed[path] = LandingError(f"{path} cannot be read; give the platform's user the right: chmod a+r")
            return None
        try:
            if self.feed is None:
                raise BadFile(_why_unclaimed(path, opened))
            from_name, name = _from_name(self.feed, path, opened)
        except BadFile as bad:
            self.hold(path, opened.sha256, str(bad), received_at)
            return None
        batch_id = hashlib.sha256(f"{opened.sha256} {name}".encode()).hexdigest() if self.vouched else opened.sha256
        batch = Batch(batch_id, name, file_inbox.modified_at(path), received_at)
        return _Found(path, received_at, opened, from_name, batch)

    def read(self, found: _Found, before: Before | None) -> _Load | None:
        try:
            if before and (before.rows_landed or file_inbox.archived(self.feed, found.batch.batch_id)):
                _check_namesake(found, before)
                self.again(found, before)
                return None
            cells = read_cells(found.opened, self.feed)
            return _Load(found, parse(cells, self.feed, found.from_name, found.received_at, catalog.feeds()))
        except BadFile as bad:
            self.hold(found.path, found.opened.sha256, str(bad), found.received_at)
        except LandingError as error:  # the declaration is at fault, not the file
            self.failed[found.path] = error
        return None

    def earlier(self, path: Path) -> None:
        """Say what an earlier try of the same task made of a file that is no longer there."""
        rows = store.read("file_transfers", feed=self.feed_name, file_name=path.name)
        if rows:
            self.done[path] = _from_row(rows[-1])
        else:
            self.failed[path] = LandingError(
                f"{path} is gone and no transfer of it is recorded. Was it taken out of the inbox by hand?"
            )

    def transfer(
        self, path: Path, sha256: str, received_at: datetime, state: State, reason: str | None, **counts: int | None
    ) -> Transfer:
        said = ". ".join(part for part in (self.note, reason) if part)
        return Transfer(
            self.feed_name,
            path.name,
            sha256,
            state,
            reason=said or None,
            received_at=received_at,
            **{**NOTHING, **counts},
        )

    def landed(self, load: _Load, ordinal: int | None) -> Transfer:
        parts = load.parsed.notes[:5]
        if len(load.parsed.notes) > len(parts):
            parts.append(f"and {len(load.parsed.notes) - len(parts)} notes more")
        if load.parsed.rejected:
            first = load.parsed.rejected[0]
            parts.insert(
                0, f"{len(load.parsed.rejected)} rows in quarantine, the first is row {first.number}: {first.reason}"
            )
        return self.transfer(
            load.found.path,
            load.found.opened.sha256,
            load.found.received_at,
            "landed" if ordinal is not None else "quarantined",
            "; ".join(parts),
            rows_landed=load.parsed.rows.num_rows,
            rows_quarantined=len(load.parsed.rejected),
            batch_ordinal=ordinal,
        )

    def hold(self, path: Path, sha256: str, reason: str, received_at: datetime) -> None:
        """Put a file into quarantine as a whole."""
        self.done[path] = self.transfer(path, sha256, received_at, "quarantined", reason)
        store.record("file_transfers", [asdict(self.done[path])])
        file_inbox.quarantine(path, self.feed_name, sha256, reason, received_at)

    def again(self, found: _Found, before: Before) -> None:
        """Drop a file whose content landed under this or another name; or finish what a killed try left undone."""
        kept = file_inbox.archived(self.feed, found.batch.batch_id)
        about = (found.path, found.opened.sha256, found.received_at)
        if kept:
            name = kept.name.partition("_")[2].removesuffix(".gz")
            reason = f"The same content is in already, as {name} (ordinal {before.ordinal})"
            transfer = self.transfer(*about, "duplicate", reason, batch_ordinal=before.ordinal)
        else:
            transfer = self.transfer(
                *about,
                "landed" if before.rows_landed else "quarantined",
                "Landed by an earlier try that was stopped before it ended",
                rows_landed=before.rows_landed,
                rows_quarantined=before.rows_quarantined,
                batch_ordinal=before.ordinal,
            )
        recorded = (
            []
            if kept
            else store.read("file_transfers", feed=self.feed_name, sha256=transfer.sha256, file_name=transfer.file_name)
        )
        if recorded:
            transfer = _from_row(recorded[-1])
        else:
            store.record("file_transfers", [asdict(transfer)])
        if not kept:
            file_inbox.archive(found.path, self.feed, found.batch.batch_id)
        file_inbox.remove(found.path)
        self.done[found.path] = transfer


def _check_namesake(found: _Found, before: Before) -> None:
    """Refuse content that landed under the name of another meter or well."""
    for column, landed in before.from_name.items():
        if landed != found.from_name[column]:
            raise BadFile(
                f"Byte for byte the file that landed for {column} {landed}, now named for {found.from_name[column]}. "
                "Landed, its volumes would count twice: ask the sender which is right"
            )


def _from_name(feed: Feed, path: Path, opened: Opened) -> tuple[dict[str, str], str]:
    """What the name says, and the name that says it: that inside an archive, or of the archive itself."""
    for name in (opened.name, path.name, path.name.removesuffix(".zip").removesuffix(".gz")):
        if match := feed.matches(name):
            return match.groupdict(), name
    other = kin(opened, [f for f in catalog.feeds() if f.full_name != feed.full_name])
    if other:
        raise BadFile(
            f"This is a file of {other.full_name}, not of {feed.full_name}; move it to inbox/{other.identifier}/"
        )
    if any(column.from_name for column in feed.columns):
        raise BadFile(
            f"The name {opened.name!r} does not fit the pattern {feed.pattern!r} of {feed.full_name}; "
            "rename it and drop it again"
        )
    return {}, opened.name


def _from_row(row: Mapping[str, Any]) -> Transfer:
    return Transfer(**{name: value for name, value in row.items() if name != "recorded_at"})


def _why_unclaimed(path: Path, opened: Opened) -> str:
    other = kin(opened, catalog.feeds())
    if other:
        return (
            f"No feed's pattern fits the name {path.name!r}, but the heading is that of {other.full_name}. "
            "Rename it, or widen the pattern"
        )
    known = "; ".join(f"{feed.full_name} {feed.pattern}" for feed in catalog.feeds())
    return (
        f"No feed's pattern fits the name {path.name!r}. Declare a feed (docs/how-to/add-a-file-feed.md). "
        f"Declared: {known}"
    )


def main() -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser(prog="python -m include.land.files", description="Land the partner files of the inbox.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("waiting", help="files in the inbox, each with its feed")
    verbs.add_parser("land", help="land what waits, and say what became of each file")
    if parser.parse_args().verb == "waiting":
        for arrival in discover():
            print(f"{arrival['feed_name']}  {arrival['path']}")
    else:
        for transfer in land(discover()):
            print(transfer)


if __name__ == "__main__":
    main()
