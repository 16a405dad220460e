"""A Modbus TCP device for trials: it would do as it is told, counts what it is asked for, and can misbehave."""

import asyncio
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self

READS = (1, 2, 3, 4)
WRITES = (5, 6, 15, 16, 22, 23)


class Device:
    """A device, or a gateway with several units behind it, on a free port of this host.

    `cells[unit_id, function]` holds what reads of that function see, by offset; what is not there is answered with
    exception 2. Coils and holding registers can be written.
    """

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], dict[int, int]] = {}
        self.asked: Counter[int] = Counter()  # requests by function code
        self.requests: list[tuple[int, int, int, int]] = []  # unit, function, offset, count of each read
        self.frames: list[bytes] = []
        self.connections = 0
        self.silent: set[int] = set()  # units that do not answer
        self.refuse: Callable[[int, int, int, int], int | None] = lambda unit, function, offset, count: None
        self.answer: Callable[[bytes], bytes] = lambda frame: frame  # what is sent in place of the answer
        self.before: Callable[[int], Awaitable[None]] | None = None  # awaited before an answer, with the unit
        self.piece: int | None = None  # bytes that are sent at once
        self.closes_after_each = False
        self.is_deaf = False  # takes connections and says nothing
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"modbus://127.0.0.1:{self.port}"

    def put(self, unit_id: int, function: int, offset: int, *cells: int) -> None:
        self.cells.setdefault((unit_id, function), {}).update(enumerate(cells, offset))

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Drop every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():  # it came in while the port was closed
            writer.transport.abort()
            return
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                header = await reader.readexactly(7)
                body = await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                self.frames.append(header + body)
                self.asked[body[0]] += 1
                if self.is_deaf or header[6] in self.silent:
                    continue
                if self.before:
                    await self.before(header[6])
                answer = self._answer(header[6], body)
                frame = self.answer(header[:4] + struct.pack(">HB", len(answer) + 1, header[6]) + answer)
                for start in range(0, len(frame), self.piece or max(1, len(frame))):
                    writer.write(frame[start : start + (self.piece or len(frame))])
                    await writer.drain()
                    if self.piece:
                        await asyncio.sleep(0.001)
                if self.closes_after_each:
                    return
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, unit: int, body: bytes) -> bytes:
        function = body[0]
        if function in READS:
            offset, count = struct.unpack(">HH", body[1:5])
            self.requests.append((unit, function, offset, count))
            if code := self.refuse(unit, function, offset, count):
                return bytes([function | 0x80, code])
            of_unit = self.cells.get((unit, function), {})
            values = [of_unit.get(at) for at in range(offset, offset + count)]
            if None in values or count > (2000 if function < 3 else 125):
                return bytes([function | 0x80, 2])
            if function < 3:
                data = bytes(
                    sum(bool(bit) << at for at, bit in enumerate(values[start : start + 8]))
                    for start in range(0, count, 8)
                )
            else:
                data = struct.pack(f">{count}H", *values)
            return bytes([function, len(data)]) + data
        if function in (5, 6):
            offset, value = struct.unpack(">HH", body[1:5])
            self.put(unit, 1 if function == 5 else 3, offset, value == 0xFF00 if function == 5 else value)
            return body
        if function in (15, 16):
            offset, count = struct.unpack(">HH", body[1:5])
            if function == 16:
                self.put(unit, 3, offset, *struct.unpack(f">{count}H", body[6:]))
            else:
                self.put(unit, 1, offset, *(body[6 + at // 8] >> at % 8 & 1 for at in range(count)))
            return body[:5]
        return bytes([function | 0x80, 1])
