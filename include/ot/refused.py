"""Payloads that nobody can read, kept with topic and reason: for whoever looks after the one that sent them."""

import base64
import json
import logging
from collections import deque
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from include.ot.mqtt import Delivery
from include.ot.spool_file import write_durably

log = logging.getLogger(__name__)

REFUSED_FILES = 10_000  # kept; the oldest go first


class Refused:
    """A folder of them, a file each. Told again, it is the same file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for half in folder.glob("*.tmp"):
            half.unlink()
        self.folder = folder
        self.count = 0  # since the start
        self.last: str | None = None
        self._kept = deque(path.name for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime))

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, delivery: Delivery, reason: str) -> None:
        """Raises `OSError` where the disk refuses."""
        name = sha256(delivery.topic.encode() + b"\0" + delivery.payload).hexdigest()[:32] + ".json"
        path = self.folder / name
        self.count, self.last = self.count + 1, f"{delivery.topic}: {reason}"
        if path.exists():
            return
        try:
            payload = {"payload": delivery.payload.decode()}
        except UnicodeDecodeError:
            payload = {"payload_base64": base64.b64encode(delivery.payload).decode()}
        entry = {
            "refused_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "topic": delivery.topic,
            "reason": reason,
            **payload,
        }
        write_durably(path, json.dumps(entry, indent=2).encode())
        log.error("A payload on %s is refused and kept as %s: %s", delivery.topic, path, reason)
        self._kept.append(name)
        while len(self._kept) > REFUSED_FILES:
            (self.folder / self._kept.popleft()).unlink(missing_ok=True)
