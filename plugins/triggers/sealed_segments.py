"""Wakes `mirror_ot` when sealed segments wait in the spool and nobody commits them."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from include.ot.waiting import Waiting

LONGEST_PAUSE_S = 600.0


class SealedSegmentsTrigger(BaseEventTrigger):
    """Fires when segments wait and nobody has drained for `quiet_s`: the next run may be about to take over.

    A run goes on committing for minutes, so one event is enough: the next one comes only after segments were
    committed. Where none was (the run has yet to start, or it fails), it comes after `pause_s`, later each time.
    """

    def __init__(self, *, every_s: float = 1.0, quiet_s: float = 3.0, pause_s: float = 60.0) -> None:
        super().__init__()
        self.every_s, self.quiet_s, self.pause_s = every_s, quiet_s, pause_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"every_s": self.every_s, "quiet_s": self.quiet_s, "pause_s": self.pause_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        watch = await asyncio.to_thread(_watch)
        due, trouble = _Due(self.quiet_s, self.pause_s), ""
        try:
            while True:
                try:
                    found, told = await asyncio.to_thread(watch.look), ""
                except Exception as error:  # spool or database are away for a while: never a reason to stop watching
                    found, told = None, f"{type(error).__name__}: {error}".strip()
                if told != trouble:
                    self.log.warning("The spool cannot be watched: %s", told or "now it can again")
                    trouble = told
                if found is not None and due.now(found, time.monotonic()):
                    self.log.info("%d segments wait after segment %d", found.segments, found.progress)
                    yield TriggerEvent({"after": found.progress, "segments": found.segments})
                await asyncio.sleep(self.every_s)
        finally:
            watch.close()


class _Due:
    """Whether a run has to be woken, by what was found before."""

    def __init__(self, quiet_s: float, pause_s: float) -> None:
        self._quiet_s, self._first_pause_s = quiet_s, pause_s
        self._drained_at = float("-inf")
        self._woken_at, self._woken_after, self._pause_s = 0.0, -1, pause_s

    def now(self, found: "Waiting", at: float) -> bool:
        if found.is_drained:
            self._drained_at = at
        if found.is_drained or not found.segments or at - self._drained_at < self._quiet_s:
            return False
        has_moved = found.progress != self._woken_after
        if not has_moved and at - self._woken_at < self._pause_s:
            return False
        self._pause_s = self._first_pause_s if has_moved else min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._woken_at, self._woken_after = at, found.progress
        return True


def _watch() -> Any:
    """Imported when the first trigger runs, in a thread: it loads Arrow and PostgreSQL's driver."""
    from include.ot.waiting import Watch

    return Watch()
