"""Listening to an MTConnect agent: what holds, then what happens, in the agent's own order. Only GET is ever sent."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from include.ot import http_stream
from include.ot.http_stream import HttpProblem
from include.ot.mtconnect_session import Listener, Lost, Options
from include.ot.mtconnect_xml import NoDocument, Refusal, Streams, document
from include.ot.sources import Source

SHOWN = 200  # observations that cannot be read


class Agent:
    """An agent's stream. `_next` is the sequence number at which it goes on, whatever happens to the connection."""

    def __init__(self, client: Listener) -> None:
        self.client, self.options = client, client.options
        self._instance: str | None = None
        self._next = 0
        self._version = ""
        self._skew = timedelta(0)
        self._unreadable: dict[str, None] = {}
        self._answer: http_stream.Answer | None = None
        self._failed = False  # whether a try failed before the first that worked
        self._look_again = False  # for tags whose present value is wanted

    async def follow(self) -> None:
        while True:
            self._look_again = False
            try:
                self._catch_up(await current(self.client.source, self.options))
            except BaseException:
                self._failed = True
                raise
            self.client.connected()
            try:
                await self._stream()
            except (Lost, HttpProblem):
                if not self._look_again:
                    raise

    async def _stream(self) -> None:
        """Hand on what happens, until it raises or there are new tags."""
        options = self.options
        silence_s = 2 * options.heartbeat_ms / 1000 + options.timeout_s
        while not self._look_again:
            query = {
                "from": self._next,
                "count": options.count,
                "interval": options.interval_ms,
                "heartbeat": options.heartbeat_ms,
            }
            url = _address(self.client.source, options, "sample", query)
            self._answer = answer = await http_stream.get(url, options.timeout_s, silence_s)
            try:
                if self._look_again:
                    return
                async for body in answer.parts():
                    self._take(document(body), answer.status)
                if answer.boundary is not None:
                    raise Lost("the agent ended the stream")
            finally:
                self._answer = None
                await answer.close()
            await asyncio.sleep(options.interval_ms / 1000)  # it does not stream: ask again and again

    def _catch_up(self, found: Streams) -> None:
        """Find where to go on, from what the agent says that it holds."""
        client, now = self.client, datetime.now(UTC)
        self._skew = abs(now - found.created_at) if found.created_at else timedelta(0)
        is_new = found.instance != self._instance or found.next_sequence < self._next
        is_overrun = found.first_sequence > self._next
        if self._instance is None:
            if self._failed:
                client.gap("connection_lost", self._margin)
            self._next = found.next_sequence
            client.take(found.observations)
        elif is_new or is_overrun:
            client.gap("connection_lost" if is_new else "queue_overflow", self._margin)
            self._next = found.first_sequence
            client.take(found.observations)
        else:  # nothing is missing; those that did not change meanwhile must not look dead
            client.take(found.observations, lambda tag_id: client.downs.is_down(tag_id) or tag_id not in client.seen)
        self._instance, self._version = found.instance, found.version
        self._remember(found.unreadable)
        client.heard_at = now

    @property
    def _margin(self) -> timedelta:
        """By how much a gap in our time is widened to hold in the agent's."""
        return self._skew + timedelta(milliseconds=self.options.interval_ms)

    def _take(self, found: Streams | Refusal, status: int) -> None:
        if isinstance(found, Refusal):
            raise Lost(f"the agent refuses ({status}): {', '.join(found.codes)}: {found.text}")
        if found.instance != self._instance or found.next_sequence < self._next:
            raise Lost("the agent was started again")
        if found.first_sequence > self._next:
            self.client.gap("queue_overflow", self._margin)
        self.client.take(o for o in found.observations if o.sequence >= self._next)
        self._next = found.next_sequence
        self._remember(found.unreadable)
        self.client.heard_at = datetime.now(UTC)

    def _remember(self, unreadable: Iterable[str]) -> None:
        for reason in unreadable:
            if len(self._unreadable) < SHOWN:
                self._unreadable[reason] = None

    def tags_changed(self, new: Iterable[str]) -> None:
        self._look_again = True
        if self._answer is not None:  # the next one goes on where this one stops
            self._answer.abort()

    def detail(self) -> dict[str, Any]:
        return {
            "agent": {"instance": self._instance, "version": self._version, "next": self._next},
            "clock_differs_s": round(self._skew.total_seconds(), 1),
            "unreadable": list(self._unreadable),
        }


async def current(source: Source, options: Options) -> Streams:
    """What holds now, by the agent. Raises `HttpProblem` or `NoDocument`."""
    url = _address(source, options, "current", {})
    answer = await http_stream.get(url, options.timeout_s, options.timeout_s)
    try:
        body = await answer.read()
    finally:
        await answer.close()
    try:
        found = document(body)
    except NoDocument as error:
        if answer.status != 200:
            raise HttpProblem(f"{url} answers {answer.status}; is the address that of an agent?") from error
        raise
    if isinstance(found, Refusal):
        raise HttpProblem(f"{url} answers {answer.status}: {', '.join(found.codes)}: {found.text}")
    return found


def _address(source: Source, options: Options, request: str, query: dict[str, Any]) -> str:
    """The address of a request: …/sample?from=…"""
    if options.path:
        query = {"path": options.path, **query}
    text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    return f"{source.url.rstrip('/')}/{request}" + (f"?{text}" if text else "")
