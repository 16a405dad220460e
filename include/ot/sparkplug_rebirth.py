"""Ask Sparkplug edge nodes for their births. This writes, so it is imported only where `may_request_rebirth` is set.

A node answers with all its metrics, and many that answer at one time can fill a line: each is asked once a minute at
first and ever more seldom while it does not answer, and one node a second in all.
"""

import logging
import time
from collections.abc import Callable, Mapping

from include.ot.mqtt import Publisher
from include.ot.sources import Source
from include.ot.sparkplug_nodes import NAMESPACE
from include.ot.sparkplug_payload import rebirth_command
from include.settings import settings

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 60.0, 3600.0  # between two requests to one node
APART_S = 1.0  # between requests to different nodes


class Pace:
    """Which node may be asked when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._again: dict[str, tuple[float, float]] = {}  # by node: not before, and the pause after that
        self._next = 0.0

    def next(self, needed: Mapping[str, str]) -> str | None:
        """A node to ask now, of those whose births are needed; it counts as asked."""
        now = self._clock()
        self._again = {node: when for node, when in self._again.items() if node in needed}
        if now < self._next:
            return None
        for node in needed:
            at, pause = self._again.get(node, (now, FIRST_S))
            if now >= at:
                self._again[node] = (now + pause, min(2 * pause, LONGEST_S))
                self._next = now + APART_S
                return node
        return None


class Rebirths:
    """The connection that asks; the one that listens stays one that only listens."""

    def __init__(self, source: Source, user: str) -> None:
        self._pace = Pace()
        self._publisher = Publisher(user, f"rebirth-{source.name}", lambda _: None, url=source.url or None)
        self._publisher.start()

    def ask(self, needed: Mapping[str, str], now_us: int) -> str | None:
        """Ask the next node whose turn it is. May be called as often as one likes. Returns the node."""
        if not (needed and settings.ot.may_request_rebirth and self._publisher.is_connected):
            return None
        if node := self._pace.next(needed):
            group, _, edge = node.partition("/")
            self._publisher.publish(f"{NAMESPACE}/{group}/NCMD/{edge}", rebirth_command(now_us), qos=0)
            log.info("Asked %s for its birth: %s", node, needed[node])
        return node

    def stop(self) -> None:
        self._publisher.stop()
