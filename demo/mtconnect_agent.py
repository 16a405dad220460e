"""An MTConnect agent over HTTP: the machines' data items, what holds, and what has happened since a sequence number.

`/probe` says which devices and data items there are, `/current` what holds, `/sample?from=…&count=…` what has happened;
with `interval` (and `heartbeat`) it goes on sending. The buffer holds the latest observations. Only GET is answered.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape, quoteattr

VERSION = "1.8"
NAMESPACE = "urn:mtconnect.org:{document}:" + VERSION
EXTENSION = "urn:hnai:demo:mtconnect"
BUFFER = 131_072  # observations
BOUNDARY = "hnai-part"
MOST = 100_000  # milliseconds of interval and heartbeat
UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class Item:
    """One data item of a device."""

    device: str
    name: str
    category: str  # EVENT or SAMPLE
    type: str  # EXECUTION, PART_COUNT …; x:… for what the standard does not know
    sub_type: str = ""
    units: str = ""

    @property
    def item_id(self) -> str:
        return f"{self.device.lower()}-{self.name.replace('_', '-')}"

    @property
    def element(self) -> str:
        prefix, colon, name = self.type.rpartition(":")
        return prefix + colon + "".join(word.capitalize() for word in name.split("_"))


class Problem(Exception):
    """A request that cannot be answered: the status, the standard's code for it and what is wrong."""

    def __init__(self, status: HTTPStatus, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Agent:
    """The agent's memory and its port. `asked` counts requests by their word, those that are no GET as `write`."""

    def __init__(self, items: Sequence[Item], instance: int, buffer: int = BUFFER) -> None:
        self.items = {(item.device, item.name): item for item in items}
        self.instance = instance
        self.next = 1
        self.asked: Counter[str] = Counter()
        self._buffer: deque[tuple[int, Item, str]] = deque(maxlen=buffer)  # sequence, item, element
        self._last: dict[tuple[str, str], tuple[int, Item, str]] = {}
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task] = set()

    @property
    def first(self) -> int:
        return self._buffer[0][0] if self._buffer else self.next

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, host, port)

    async def stop(self) -> None:
        self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    async def see(self, device: str, name: str, value: object, at: datetime) -> None:
        """Take in an observation; None is one that the machine does not have."""
        item = self.items[device, name]
        text = UNAVAILABLE if value is None else str(value)
        told = {
            "dataItemId": item.item_id,
            "name": item.name,
            "subType": item.sub_type,
            "sequence": self.next,
            "timestamp": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }
        attributes = "".join(f" {key}={quoteattr(str(said))}" for key, said in told.items() if said != "")
        entry = (self.next, item, f"<{item.element}{attributes}>{escape(text)}</{item.element}>")
        self._buffer.append(entry)
        self._last[device, name] = entry
        self.next += 1
        async with self._news:
            self._news.notify_all()

    # Documents

    def probe(self) -> bytes:
        devices = []
        for device in dict.fromkeys(item.device for item in self.items.values()):
            found = []
            for item in (i for i in self.items.values() if i.device == device):
                told = {
                    "category": item.category,
                    "id": item.item_id,
                    "name": item.name,
                    "type": item.type,
                    "subType": item.sub_type,
                    "units": item.units,
                }
                attributes = "".join(f" {key}={quoteattr(said)}" for key, said in told.items() if said)
                found.append(f"<DataItem{attributes}/>")
            name, uuid = quoteattr(device), quoteattr(f"hnai-demo-{device.lower()}")
            devices.append(
                f"<Device id={quoteattr(device.lower())} name={name} uuid={uuid}>"
                f"<DataItems>{''.join(found)}</DataItems></Device>"
            )
        return self._document("MTConnectDevices", f"<Devices>{''.join(devices)}</Devices>", "")

    def current(self) -> bytes:
        return self._streams(sorted(self._last.values()), self.next)

    def since(self, start: int, count: int) -> tuple[bytes, int]:
        """The observations from a sequence number on, `count` at most, and the number that follows them."""
        ahead = start - self.first
        found = [self._buffer[n] for n in range(ahead, min(ahead + count, len(self._buffer)))]
        following = found[-1][0] + 1 if found else start
        return self._streams(found, following), following

    def _streams(self, found: Sequence[tuple[int, Item, str]], following: int) -> bytes:
        devices = []
        for device in dict.fromkeys(item.device for _, item, _ in found):
            groups = []
            for group, category in (("Samples", "SAMPLE"), ("Events", "EVENT")):
                told = [text for _, item, text in found if item.device == device and item.category == category]
                groups += [f"<{group}>{''.join(told)}</{group}>"] if told else []
            name, component = quoteattr(device), quoteattr(device.lower())
            devices.append(
                f"<DeviceStream name={name} uuid={quoteattr(f'hnai-demo-{device.lower()}')}>"
                f'<ComponentStream component="Device" name={name} componentId={component}>'
                f"{''.join(groups)}</ComponentStream></DeviceStream>"
            )
        numbers = f' firstSequence="{self.first}" lastSequence="{self.next - 1}" nextSequence="{following}"'
        return self._document("MTConnectStreams", f"<Streams>{''.join(devices)}</Streams>", numbers)

    def _document(self, document: str, body: str, numbers: str) -> bytes:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<{document} xmlns="{NAMESPACE.format(document=document)}" xmlns:x="{EXTENSION}">'
            f'<Header creationTime="{now}" sender="demo" instanceId="{self.instance}" version="{VERSION}" '
            f'bufferSize="{self._buffer.maxlen}"{numbers}/>{body}</{document}>'
        ).encode()

    # The port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        self._talks.add(talk)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._talk(reader, writer)
        self._talks.discard(talk)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        words = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[0].split()
        try:
            if len(words) != 3 or words[0] != "GET":
                self.asked["write"] += 1
                raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "Only GET is answered")
            url = urlsplit(words[1])
            word = url.path.rstrip("/").rpartition("/")[2] or "probe"
            self.asked[word] += 1
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            if "path" in query:
                raise Problem(HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "path is not supported; ask for all data items")
            if word == "probe":
                await self._answer(writer, self.probe())
            elif word == "current":
                await self._answer(writer, self.current())
            elif word == "sample":
                await self._sample(writer, query)
            else:
                raise Problem(HTTPStatus.NOT_FOUND, "UNSUPPORTED", f"{word} is none of probe, current, sample")
        except Problem as problem:
            error = f'<Errors><Error errorCode="{problem.code}">{escape(problem.text)}</Error></Errors>'
            await self._answer(writer, self._document("MTConnectError", error, ""), problem.status)

    async def _sample(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        start = _number(query, "from", self.first, 0, self.next)
        count = _number(query, "count", 100, 1, self._buffer.maxlen)
        if start < self.first:
            if "from" in query and start:
                raise Problem(HTTPStatus.NOT_FOUND, "OUT_OF_RANGE", f"from must be {self.first} to {self.next}")
            start = self.first
        if "interval" not in query:
            await self._answer(writer, self.since(start, count)[0])
            return
        interval = _number(query, "interval", 0, 0, MOST) / 1000
        heartbeat = _number(query, "heartbeat", 10_000, 1, MOST) / 1000
        head = f"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\n"
        writer.write(f"{head}Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        while start >= self.first:  # a reader that fell behind the buffer is cut off, and finds that out by itself
            body, start = self.since(start, count)
            part = (
                f"--{BOUNDARY}\r\nContent-type: text/xml\r\nContent-length: {len(body)}\r\n\r\n".encode()
                + body
                + b"\r\n"
            )
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
            await asyncio.sleep(interval)
            with suppress(TimeoutError):
                async with asyncio.timeout(heartbeat):
                    await self._any_after(start)

    async def _any_after(self, start: int) -> None:
        async with self._news:
            while self.next <= start:
                await self._news.wait()

    async def _answer(self, writer: asyncio.StreamWriter, body: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()


def _number(query: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, str(default))
    try:
        if low <= int(text) <= high:
            return int(text)
    except ValueError:
        pass
    status = HTTPStatus.NOT_FOUND if name == "from" else HTTPStatus.BAD_REQUEST
    raise Problem(status, "OUT_OF_RANGE", f"{name} is {text}; it must be {low} to {high}")
