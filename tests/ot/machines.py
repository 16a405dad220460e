"""An MTConnect agent and an SHDR adapter for trials. Both keep every byte that they are sent."""

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Self
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape, quoteattr

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class _Server:
    """A TCP server on a free port of this host, that can go away and come back."""

    scheme = ""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.received = b""
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():  # it came in while the port was closed
            writer.transport.abort()
            return
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Adapter(_Server):
    """Sends its state to whoever connects, and what is said to it from then on."""

    scheme = "shdr"

    def __init__(self, *state: str) -> None:
        super().__init__()
        self.state = list(state)
        self.heartbeat_ms: int | None = 10_000  # None: it knows no ping

    async def say(self, *lines: str, end: str = "\n") -> None:
        for writer in self._writers:
            writer.write(("\n".join(lines) + end).encode())
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("".join(f"{line}\n" for line in self.state).encode())
        while data := await reader.read(1000):
            self.received += data
            if self.heartbeat_ms is not None:
                writer.write(f"* PONG {self.heartbeat_ms}\n".encode() * data.count(b"* PING"))


class Agent(_Server):
    """An agent with one device, `Mazak01`, and a buffer of its latest observations."""

    scheme = "http"

    def __init__(self, buffer: int = 1000) -> None:
        super().__init__()
        self.instance = 1
        self.size = buffer
        self.first = self.next = 1
        self.streams = True  # else it answers each sample with one document
        self.chunked = True
        self.piece: int | None = None  # bytes that are sent at once
        self.requests: list[str] = []
        self._buffer: deque[tuple[int, str, str]] = deque(maxlen=buffer)  # sequence, data item, element
        self._last: dict[str, str] = {}
        self._news = asyncio.Event()

    def see(
        self, item: str, value: str, group: str = "Events", element: str = "Event", at: datetime | None = None, **more
    ) -> int:
        """Take in an observation; gives its sequence number."""
        sequence = self.next
        at = at or START + timedelta(seconds=sequence)
        attributes = {
            "dataItemId": item,
            "sequence": sequence,
            "timestamp": at.isoformat().replace("+00:00", "Z"),
            **more,
        }
        text = "".join(f" {name}={quoteattr(str(given))}" for name, given in attributes.items())
        body = value if value.startswith("<") else escape(value)
        wrapped = f"<{group}><{element}{text}>{body}</{element}></{group}>"
        self._buffer.append((sequence, item, wrapped))
        self._last[item] = wrapped
        self.next += 1
        self.first = self._buffer[0][0]
        self._news.set()
        return sequence

    def restart(self) -> None:
        """As after a new start of its process: another instance, an empty buffer."""
        self.instance += 1
        self.first = self.next = 1
        self._buffer.clear()
        self._last.clear()
        self.cut()

    def document(self, elements: list[str], following: int) -> bytes:
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<MTConnectStreams xmlns="urn:mtconnect.org:MTConnectStreams:1.7"><Header creationTime='
            f'"{datetime.now(UTC).isoformat()}" instanceId="{self.instance}" version="1.7.0" bufferSize="{self.size}" '
            f'firstSequence="{self.first}" lastSequence="{self.next - 1}" nextSequence="{following}"/><Streams>'
            '<DeviceStream name="Mazak01" uuid="M-1"><ComponentStream component="Path" name="path" componentId="p">'
            f"{''.join(elements)}</ComponentStream></DeviceStream></Streams></MTConnectStreams>"
        ).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.received += head
        target = head.split()[1].decode()
        self.requests.append(target)
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/current"):
            await self._answer(writer, self.document(list(self._last.values()), self.next))
        elif url.path.endswith("/sample"):
            await self._sample(writer, query)
        else:
            await self._answer(writer, b"<html>no such page</html>", "404 Not Found")

    async def _sample(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        start, count = int(query["from"]), int(query["count"])
        if not self.first <= start <= self.next:
            error = '<MTConnectError><Errors><Error errorCode="OUT_OF_RANGE">from is out of range</Error></Errors>'
            await self._answer(writer, f"{error}</MTConnectError>".encode(), "404 Not Found")
            return
        if not self.streams:
            await self._answer(writer, *self._since(start, count)[:1])
            return
        framing = b"Transfer-Encoding: chunked\r\n" if self.chunked else b""
        await self._send(
            writer,
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=a1b2\r\n" + framing + b"\r\n",
        )
        while True:
            body, start = self._since(start, count)
            part = b"--a1b2\r\nContent-type: text/xml\r\nContent-length: %d\r\n\r\n%s\r\n" % (len(body), body)
            await self._send(writer, b"%x\r\n%s\r\n" % (len(part), part) if self.chunked else part)
            while self.next == start:
                self._news.clear()
                try:
                    async with asyncio.timeout(int(query["heartbeat"]) / 1000):
                        await self._news.wait()
                except TimeoutError:
                    break

    def _since(self, start: int, count: int) -> tuple[bytes, int]:
        found = [(sequence, element) for sequence, _, element in self._buffer if sequence >= start][:count]
        following = found[-1][0] + 1 if found else max(start, self.first)
        return self.document([element for _, element in found], following), following

    async def _answer(self, writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        await self._send(writer, head.encode() + body)

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self.piece or len(data)
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            if self.piece:
                await asyncio.sleep(0)
