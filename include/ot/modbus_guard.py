"""A Modbus TCP client that cannot write: an allow-list of function codes, checked on the encoded frame.

Whatever asks for it, whatever method of pymodbus it uses: what is not one whole request to read coils, discrete
inputs, holding or input registers is refused before its first byte is sent. Nothing else is on the list: neither the
writes (5, 6, 15, 16, 22, 23), nor file records (20, 21), nor diagnostics (8, which can restart a device or silence
it), nor vendors' own codes.

The client is strict about answers as well. Each must belong to the request by transaction, unit and function and hold
as much as was asked for: one that came too late, or of another unit behind the gateway, is never taken for ours.
"""

import asyncio
import logging
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest
from pymodbus.transaction import TransactionManager

from include.errors import OtError

REQUESTS = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}
HEADER = 7  # bytes of transaction, protocol, length and unit
FRAME = HEADER + 5  # of every request on the list: function, offset, count
LONGEST = 254  # what the length of a frame may say: the unit and 253 bytes
REFUSAL = 0x80  # set in the function code of an answer that is a refusal
EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_WRITES = {
    5: "Write Single Coil", 6: "Write Single Register", 15: "Write Multiple Coils", 16: "Write Multiple Registers",
    21: "Write File Record", 22: "Mask Write Register", 23: "Read/Write Multiple Registers",
}  # fmt: skip

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # what goes wrong is raised here, told by the caller


class WriteRefused(OtError):
    """Code of ours asked for a function that the mirror must not use. Nothing was sent."""


class LostConnection(OtError):
    """The connection is gone, or what comes over it is no Modbus."""


class NoAnswer(OtError):
    """The device did not answer in time; the connection is as good as before."""


class Refused(OtError):
    """The device answered that it cannot, or something that is no answer to what was asked (code 0)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(frame: bytes) -> None:
    """Raise `WriteRefused` unless the frame is exactly one request that reads."""
    function = frame[HEADER] if len(frame) > HEADER else None
    is_whole = len(frame) == FRAME and frame[2:4] == b"\0\0" and int.from_bytes(frame[4:6], "big") == FRAME - 6
    if function not in REQUESTS or not is_whole:
        name = f"function {function}" + (f" ({_WRITES[function]})" if function in _WRITES else "")
        raise WriteRefused(
            f"The mirror only reads: a frame of Modbus {name}, {len(frame)} bytes, was refused before it was sent. "
            f"Allowed are the functions {', '.join(map(str, REQUESTS))}; take the call out of the code"
        )


class ReadOnlyClient(AsyncModbusTcpClient):
    """pymodbus' client on one connection, of which every frame passes `check`. One request at a time is under way."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        super().__init__(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
        self.ctx: _Connection = _Connection(self.comm_params, self.ctx.framer, 0, False, None, None, None)
        self.ctx.max_until_disconnect = 2**31  # the caller decides when silence is a lost connection
        self.requests = 0

    async def open(self) -> None:
        """Connect. Raises `LostConnection` with the reason."""
        at = f"{self.comm_params.host}:{self.comm_params.port}"
        try:
            async with asyncio.timeout(self.comm_params.timeout_connect):
                await self.ctx.call_create()
        except TimeoutError as error:
            raise LostConnection(f"{at} does not take the connection") from error
        except OSError as error:
            raise LostConnection(f"{at}: {error.strerror or error}") from error

    async def ask(self, function: int, unit_id: int, offset: int, count: int) -> list[int]:
        """The cells that a device has at `offset`: registers, or bits.

        Raises `Refused`, `NoAnswer` or `LostConnection`.
        """
        if not self.connected:
            raise LostConnection("the connection is closed")
        self.requests += 1
        try:
            answer = await self.execute(False, REQUESTS[function](address=offset, count=count, dev_id=unit_id))
        except ConnectionException as error:
            raise LostConnection(error.string) from error
        except ModbusIOException as error:
            raise NoAnswer(f"unit {unit_id} did not answer within {self.comm_params.timeout_connect:g} s") from error
        if answer.isError():
            code = answer.exception_code
            raise Refused(code, f"{EXCEPTIONS.get(code, 'unknown exception')} (exception {code})")
        cells = answer.bits if function in (1, 2) else answer.registers
        expected = -(-count // 8) * 8 if function in (1, 2) else count
        if len(cells) != expected:
            raise Refused(0, f"the device answers {len(cells)} values where {count} were asked for")
        return list(cells[:count])


class _Connection(TransactionManager):
    """What pymodbus sends and receives, with the guard on the way out and exact frames on the way in."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._received = b""
        self._asked: ModbusPDU | None = None

    def send(self, data: bytes, addr: tuple | None = None) -> None:
        check(data)
        super().send(data, addr)

    async def execute(self, no_response_expected: bool, request: ModbusPDU) -> ModbusPDU:
        """As pymodbus does it, without its retries, and so that a cancellation is never swallowed."""
        async with self._lock:
            request.transaction_id = self.getNextTID()
            self._asked, self.response_future = request, asyncio.get_running_loop().create_future()
            self.pdu_send(request)
            try:
                async with asyncio.timeout(self.comm_params.timeout_connect):
                    return await self.response_future
            except TimeoutError as error:
                raise ModbusIOException("no answer") from error

    def callback_connected(self) -> None:
        super().callback_connected()
        self._received = b""

    def callback_disconnected(self, exc: Exception | None) -> None:
        super().callback_disconnected(exc)
        self._fail(ConnectionException(str(exc) if exc else "closed by the other side"))

    def datagram_received(self, data: bytes, addr: tuple | None) -> None:
        self._received += data
        while len(self._received) > HEADER:
            length = int.from_bytes(self._received[4:6], "big")
            if length == 2 and self._received[HEADER] & REFUSAL:
                length = 3  # some devices count a refusal one byte too short
            if self._received[2:4] != b"\0\0" or not 3 <= length <= LONGEST:
                self._fail(ConnectionException("what the other side sends is no Modbus TCP"))
                self.transport.abort()
                return
            if len(self._received) < 6 + length:
                return
            frame, self._received = self._received[: 6 + length], self._received[6 + length :]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        """The answer to our request; anything else came too late or is not for us."""
        asked = self._asked
        if asked is None or self.response_future.done():
            return
        if (int.from_bytes(frame[:2], "big"), frame[6]) != (asked.transaction_id, asked.dev_id):
            return
        if frame[HEADER] & ~REFUSAL != asked.function_code:
            return
        answer = self.framer.decoder.decode(frame[HEADER:])
        if answer is None:
            answer = type(asked)()  # holds nothing, which is not what was asked for
        answer.dev_id, answer.transaction_id = asked.dev_id, asked.transaction_id
        self.response_future.set_result(answer)

    def _fail(self, error: ModbusException) -> None:
        if not self.response_future.done():
            self.response_future.set_exception(error)
            self.response_future.exception()  # marked as seen: nobody may be waiting
