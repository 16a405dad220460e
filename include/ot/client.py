"""What a bridge asks of a protocol client, and what the client may call: the seam between both."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from include.ot.reading import Sample
from include.ot.sources import Source
from include.ot.tags import Tag


class Sink(Protocol):
    """Where a client puts what it sees. Every call is made in the event loop's thread and returns at once."""

    def put(self, samples: Sequence[Sample]) -> None:
        """Keep samples, in the order in which the source gave them."""

    def gap(self, tag_ids: Sequence[str], from_at: datetime, to_at: datetime, cause: str) -> None:
        """Tell that samples of these tags may be missing between two times."""

    def written(self, then: Callable[[], None]) -> None:
        """Call `then`, in the event loop, once all that was put and told so far is on disk: an acknowledgement."""

    def state(self, is_connected: bool, detail: Mapping[str, Any]) -> None:
        """Tell whether from now on every change is seen, and what health.json shows: url, tags bound, tags in error."""

    async def settle(self) -> None:
        """Return once all that was put is on disk and there is room for more: for sources that can wait."""


class Client(Protocol):
    """A protocol client. It only reads.

    Where the connection is lost it puts one BAD_NO_COMMUNICATION sample a tag (without `observed_at`), and once it
    is back it tells the gap. One with `keeps_all = True` misses nothing while its bridge is stopped.
    """

    has_history: bool  # whether the source can be asked for what a gap has missed

    def __init__(self, source: Source, sink: Sink) -> None: ...

    async def run(self, tags: Sequence[Tag]) -> None:
        """Read for ever; reconnect by itself, with back-off. Cancelled to stop."""

    async def retag(self, tags: Sequence[Tag]) -> None:
        """Take over a changed dictionary without losing a sample of the tags that stay."""
