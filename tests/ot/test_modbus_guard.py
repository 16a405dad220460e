"""The mirror cannot write over Modbus: counted at a device that would let it."""

import asyncio
import inspect
import struct

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.pdu.register_message import ReadWriteMultipleRegistersRequest

from include.ot.modbus import ModbusClient, read_once
from include.ot.modbus_guard import LostConnection, ReadOnlyClient, Refused, WriteRefused, check
from include.ot.sources import Source
from tests.ot.listening import Listener, running, tag
from tests.ot.modbus_device import READS, WRITES, Device

READ_METHODS = ("read_coils", "read_discrete_inputs", "read_holding_registers", "read_input_registers")
ARGUMENTS = {
    "address": 1,
    "value": 1,
    "values": [1, 0],
    "records": [],
    "registers": [1],
    "read_address": 0,
    "read_count": 1,
    "write_address": 0,
    "msg": b"\0\0",
    "toggle": True,
    "data": 0,
}
NO_REQUESTS = ("execute", "convert_from_registers", "convert_to_registers", "DATATYPE")
OTHER_METHODS = sorted(
    name
    for name, member in inspect.getmembers(ModbusClientMixin, callable)
    if not name.startswith("_") and name not in (*READ_METHODS, *NO_REQUESTS)
)


def request(function: int, body: bytes = b"\0\0\0\1", length: int | None = None, protocol: int = 0) -> bytes:
    size = len(body) + 2 if length is None else length
    return struct.pack(">HHHBB", 1, protocol, size, 1, function) + body


async def opened(device: Device) -> ReadOnlyClient:
    client = ReadOnlyClient("127.0.0.1", device.port, 10)
    await client.open()
    return client


def call(client, name: str):
    """Call a method of pymodbus' client with arguments that it takes."""
    parameters = list(inspect.signature(getattr(ModbusClientMixin, name)).parameters.values())[1:]
    return getattr(client, name)(
        **{p.name: ARGUMENTS.get(p.name, 1) for p in parameters if p.name in ARGUMENTS or p.default is p.empty}
    )


def test_every_function_code_but_the_four_reads_is_refused():
    for function in set(range(256)) - set(READS):
        with pytest.raises(WriteRefused, match=f"The mirror only reads: a frame of Modbus function {function}"):
            check(request(function))


@pytest.mark.parametrize("function", READS)
def test_only_one_whole_read_passes(function):
    check(request(function))
    for frame in (
        request(function) + request(6),  # a write behind a read
        request(function) + request(function),
        request(function, b"\0\0\0\1\0"),
        request(function, b"\0\0\0"),
        request(function, length=7),
        request(function, protocol=1),
        b"",
    ):
        with pytest.raises(WriteRefused):
            check(frame)


def test_there_are_methods_to_refuse():
    assert len(OTHER_METHODS) > 20
    assert {"write_coil", "write_registers", "mask_write_register", "readwrite_registers"} <= set(OTHER_METHODS)


@pytest.mark.parametrize("name", OTHER_METHODS)
def test_no_method_of_the_client_sends_anything_but_reads(name):
    async def trial() -> None:
        async with Device() as device:
            client = await opened(device)
            with pytest.raises(WriteRefused):
                await call(client, name)
            device.put(1, 3, 0, 7)
            assert await client.ask(3, 1, 0, 1) == [7]  # the connection is as good as before
            client.close()
            assert device.asked == {3: 1}

    asyncio.run(trial())


def test_neither_a_request_of_ones_own_nor_raw_bytes_get_out():
    async def trial() -> None:
        async with Device() as device:
            client = await opened(device)
            with pytest.raises(WriteRefused):
                await client.execute(True, ReadWriteMultipleRegistersRequest(read_count=1, write_registers=[1]))
            with pytest.raises(WriteRefused):
                client.ctx.send(request(5, b"\0\0\xff\0"))
            with pytest.raises(WriteRefused):
                client.ctx.low_level_send(request(16, b"\0\0\0\1\2\0\1"))
            with pytest.raises(Refused):
                await client.ask(3, 1, 0, 1)
            client.close()
            assert [frame[6:] for frame in device.frames] == [request(3)[6:]]

    asyncio.run(trial())


