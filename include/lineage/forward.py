"""From the file that OpenLineage appends to, on to a lineage server that speaks Marquez's API, if one is set.

Each event is sent in its order and at least once: how far each file has been sent stands beside it. While the server
is away nothing fails and nothing is lost; what has gathered is sent when it is back.
"""

import json
import logging
import os
from pathlib import Path

import requests

from include.lineage.files import lines, segment
from include.settings import has_secret, secret, settings

log = logging.getLogger(__name__)

SENT = "sent.json"  # segment -> offset up to which it was sent
PATH = "/api/v1/lineage"
TIMEOUT_S = 5.0
SAVE_EVERY = 100
REFUSED_FOR_GOOD = (400, 413, 422)  # the event itself: it would be refused again


def forward_events(folder: Path) -> int:
    """Send what has not been sent and return the number of events. Never raises for a server that is away."""
    if not settings.lineage.url:
        return 0
    sent, count = _sent(folder), 0
    try:
        with requests.Session() as session:
            if has_secret("lineage_token"):
                session.headers["Authorization"] = f"Bearer {secret('lineage_token')}"
            for path in sorted(folder.glob("events*.jsonl")):
                name = segment(path)
                for line, end in lines(path, sent.get(name, 0)):
                    _send(session, line)
                    sent[name], count = end, count + 1
                    if count % SAVE_EVERY == 0:
                        _keep(folder, sent)
    except requests.RequestException as error:
        log.warning("The lineage server at %s does not take events, sent later: %s", settings.lineage.url, error)
    _keep(folder, sent)
    return count


def is_sent(folder: Path, path: Path) -> bool:
    """Whether nothing of the file waits to be sent."""
    return not settings.lineage.url or not any(lines(path, _sent(folder).get(segment(path), 0)))


def _send(session: requests.Session, line: bytes) -> None:
    answer = session.post(
        settings.lineage.url.rstrip("/") + PATH,
        data=line,
        headers={"Content-Type": "application/json"},
        timeout=TIMEOUT_S,
    )
    if answer.status_code in REFUSED_FOR_GOOD:
        log.warning("The lineage server refuses an event (%d): %s", answer.status_code, answer.text[:200])
        return
    answer.raise_for_status()


def _sent(folder: Path) -> dict[str, int]:
    path = folder / SENT
    return json.loads(path.read_text()) if path.is_file() else {}


def _keep(folder: Path, sent: dict[str, int]) -> None:
    """Write down how far each file that still exists has been sent, in one step."""
    present = {segment(path) for path in folder.glob("events*.jsonl")}
    fresh = folder / f".{SENT}.{os.getpid()}"
    fresh.write_text(json.dumps({name: offset for name, offset in sent.items() if name in present}))
    fresh.replace(folder / SENT)
