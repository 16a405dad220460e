"""The MTConnect client: an agent's HTTP stream (`http://…`) or an adapter's SHDR socket (`shdr://…`). It only reads.

*Agent.* `current` gives what holds, `sample?from=…` what has happened since, in the agent's own order. Where the
connection is cut, the next one goes on at the same sequence number: what the agent's buffer holds is not missed. An
agent that was started again (another instance id) or whose buffer has run over is told as a gap, and read from the
oldest that it has. Only GET is ever sent.

*Adapter.* It sends its whole state to whoever connects, then every change. It keeps nothing, so every cut is a gap.
The only bytes ever sent to it are `* PING`: the protocol's question whether the adapter is alive, which it answers
with `* PONG` and its heartbeat. It changes nothing.

UNAVAILABLE is no data (BadNoData, no value). What no tag is declared for is named in the state.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from include.errors import DeclarationError
from include.ot.client import Sink
from include.ot.http_stream import HttpProblem
from include.ot.mtconnect_adapter import Adapter, connected, lines_of
from include.ot.mtconnect_agent import Agent, current
from include.ot.mtconnect_session import Line, Lost, options_of
from include.ot.mtconnect_xml import NoDocument
from include.ot.observations import BAD_CONFIGURATION_ERROR, Observation, Tags
from include.ot.reading import BAD_NO_DATA, BAD_NODE_ID_UNKNOWN, Sample
from include.ot.sources import Source
from include.ot.tags import Tag
from include.ot.telling import Downs, Gaps

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5  # between the first two tries to connect; then twice as long each time
STABLE_S = 10.0  # a connection that lasted so long is tried again without waiting
TELL_S = 2.0  # the state is told at least this often while something comes
SHOWN = 200  # tags in error, or not seen


class MtConnectClient:
    """See `include.ot.client.Client`."""

    has_history = False

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source, self.sink, self.options = source, sink, options_of(source)
        self.tags = Tags()
        self._declared: dict[str, Tag] = {}
        self.seen: set[str] = set()
        self.heard_at = self._since = datetime.now(UTC)
        self.gaps = Gaps(sink)
        self.downs = Downs(sink, self.options.down_s)
        self._is_connected, self._last_error, self._told = False, None, 0.0
        scheme = urlsplit(source.url).scheme
        if scheme not in ("http", "https", "shdr") or not urlsplit(source.url).hostname:
            raise DeclarationError(
                f"{source.name}.yaml: url {source.url!r} must be http://agent:5000[/device] or shdr://adapter:7878"
            )
        self._line: Line = Adapter(self) if scheme == "shdr" else Agent(self)

    async def run(self, tags: Sequence[Tag]) -> None:
        self.heard_at = self._since = datetime.now(UTC)
        self._take_over(tags)
        self.downs.start(self.readable)
        wait_s = 0.0
        try:
            while True:
                started = monotonic()
                try:
                    await self._line.follow()
                except (Lost, HttpProblem, NoDocument, OSError) as error:
                    self._lost(error)
                wait_s = 0.0 if monotonic() - started > STABLE_S else wait_s
                self.tell(retry_in_s=round(wait_s, 1))
                await asyncio.sleep(wait_s)
                wait_s = min(max(FIRST_WAIT_S, wait_s * 2), self.options.reconnect_max_s)
        finally:
            self.downs.end()

    async def retag(self, tags: Sequence[Tag]) -> None:
        before = self._declared
        self._take_over(tags)
        new = [tag.tag_id for tag in tags if before.get(tag.tag_id) != tag]
        if new:
            self.seen.difference_update(new)
            self._line.tags_changed(new)
        self.tell()

    def _take_over(self, tags: Sequence[Tag]) -> None:
        wrong = set(self.tags.errors)
        self.tags.take(tags)
        self._declared = {tag.tag_id: tag for tag in tags}
        self.seen &= set(self._declared)
        now = datetime.now(UTC)
        new = [tag_id for tag_id in self.tags.errors if tag_id not in wrong]
        if new:
            self.sink.put([Sample(tag_id, None, BAD_CONFIGURATION_ERROR, None, None, now) for tag_id in new])

    def readable(self) -> list[str]:
        return [tag_id for tag_id in self._declared if tag_id not in self.tags.errors]

    # What the lines say

    def connected(self) -> None:
        self.downs.end()
        if not self._is_connected:
            self._is_connected, self._since, self._last_error = True, datetime.now(UTC), None
            log.info("%s: connected to %s, %d tags", self.source.name, self.source.url, len(self._declared))
        self.tell()

    def take(self, observations: Iterable[Observation], only: Callable[[str], bool] | None = None) -> None:
        """Hand on what was observed; of tags that `only` lets through."""
        now = datetime.now(UTC)
        samples: list[Sample] = []
        for observation in observations:
            for sample in self.tags.samples(observation, now):
                if only is None or only(sample.tag_id):
                    samples.append(sample)
                    samples += self.downs.back(sample)
        self.seen.update(sample.tag_id for sample in samples)
        if samples:
            self.sink.put(samples)
        if monotonic() - self._told > TELL_S:
            self.tell()

    def gap(self, cause: str, margin: timedelta = timedelta(0)) -> None:
        """Whatever happened since we last heard may be missing."""
        self.gaps.tell(self.readable(), self.heard_at - margin, datetime.now(UTC) + margin, cause)

    def _lost(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if self._is_connected:
            self._since = datetime.now(UTC)
            log.warning("%s: connection lost: %s", self.source.name, text)
        elif text != self._last_error:
            log.warning("%s: %s", self.source.name, text)
        self.downs.start(self.readable)
        self._is_connected, self._last_error = False, text

    def tell(self, **more: Any) -> None:
        self._told = monotonic()
        errors = self.tags.errors
        unseen = [tag_id for tag_id in self.readable() if tag_id not in self.seen]
        self.sink.state(
            self._is_connected,
            {
                "url": self.source.url,
                "since": self._since.isoformat(),
                "tags": len(self._declared),
                "bound": len(self.seen - errors.keys()),
                "in_error": len(errors),
                "errors": dict(list(errors.items())[:SHOWN]),
                "not_seen": unseen[:SHOWN],
                "without_a_tag": dict(self.tags.strangers),
                "last_error": self._last_error,
                **self._line.detail(),
                **more,
            },
        )


async def read_once(source: Source, tags: Sequence[Tag]) -> list[Sample]:
    """The present value of each tag; one that the machine does not have is bad, and the log says so.

    Of an adapter it is what it sends to whoever connects, within `timeout_s`.
    """
    client = MtConnectClient(source, _Nobody())
    client.tags.take(tags)
    last: dict[str, Sample] = {}

    def take(observations: Iterable[Observation]) -> None:
        now = datetime.now(UTC)
        last.update({s.tag_id: s for o in observations for s in client.tags.samples(o, now)})

    missing = BAD_NODE_ID_UNKNOWN
    if urlsplit(source.url).scheme == "shdr":
        missing, parser = BAD_NO_DATA, client.options.parser()
        with suppress(TimeoutError):
            async with asyncio.timeout(client.options.timeout_s), connected(source, client.options) as (reader, _):
                async for lines in lines_of(reader, lambda: None):
                    take(o for line in lines for o in parser.feed(line))
                    if all(tag.tag_id in last or tag.tag_id in client.tags.errors for tag in tags):
                        break
    else:
        take((await current(source, client.options)).observations)
    now = datetime.now(UTC)
    found = []
    for tag in tags:
        if tag.tag_id not in last:
            log.warning("%s: %s", tag.tag_id, client.tags.errors.get(tag.tag_id, f"{tag.address!r} was not sent"))
        quality = BAD_CONFIGURATION_ERROR if tag.tag_id in client.tags.errors else missing
        found.append(last.get(tag.tag_id) or Sample(tag.tag_id, None, quality, None, None, now))
    return found


class _Nobody:
    """A sink of one who only looks once."""

    def put(self, samples: Sequence[Sample]) -> None: ...

    def gap(self, tag_ids: Sequence[str], from_at: datetime, to_at: datetime, cause: str) -> None: ...

    def state(self, is_connected: bool, detail: Mapping[str, Any]) -> None: ...