def test_the_bridge_asks_a_writable_device_only_to_be_read():
    async def trial() -> None:
        async with Device() as device:
            for function in READS:
                device.put(1, function, 0, *[1] * 8)
            registers = {
                f"f{function}": {"unit_id": 1, "function": function, "offset": 0, **({} if function < 3 else rest)}
                for function, rest in ((1, {}), (2, {}), (3, {"type": "int16"}), (4, {"type": "float32"}))
            } | {"lost": {"unit_id": 1, "function": 3, "offset": 9, "type": "int16"}}
            source = Source("device", "modbus", device.url, {"poll_ms": 10, "registers": registers})
            tags = [tag(name) for name in registers]
            listener = Listener()
            async with running(ModbusClient(source, listener), tags):
                await listener.until(lambda _: device.asked.total() > 50)
                device.cut()
                await listener.until(lambda _: device.connections > 1 and device.asked.total() > 100)
            await read_once(source, tags)

            assert set(device.asked) == set(READS)
            assert not sum(device.asked[function] for function in WRITES)

    asyncio.run(trial())


def test_the_same_device_lets_any_other_client_write():
    async def trial() -> None:
        async with Device() as device:
            client = AsyncModbusTcpClient("127.0.0.1", port=device.port)
            await client.connect()
            await client.write_coil(0, True, device_id=1)
            await client.write_register(0, 41, device_id=1)
            await client.write_registers(1, [42, 43], device_id=1)
            await client.write_coils(1, [True, False], device_id=1)
            client.close()

            assert device.cells == {(1, 1): {0: 1, 1: 1, 2: 0}, (1, 3): {0: 41, 1: 42, 2: 43}}
            assert [device.asked[function] for function in (5, 6, 15, 16)] == [1, 1, 1, 1]

    asyncio.run(trial())


# Answers


async def asked_with(answer, cells=(7, 8)) -> list[int]:
    """What a client makes of an answer that a device changes on its way; asked for two holding registers."""
    async with Device() as device:
        device.put(1, 3, 0, *cells)
        client = ReadOnlyClient("127.0.0.1", device.port, 0.3)
        await client.open()
        device.answer = answer
        try:
            return await client.ask(3, 1, 0, 2)
        finally:
            client.close()


def changed(at: int, *new: int):
    return lambda frame: frame[:at] + bytes(new) + frame[at + len(new) :]


@pytest.mark.parametrize(
    "answer",
    [changed(0, 0, 99), changed(6, 2), changed(7, 4), changed(7, 0x84)],
    ids=["transaction", "unit", "function", "refusal of another function"],
)
def test_an_answer_to_another_request_is_never_taken_for_ours(answer):
    with pytest.raises(Exception, match="unit 1 did not answer within"):
        asyncio.run(asked_with(answer))


def test_what_came_too_late_before_the_answer_is_passed_over():
    late = changed(0, 0, 99)

    assert asyncio.run(asked_with(lambda frame: late(frame)[:-1] + b"\xff" + frame)) == [7, 8]


@pytest.mark.parametrize(
    "answer",
    [
        lambda frame: frame[:5] + b"\5\1\3\2\0\7",  # one register
        lambda frame: frame[:5] + b"\x09\1\3\6\0\7\0\x08\0\x09",  # three
        lambda frame: frame[:5] + b"\3\1\3\4",  # says four bytes and holds none
        lambda frame: frame[:5] + b"\2\1\3" + b"",  # shorter than any answer
    ],
    ids=["short", "long", "empty", "no data"],
)
def test_an_answer_of_another_length_is_no_value(answer):
    with pytest.raises((Refused, LostConnection)):
        asyncio.run(asked_with(answer))


def test_a_refusal_that_counts_itself_too_short_is_understood():
    with pytest.raises(Refused, match="device busy"):
        asyncio.run(asked_with(lambda frame: frame[:5] + b"\2\1\x83\6"))


def test_what_is_no_modbus_ends_the_connection():
    with pytest.raises(LostConnection, match="no Modbus TCP"):
        asyncio.run(asked_with(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_an_answer_in_pieces_is_put_together():
    async def trial() -> list[int]:
        async with Device() as device:
            device.put(1, 3, 0, *range(125))
            device.piece = 7
            client = await opened(device)
            try:
                return await client.ask(3, 1, 0, 125)
            finally:
                client.close()

    assert asyncio.run(trial()) == list(range(125))
