"""Listening to an MTConnect adapter: its SHDR lines. The only bytes ever sent are `* PING`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from include.ot.mtconnect_session import Listener, Lost, Options
from include.ot.observations import Observation
from include.ot.sources import Source

PING = b"* PING\n"
PORT = 7878
READ = 64 * 1024
MOST_LINE = 2**20  # bytes of one line


class Adapter:
    """An adapter's socket."""

    def __init__(self, client: Listener) -> None:
        self.client, self.options = client, client.options
        self.parser = client.options.parser()
        self._tries = 0
        self._heartbeat_s: float | None = None  # once it has answered a ping, on this connection or an earlier one
        self._last: dict[tuple[str | None, str], Observation] = {}

    async def follow(self) -> None:
        self._tries += 1
        client = self.client
        has_spoken = False
        async with connected(client.source, self.options) as (reader, writer):
            self.parser = self.options.parser()
            pinging = asyncio.create_task(self._ping(writer))
            try:
                async for lines in lines_of(reader, self._silence_s):
                    if not has_spoken:  # a port that is open says little: its process may hang
                        has_spoken = True
                        if self._tries > 1:
                            client.gap("connection_lost")
                        client.connected()
                    found = [o for line in lines for o in self._read(line)]
                    self._last.update({(o.device, o.key): o for o in found})
                    client.take(found)
                    client.heard_at = datetime.now(UTC)
            finally:
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)
        raise Lost("the adapter closed the connection")

    def _read(self, line: str) -> list[Observation]:
        if line.startswith("* PONG"):
            word = line[6:].strip()
            self._heartbeat_s = int(word) / 1000 if word.isdecimal() and int(word) > 0 else self._heartbeat_s
        return self.parser.feed(line)

    def _silence_s(self) -> float | None:
        """How long the adapter may be silent before it counts as dead."""
        if self._heartbeat_s:
            return 2 * self._heartbeat_s + self.options.timeout_s
        return self.options.silence_s or None

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(PING)
            await writer.drain()
            await asyncio.sleep(self._heartbeat_s or self.options.timeout_s)

    def tags_changed(self, new: Iterable[str]) -> None:
        wanted = set(new)
        self.client.take(self._last.values(), lambda tag_id: tag_id in wanted)

    def detail(self) -> dict[str, Any]:
        parser = self.parser
        return {
            "lines": dict(parser.counts),
            "refused": dict(parser.refused.most_common(20)),
            "last_refused": [f"{reason}: {line}" for line, reason in parser.last_refused][-5:],
            "heartbeat_s": self._heartbeat_s,
        }


@asynccontextmanager
async def connected(
    source: Source, options: Options
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A socket to an adapter, which the system watches for a dead other side."""
    url = urlsplit(source.url)
    host, port = url.hostname, url.port or PORT
    try:
        async with asyncio.timeout(options.timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise Lost(f"{host}:{port} does not take the connection") from error
    except OSError as error:
        raise Lost(f"{host}:{port}: {error.strerror or error}") from error
    try:
        own = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def lines_of(reader: asyncio.StreamReader, silence_s: Callable[[], float | None]) -> AsyncIterator[list[str]]:
    """Whole lines as they come. Of a line that the end of the connection cuts off nothing is taken."""
    held = b""
    while True:
        patience_s = silence_s()
        try:
            async with asyncio.timeout(patience_s):
                piece = await reader.read(READ)
        except TimeoutError as error:
            raise Lost(f"the adapter said nothing for {patience_s:g} s") from error
        if not piece:
            return
        *whole, held = (held + piece).split(b"\n")
        if len(held) > MOST_LINE:
            raise Lost(f"the adapter sends a line of more than {MOST_LINE} bytes; is it one?")
        yield [line.decode("utf-8", "replace") for line in whole]
