"""HTTP GET for answers that never end: their parts, as they come. It can ask for nothing but GET."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from include.errors import OtError

MOST_HEADERS = 200
MOST_BYTES = 256 * 2**20  # of one document
READ = 64 * 1024
ADVICE = "Is the server up, and are host and port in the source's YAML (or HNAI_OT__URLS) its own?"


class HttpProblem(OtError):
    """The other side cannot be reached, or what it sends is no HTTP."""


@dataclass
class Answer:
    """What a server sends to one GET. `silence_s`: longest wait for its next bytes."""

    status: int
    headers: Mapping[str, str]
    silence_s: float
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @property
    def boundary(self) -> str | None:
        """What separates the parts of an answer that has several."""
        kind, *rest = self.headers.get("content-type", "").split(";")
        if not kind.strip().lower().startswith("multipart/"):
            return None
        for parameter in rest:
            name, _, value = parameter.strip().partition("=")
            if name.lower() == "boundary":
                return value.strip('"').removeprefix("--")
        raise HttpProblem(f"an answer of several parts that does not say where they end: {self.headers}")

    async def read(self) -> bytes:
        """The whole of an answer that has an end."""
        found = bytearray()
        async for piece in self._pieces():
            found += piece
            if len(found) > MOST_BYTES:
                raise HttpProblem(f"a document of more than {MOST_BYTES} bytes")
        return bytes(found)

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts of an answer, each as soon as it is whole; the only one of an answer that is no multipart."""
        boundary = self.boundary
        if boundary is None:
            yield await self.read()
            return
        mark = b"--" + boundary.encode()
        held = bytearray()
        async for piece in self._pieces():
            held += piece
            if len(held) > MOST_BYTES:
                raise HttpProblem(f"a document of more than {MOST_BYTES} bytes")
            while (part := _take_part(held, mark)) is not None:
                if part:
                    yield part

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The body in whatever pieces it comes, without the framing of HTTP."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while True:
                line = await self._line()
                try:
                    size = int(line.split(b";")[0], 16)
                except ValueError as error:
                    raise HttpProblem(f"a chunk without its size: {line[:40]!r}") from error
                if size == 0:
                    return
                yield await self._exactly(size)
                await self._line()
        left = self.headers.get("content-length")
        if left is not None:
            yield await self._exactly(_number(left))
            return
        while piece := await self._waited(self._reader.read(READ)):
            yield piece

    async def _line(self) -> bytes:
        line = await self._waited(self._reader.readline())
        if not line.endswith(b"\n"):
            raise HttpProblem("the connection was closed in the middle of an answer")
        return line.strip()

    async def _exactly(self, size: int) -> bytes:
        if not 0 <= size <= MOST_BYTES:
            raise HttpProblem(f"a piece of {size} bytes")
        return await self._waited(self._reader.readexactly(size))

    async def _waited(self, reading) -> bytes:
        try:
            async with asyncio.timeout(self.silence_s):
                return await reading
        except TimeoutError as error:
            raise HttpProblem(f"nothing came for {self.silence_s:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise HttpProblem("the connection was closed in the middle of an answer") from error
        except (OSError, ValueError) as error:
            raise HttpProblem(f"the connection was lost: {error}") from error

    def abort(self) -> None:
        """End the connection; who reads is told that it was closed."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


async def get(url: str, timeout_s: float, silence_s: float) -> Answer:
    """Ask for `url`; the answer's head is here, its body comes when it is read. Close it. Raises `HttpProblem`."""
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    host, port = parts.hostname, parts.port or (443 if is_secure else 80)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="/?&=%+,:;@[]()*'!$~")
    at = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            secure = ssl.create_default_context() if is_secure else None
            reader, writer = await asyncio.open_connection(host, port, limit=2**20, ssl=secure)
    except TimeoutError as error:
        raise HttpProblem(f"{at} does not take the connection. {ADVICE}") from error
    except OSError as error:
        raise HttpProblem(f"{at}: {error.strerror or error}. {ADVICE}") from error
    answer = Answer(0, {}, timeout_s, reader, writer)
    try:
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: */*\r\n"
            "User-Agent: hnai-mirror\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        await answer._waited(writer.drain())
        words = (await answer._line()).split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            raise HttpProblem(f"{at} does not speak HTTP: {b' '.join(words)[:60]!r}. {ADVICE}")
        answer.status = _number(words[1].decode("latin-1"))
        headers: dict[str, str] = {}
        while line := await answer._line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
            if len(headers) > MOST_HEADERS:
                raise HttpProblem(f"{at} sends headers without end")
        answer.headers, answer.silence_s = headers, silence_s
        return answer
    except BaseException:
        await answer.close()
        raise


def _take_part(held: bytearray, mark: bytes) -> bytes | None:
    """Take the first whole part out of what has come; None while there is none, nothing for what stands before it."""
    start = held.find(mark)
    if start < 0:
        return None
    head_end = held.find(b"\r\n\r\n", start)
    if head_end < 0:
        return None
    body = head_end + 4
    for line in bytes(held[start:head_end]).split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            end = body + _number(value.strip().decode("latin-1"))
            break
    else:
        end = held.find(b"\r\n" + mark, body)
    if end < body or len(held) < end:
        return None
    part = bytes(held[body:end])
    del held[:end]
    return part


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise HttpProblem(f"{text[:40]!r} where a number must be") from error
