"""Where partner files lie: the inbox they arrive in, the archive of what landed, the quarantine of what did not.

inbox/                      files of any feed, told apart by their names; folders are looked through
inbox/<feed>/               files of one feed, e.g. inbox/npd__daily_production/
archive/<feed>/<year-month>/<sha>_<name>.gz
quarantine/<feed>/<sha>_<name>  and beside it  <sha>_<name>.reason.json
"""

import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.catalog import Feed
from include.errors import LandingError
from include.settings import settings

UNCLAIMED = "unclaimed"  # stands for the feed of a file that no feed's pattern fits
FRESH_S = 60.0  # a file older than this is taken to be written completely
STILL_S = 1.0  # a fresher one must not change for this long
_UNFINISHED = re.compile(
    r"^[.~]|\.(part|partial|tmp|temp|filepart|crdownload|download|swp|lock|writing|uploading)$|~$", re.IGNORECASE
)
_PACKED = (".gz", ".zip", ".xlsx", ".7z", ".bz2", ".xz")


def waiting(still_s: float = STILL_S) -> list[Path]:
    """The files of the inbox that are written completely, in order of arrival."""
    found = [path for path in _walk(settings.inbox_dir) if not _UNFINISHED.search(path.name)]
    found = [path for path in found if not _open_for_writing(path)]
    before = {path: _look(path) for path in found}
    now = time.time()
    if any(look and now - look[1] / 1e9 < FRESH_S for look in before.values()):
        time.sleep(still_s)
    same = [path for path in found if before[path] and _look(path) == before[path]]
    return sorted(same, key=lambda path: (before[path][1], path.name))


def _walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if not _UNFINISHED.search(path.name):
                yield from _walk(path)
        else:
            yield path


def _look(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _open_for_writing(path: Path) -> bool:
    """Whether some program on this machine still has the file open for writing, as far as the system tells."""
    if path.is_symlink() or not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # refused while a writer has it open
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # not our file, or a file system without leases: the size tells
        return False
    finally:
        os.close(handle)
    return False


def folder_feed(path: Path, feeds: Iterable[Feed]) -> Feed | None:
    """The feed whose own folder in the inbox holds the file, if any."""
    try:
        folders = path.relative_to(settings.inbox_dir).parts[:-1]
    except ValueError:
        return None
    for feed in feeds:
        if folders and folders[0] in (feed.identifier, feed.full_name):
            return feed
    return None


def arrived_at(path: Path) -> datetime:
    """When the file came into the inbox: its last change, or its appearance there where a copy kept an old date."""
    found = path.lstat()
    return datetime.fromtimestamp(max(found.st_mtime, found.st_ctime), UTC)


def modified_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)


def in_inbox(path: Path) -> Path:
    """`path`, refused where it does not lie in the inbox (a link in the inbox does)."""
    inbox = settings.inbox_dir.resolve()
    spot = path.parent.resolve() / path.name
    if not spot.is_relative_to(inbox):
        raise LandingError(f"{path} does not lie in the inbox {inbox}. Copy it there, it is landed from there alone")
    return spot


def safe_name(name: str) -> str:
    """`name` as it may stand on disk, whatever the sender called the file."""
    return re.sub(r"[^\w .()+,=@-]", "_", name).replace("..", "__")[-150:]


def archive(path: Path, feed: Feed, sha256: str) -> Path:
    """Put a compressed copy of a landed file into the archive. The inbox keeps the file until `remove`."""
    folder = settings.state_dir / "archive" / feed.full_name / f"{arrived_at(path):%Y-%m}"
    folder.mkdir(parents=True, exist_ok=True)
    packed = path.suffix.lower() in _PACKED
    target = folder / f"{sha256[:12]}_{safe_name(path.name)}{'' if packed else '.gz'}"
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with path.open("rb") as source, draft.open("wb") as out:
        if packed:
            shutil.copyfileobj(source, out)
        else:
            with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as squeezed:
                shutil.copyfileobj(source, squeezed)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(target)
    return target


def archived(feed: Feed, sha256: str) -> Path | None:
    """The archived file of this content, if there is one."""
    folder = settings.state_dir / "archive" / feed.full_name
    return next(iter(sorted(folder.glob(f"*/{sha256[:12]}_*"))), None) if folder.is_dir() else None


def quarantine(path: Path, feed_name: str, sha256: str, reason: str, received_at: datetime) -> Path:
    """Move a file that cannot be landed out of the inbox, with the reason beside it."""
    folder = settings.state_dir / "quarantine" / feed_name
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{sha256[:12]}_{safe_name(path.name)}"
    note = {
        "feed": feed_name,
        "file_name": path.name,
        "sha256": sha256,
        "reason": reason,
        "received_at": received_at.isoformat(),
        "quarantined_at": datetime.now(UTC).isoformat(),
    }
    target.with_name(f"{target.name}.reason.json").write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n")
    if not path.is_symlink():  # a link is dropped, what it points to stays where it is
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(path, draft)
        draft.replace(target)
    remove(path)
    return target


def quarantined(feed_name: str | None = None) -> list[dict[str, Any]]:
    """The files held in quarantine as a whole, with their reasons, oldest first; `path` is where the file lies."""
    root = settings.state_dir / "quarantine"
    found = []
    for note in sorted(root.glob(f"{feed_name or '*'}/*.reason.json")) if root.is_dir() else ():
        found.append(
            {**json.loads(note.read_text()), "path": str(note.with_name(note.name.removesuffix(".reason.json")))}
        )
    return sorted(found, key=lambda entry: entry["quarantined_at"])


def no_longer_held(sha256: str, name: str) -> None:
    """Take out of quarantine a file that has landed since, by a release or because it was dropped again."""
    for held in (settings.state_dir / "quarantine").glob(f"*/{sha256[:12]}_*"):
        if held.name.removesuffix(".reason.json") == f"{sha256[:12]}_{safe_name(name)}":
            held.unlink()


def remove(path: Path) -> None:
    """Take a file out of the inbox, also out of a folder that was copied there without the right to write."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        path.parent.chmod(path.parent.stat().st_mode | 0o300)
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The checksum of the file as it lies there; of a link, that of its target's name."""
    if path.is_symlink():
        return hashlib.sha256(str(path.readlink()).encode()).hexdigest()
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
