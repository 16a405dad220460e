"""The files that OpenLineage appends its events to: one JSON object a line, the live file and those set aside."""

import json
from collections.abc import Iterator
from pathlib import Path


def lines(path: Path, start: int) -> Iterator[tuple[bytes, int]]:
    """Every complete line after `start` with the offset at which it ends; one still being written waits."""
    with path.open("rb") as file:
        file.seek(start)
        end = start
        for line in file:
            end += len(line)
            if not line.endswith(b"\n"):
                return
            if line.strip():
                yield line, end


def segment(path: Path) -> str:
    """The file's identity, the same before and after it is set aside."""
    status = path.stat()
    return f"{status.st_dev:x}-{status.st_ino:x}-{_born(path)}"


def _born(path: Path) -> str:
    """The first event's time: an inode number comes again when its file is gone."""
    with path.open("rb") as file:
        head = file.readline()
    try:
        return json.loads(head)["eventTime"]
    except (ValueError, KeyError, TypeError):
        return "unknown"
