"""The Modbus client: what it reads, what it makes of refusals, silence and cuts, and that the rest goes on."""

import asyncio
import math
import struct
from time import monotonic

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from demo import scada_tags
from include.errors import DeclarationError
from include.ot import modbus, sources
from include.ot.modbus import ModbusClient, read_once
from include.ot.modbus_guard import LostConnection
from include.ot.modbus_map import map_of
from include.ot.reading import BAD_DEVICE_FAILURE, BAD_NO_COMMUNICATION, BAD_OUT_OF_RANGE, BAD_TIMEOUT, GOOD
from include.ot.sources import Source
from tests.ot.listening import Listener, running, tag
from tests.ot.modbus_device import Device

pytestmark = pytest.mark.platform  # each starts servers of its own

FAST = {"poll_ms": 10, "timeout_s": 30, "reconnect_max_s": 0.2, "heartbeat_s": 1000, "retry_s": 1000}
IMPATIENT = {"timeout_s": 0.5}


def word(offset: int, unit_id: int = 1, kind: str = "uint16", **more):
    return {"unit_id": unit_id, "function": 3, "offset": offset, "type": kind, **more}


def source_of(device: Device | str, registers, **options) -> Source:
    url = device if isinstance(device, str) else device.url
    return Source("device", "modbus", url, FAST | options | {"registers": registers})


def client_of(device: Device, registers, **options) -> tuple[ModbusClient, Listener]:
    listener = Listener()
    return ModbusClient(source_of(device, registers, **options), listener), listener


def trial(steps) -> None:
    """Run a trial with a device."""

    async def run() -> None:
        async with Device() as device:
            await steps(device)

    asyncio.run(run())


def floats(*values: float) -> list[int]:
    return [word for value in values for word in struct.unpack(">2H", struct.pack(">f", value))]


# Reading


def test_all_four_tables_are_read_and_samples_carry_no_time_of_the_device():
    registers = {
        "coil": {"unit_id": 1, "function": 1, "offset": 3},
        "input": {"unit_id": 1, "number": 10002},
        "holding": {"unit_id": 1, "number": 40006, "type": "int32"},
        "analog": {"unit_id": 1, "number": 30001, "type": "float32", "order": "CDAB", "scale": 0.5},
    }

    async def steps(device):
        device.put(1, 1, 3, 1)
        device.put(1, 2, 1, 0)
        device.put(1, 3, 5, 1, 2)
        device.put(1, 4, 0, *reversed(floats(12.5)))
        client, listener = client_of(device, registers)
        async with running(client, [tag(name) for name in registers]):
            await listener.until(lambda told: len(told.samples) == 4)
        assert {s.tag_id: s.value for s in listener.samples} == {
            "coil": True,
            "input": False,
            "holding": 65538,
            "analog": 6.25,
        }
        assert {(s.quality, s.observed_at, s.served_at) for s in listener.samples} == {(GOOD, None, None)}
        assert listener.is_connected and listener.gaps == []

    trial(steps)


def test_a_server_of_pymodbus_is_read_type_by_type():
    held = [
        SimData(0, values=[-5], datatype=DataType.INT16),
        SimData(1, values=[4_000_000_000], datatype=DataType.UINT32),
        SimData(3, values=[math.pi], datatype=DataType.FLOAT64),
        SimData(7, values=[-(2**40)], datatype=DataType.INT64),
        SimData(11, values=["MES-01"], datatype=DataType.STRING),
    ]
    flags = [SimData(0, values=[True, False] + [False] * 14, datatype=DataType.BITS)]
    registers = {
        "a": word(0, kind="int16"),
        "b": word(1, kind="uint32"),
        "c": word(3, kind="float64"),
        "d": word(7, kind="int64"),
        "e": word(11, kind="string", length=3),
        "f": {"unit_id": 1, "function": 1, "offset": 0},
        "g": {"unit_id": 1, "function": 1, "offset": 1},
    }

    async def run() -> list:
        device = SimDevice(1, simdata=(flags, [SimData(0, values=[False] * 16, datatype=DataType.BITS)], held, held))
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        port = server.transport.sockets[0].getsockname()[1]
        try:
            return await read_once(
                source_of(f"modbus://127.0.0.1:{port}", registers), [tag(name) for name in registers]
            )
        finally:
            await server.shutdown()

    found = asyncio.run(run())

    assert [s.value for s in found] == [-5, 4_000_000_000, math.pi, -(2**40), "MES-01", True, False]
    assert {s.quality for s in found} == {GOOD}


def test_only_news_is_handed_on_and_a_roll_over_is_kept_as_it_is():
    registers = {"flow": word(0, scale=0.1), "counter": word(1)}
    of = [tag("flow", deadband=1.0, deadband_type="absolute"), tag("counter", data_type="long")]

    async def steps(device):
        device.put(1, 3, 0, 100, 65535)
        client, listener = client_of(device, registers)
        async with running(client, of):
            for flow, counter in ((100, 65535), (109, 0), (111, 1)):
                device.put(1, 3, 0, flow, counter)
                asked = device.asked[3]
                await listener.until(lambda told, asked=asked: device.asked[3] > asked + 2)
        assert listener.values("flow") == [10.0, 11.1]
        assert listener.values("counter") == [65535, 0, 1]

    trial(steps)


def test_a_steady_value_is_said_again_at_every_heartbeat():
    async def steps(device):
        device.put(1, 3, 0, 5)
        client, listener = client_of(device, {"a": word(0)}, heartbeat_s=0.05)
        async with running(client, [tag("a")]):
            await listener.until(lambda told: told.values("a") == [5] * 4)

    trial(steps)


def test_nan_of_a_device_is_a_quality():
    async def steps(device):
        device.put(1, 3, 0, *floats(1.0))
        client, listener = client_of(device, {"a": word(0, kind="float32")})
        async with running(client, [tag("a")]):
            await listener.until(lambda told: told.samples)
            device.put(1, 3, 0, *floats(math.nan))
            await listener.until(lambda told: told.last("a").quality)
            device.put(1, 3, 0, *floats(1.0))
            await listener.until(lambda told: len(told.of("a")) == 3)
        assert [(s.value, s.quality) for s in listener.of("a")] == [(1.0, GOOD), (None, BAD_OUT_OF_RANGE), (1.0, GOOD)]

    trial(steps)


def test_each_register_has_its_own_rate_and_a_tag_may_give_it():
    registers = {"fast": word(0, poll_ms=10), "slow": word(40, poll_ms=60_000), "tagged": word(80)}

    async def steps(device):
        device.put(1, 3, 0, *range(100))
        client, listener = client_of(device, registers, poll_ms=60_000)
        async with running(client, [tag("fast"), tag("slow"), tag("tagged", sampling_ms=20)]):
            await listener.until(lambda _: sum(r[2] == 80 for r in device.requests) > 5)
        asked = [offset for _, _, offset, _ in device.requests]
        assert asked.count(40) == 1
        assert asked.count(0) > asked.count(80)

    trial(steps)


def test_the_grid_of_a_poll_does_not_drift_and_counts_what_it_missed():
    poll = modbus._Poll(modbus.Block(1, 3, 0, 1, (), 1000), due=100.0)

    assert [poll.step(now) for now in (100.4, 101.01, 102.0)] == [0, 0, 0]
    assert poll.due == 103.0
    assert poll.step(106.5) == 3  # 104, 105 and 106 are gone; it is due next at 107
    assert poll.due == 107.0
    poll.skip_to(120.3)
    assert poll.due == 120.0


def test_a_device_that_is_too_slow_is_told_as_overruns_and_nothing_is_queued():
    async def steps(device):
        async def slow(unit):
            await asyncio.sleep(0.05)

        device.put(1, 3, 0, 1)
        device.before = slow
        client, listener = client_of(device, {"a": word(0)})
        async with running(client, [tag("a")]):
            await listener.until(lambda _: client._counts.overruns > 20)
            device.before = None
            asked, began = device.asked[3], monotonic()
            await listener.until(lambda _: device.asked[3] > asked + 20)
            periods = (monotonic() - began) / 0.01
            assert device.asked[3] - asked <= periods + 5  # at its rate again, not in a burst
            client._tell()
        assert listener.detail["overruns"] > 20
        assert listener.detail["overrun_at"]

    trial(steps)


# Refusals


def test_one_register_that_is_not_there_takes_no_other_with_it():
    registers = {f"r{n}": word(n) for n in range(60)}

    async def steps(device):
        device.put(1, 3, 0, *range(60))
        del device.cells[1, 3][37]
        client, listener = client_of(device, registers)
        async with running(client, [tag(name) for name in registers]):
            await listener.until(lambda told: len(told.samples) == 60)
            learned = len(device.requests)
            await listener.until(lambda _: len(device.requests) > learned + 30)
        assert {s.tag_id: s.value for s in listener.samples} == {f"r{n}": n if n != 37 else None for n in range(60)}
        assert [(s.tag_id, s.quality) for s in listener.samples if s.quality] == [("r37", 0x80890000)]
        assert listener.detail["errors"] == {
            "r37": "unit 1, holding register 40038 (function 3, offset 37): illegal data address (exception 2)"
        }
        assert listener.detail["bound"] == 59
        later = device.requests[learned + 12 :]
        assert all(not offset <= 37 < offset + count for _, _, offset, count in later)  # it is not asked for again

    trial(steps)


def test_registers_between_that_a_device_does_not_have_cost_a_request_and_no_value():
    async def steps(device):
        device.put(1, 3, 0, 1)
        device.put(1, 3, 8, 2)
        client, listener = client_of(device, {"a": word(0), "b": word(8)})
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda _: len(device.requests) > 9)
        assert {s.tag_id: (s.value, s.quality) for s in listener.samples} == {"a": (1, GOOD), "b": (2, GOOD)}
        assert device.requests[:3] == [(1, 3, 0, 9), (1, 3, 0, 1), (1, 3, 8, 1)]
        assert (1, 3, 0, 9) not in device.requests[1:]

    trial(steps)


def test_a_register_that_was_not_there_is_found_once_it_is():
    async def steps(device):
        device.put(1, 3, 0, 1)
        client, listener = client_of(device, {"a": word(0), "b": word(1)}, retry_s=0.05)
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: told.last("b"))
            device.put(1, 3, 1, 2)
            await listener.until(lambda told: told.last("b").value == 2)
            await listener.until(lambda told: not told.detail["errors"])

    trial(steps)


def test_a_device_that_takes_fewer_registers_at_once_is_read_in_smaller_blocks():
    registers = {f"r{n}": word(n) for n in range(100)}

    async def steps(device):
        device.put(1, 3, 0, *range(100))
        device.refuse = lambda unit, function, offset, count: 3 if count > 30 else None
        client, listener = client_of(device, registers)
        async with running(client, [tag(name) for name in registers]):
            await listener.until(lambda told: len(told.samples) == 100)
        assert {s.quality for s in listener.samples} == {GOOD}

    trial(steps)


@pytest.mark.parametrize(
    ("code", "quality", "name"),
    [
        (1, 0x803D0000, "illegal function"),
        (2, 0x80890000, "illegal data address"),
        (3, 0x80890000, "illegal data value"),
        (4, 0x808B0000, "device failure"),
        (5, 0x80040000, "acknowledge"),
        (6, 0x80040000, "device busy"),
        (7, 0x808B0000, "negative acknowledge"),
        (8, 0x808B0000, "memory parity error"),
        (99, 0x808B0000, "unknown exception (exception 99)"),
    ],
)
def test_each_refusal_is_a_quality_and_is_named_in_the_state(code, quality, name):
    async def steps(device):
        device.put(1, 3, 0, 1, 2)
        device.put(2, 3, 0, 3)
        device.refuse = lambda unit, function, offset, count: code if unit == 1 else None
        client, listener = client_of(device, {"a": word(0), "b": word(1), "other": word(0, unit_id=2)}, retry_s=0.02)
        async with running(client, [tag("a"), tag("b"), tag("other")]):
            await listener.until(lambda told: told.last("a") and told.last("b") and told.last("other"))
            await listener.until(lambda told: len(told.detail["errors"]) == 2)
            assert all(name in listener.detail["errors"][tag_id] for tag_id in ("a", "b"))
            assert [(s.tag_id, s.value, s.quality) for s in listener.samples if s.quality] == [
                ("a", None, quality),
                ("b", None, quality),
            ]
            device.refuse = lambda *_: None
            await listener.until(lambda told: told.last("a").value == 1 and told.last("b").value == 2)
        assert listener.last("other").quality == GOOD
        assert listener.gaps == []  # what a device refuses is known to be bad, not unknown

    trial(steps)


@pytest.mark.parametrize("code", [10, 11])
def test_a_gateway_that_cannot_reach_a_unit_keeps_its_connection(code):
    async def steps(device):
        device.put(1, 3, 0, 1)
        device.put(2, 3, 0, 2)
        client, listener = client_of(device, {"a": word(0), "b": word(0, unit_id=2)})
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: told.last("a") and told.last("b"))
            device.refuse = lambda unit, *_: code if unit == 2 else None
            await listener.until(lambda told: told.last("b").quality == BAD_NO_COMMUNICATION)
            device.refuse = lambda *_: None
            await listener.until(lambda told: told.last("b").quality == GOOD)
        assert [(gap.tag_ids, gap.cause) for gap in listener.gaps] == [(("b",), "no_response")]
        assert device.connections == 1

    trial(steps)


# Silence and cuts


def test_a_unit_that_is_dead_does_not_stop_the_others():
    async def steps(device):
        for unit in (1, 2, 3):
            device.put(unit, 3, 0, unit)
        client, listener = client_of(device, {name: word(0, unit_id=n) for n, name in enumerate("abc", 1)}, **IMPATIENT)
        async with running(client, [tag(name) for name in "abc"]):
            await listener.until(lambda told: len(told.samples) == 3)
            device.silent = {2}
            await listener.until(lambda told: told.last("b").quality)
            for value in (10, 11, 12):
                device.put(1, 3, 0, value)
                await listener.until(lambda told, value=value: told.last("a").value == value)
            await listener.until(lambda told: not told.detail["units"][2]["answers"])
            assert "did not answer within 0.5 s" in listener.detail["units"][2]["problem"]
            assert listener.is_connected
            device.silent = set()
            await listener.until(lambda told: told.last("b").quality == GOOD)
        assert [(s.value, s.quality) for s in listener.of("b")] == [(2, GOOD), (None, BAD_NO_COMMUNICATION), (2, GOOD)]
        assert {s.quality for s in listener.samples if s.tag_id != "b"} == {GOOD}
        (gap,) = listener.gaps
        assert (gap.tag_ids, gap.cause) == (("b",), "no_response")
        good, bad, again = (s.received_at for s in listener.of("b"))
        assert gap.from_at <= bad <= gap.to_at <= again
        assert device.connections == 1

    trial(steps)


def test_a_block_that_is_never_answered_takes_no_other_of_its_unit_with_it():
    async def steps(device):
        device.put(1, 3, 0, 1)
        device.put(1, 3, 1000, 2)
        client, listener = client_of(device, {"a": word(0), "b": word(1000)}, **IMPATIENT)
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: told.last("a") and told.last("b"))
            device.answer = lambda frame: b"" if device.requests[-1][2] == 1000 else frame
            await listener.until(lambda told: told.last("b").quality)
            device.put(1, 3, 0, 10)
            await listener.until(lambda told: told.last("a").value == 10)
            await listener.until(lambda told: "did not answer" in told.detail["errors"].get("b", ""))
            await listener.until(lambda _: client._counts.timeouts > 1)
            device.answer = lambda frame: frame
            await listener.until(lambda told: told.last("b").quality == GOOD)
            client._tell()
        assert [s.quality for s in listener.of("b")] == [GOOD, BAD_TIMEOUT, GOOD]
        assert {s.quality for s in listener.of("a")} == {GOOD}
        assert [(gap.tag_ids, gap.cause) for gap in listener.gaps] == [(("b",), "no_response")]
        assert listener.detail["errors"] == {}
        assert device.connections == 1

    trial(steps)


def test_a_unit_that_comes_back_is_read_while_its_neighbour_stays_dead():
    async def steps(device):
        device.put(1, 3, 0, 1)
        device.put(2, 3, 0, 2)
        device.silent = {1, 2}
        client, listener = client_of(device, {"a": word(0), "b": word(0, unit_id=2)}, **IMPATIENT)
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: told.last("a") and told.last("b"))
            assert not listener.is_connected
            device.silent = {1}
            await listener.until(lambda told: told.last("b").quality == GOOD)
            assert listener.is_connected
            assert listener.last("a").quality == BAD_NO_COMMUNICATION

    trial(steps)


def test_a_device_that_falls_silent_gets_a_new_connection():
    async def steps(device):
        device.put(1, 3, 0, 1)
        client, listener = client_of(device, {"a": word(0)}, **IMPATIENT)
        async with running(client, [tag("a")]):
            await listener.until(lambda told: told.samples)
            device.is_deaf = True
            await listener.until(lambda told: told.is_connected is False)
            device.is_deaf = False
            await listener.until(lambda told: told.last("a").quality == GOOD and told.gaps)
        assert [s.quality for s in listener.of("a")] == [GOOD, BAD_NO_COMMUNICATION, GOOD]
        assert device.connections > 1

    trial(steps)


def test_a_device_that_is_away_is_told_once_and_its_gap_when_it_is_back():
    async def steps(device):
        device.put(1, 3, 0, 1, 2)
        client, listener = client_of(device, {"a": word(0), "b": word(1)})
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: len(told.samples) == 2)
            await device.stop()
            await listener.until(
                lambda told: told.is_connected is False and "Connect call failed" in told.detail["last_error"]
            )
            await listener.until(lambda told: client._counts.connections == 1 and told.detail.get("retry_in_s"))
            assert [s.quality for s in listener.of("a")] == [GOOD, BAD_NO_COMMUNICATION]
            device.put(1, 3, 0, 7)
            await device.start()
            await listener.until(lambda told: told.last("a").value == 7)
        assert [(s.value, s.quality) for s in listener.of("b")] == [(2, GOOD), (None, BAD_NO_COMMUNICATION), (2, GOOD)]
        (gap,) = listener.gaps
        assert (gap.tag_ids, gap.cause) == (("a", "b"), "connection_lost")
        assert gap.from_at <= listener.of("a")[1].received_at <= gap.to_at <= listener.of("a")[2].received_at

    trial(steps)


def test_a_device_that_was_away_from_the_start_has_its_gap_from_there():
    async def steps(device):
        device.put(1, 3, 0, 1)
        await device.stop()
        client, listener = client_of(device, {"a": word(0)})
        async with running(client, [tag("a")]):
            await listener.until(lambda told: told.last("a") and told.last("a").quality == BAD_NO_COMMUNICATION)
            await device.start()
            await listener.until(lambda told: told.last("a").quality == GOOD)
        assert listener.gaps[0].from_at <= listener.of("a")[0].received_at

    trial(steps)


def test_a_device_that_closes_after_each_answer_is_read_without_a_gap():
    async def steps(device):
        device.put(1, 3, 0, 0)
        device.closes_after_each = True
        client, listener = client_of(device, {"a": word(0)})
        async with running(client, [tag("a")]):
            for value in range(5):
                device.put(1, 3, 0, value)
                await listener.until(lambda told, value=value: told.last("a") and told.last("a").value == value)
        assert listener.values("a") == [0, 1, 2, 3, 4]
        assert listener.gaps == []
        assert device.connections >= 5

    trial(steps)


def test_a_cut_in_the_middle_of_an_answer_costs_no_sample():
    async def steps(device):
        device.put(1, 3, 0, 5)
        client, listener = client_of(device, {"a": word(0)}, poll_ms=600_000)  # a lost read must not wait for the next

        async def cut(unit):
            device.before = None
            device.cut()

        device.before = cut
        async with running(client, [tag("a")]):
            await listener.until(lambda told: told.values("a")[-1:] == [5])

    trial(steps)


def test_an_answer_that_came_too_late_is_not_taken_for_the_next():
    async def steps(device):
        device.put(1, 3, 0, 1)
        device.put(2, 3, 0, 2)
        late = []

        async def slow(unit):
            if unit == 1 and not late:
                late.append(unit)
                await asyncio.sleep(0.8)

        device.before = slow
        client, listener = client_of(device, {"a": word(0), "b": word(0, unit_id=2)}, **IMPATIENT)
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: told.last("a") and told.last("a").quality == GOOD and told.last("b"))
            await listener.until(lambda told: told.last("b").quality == GOOD)
        assert set(listener.values("a")) <= {1, None}
        assert set(listener.values("b")) <= {2, None}

    trial(steps)


# Tags


def test_a_tag_whose_register_is_not_declared_is_told_and_the_others_are_read():
    async def steps(device):
        device.put(1, 3, 0, 1)
        client, listener = client_of(device, {"a": word(0)})
        async with running(client, [tag("a"), tag("lost", "no such register")]):
            await listener.until(lambda told: told.last("a"))
        assert [(s.tag_id, s.quality) for s in listener.samples] == [("lost", 0x80890000), ("a", GOOD)]
        assert listener.detail["errors"] == {"lost": "device.yaml declares no register 'no such register'"}

    trial(steps)


def test_a_changed_dictionary_is_taken_over_and_the_rest_goes_on():
    async def steps(device):
        device.put(1, 3, 0, 1, 2, 3)
        registers = {"a": word(0), "b": word(1), "c": word(2)}
        client, listener = client_of(device, registers)
        async with running(client, [tag("a"), tag("b")]):
            await listener.until(lambda told: told.last("a") and told.last("b"))
            await client.retag([tag("a"), tag("c"), tag("also", "a")])
            await listener.until(lambda told: told.last("c") and told.last("also"))
            device.put(1, 3, 0, 10, 20, 30)
            await listener.until(lambda told: told.last("c").value == 30)
            await client.retag([])
            await listener.until(lambda told: told.detail["blocks"] == 0)
            asked = device.asked[3]
            await asyncio.sleep(0.05)
            assert device.asked[3] - asked <= 1
            await client.retag([tag("b")])
            await listener.until(lambda told: told.last("b").value == 20)
        assert listener.values("a") == [1, 10]
        assert listener.values("also") == [1, 10]
        assert listener.values("b") == [2, 20]
        assert listener.gaps == [] and device.connections == 1

    trial(steps)


# Once


def test_every_tag_has_its_present_value_or_the_reason_why_not():
    async def steps(device):
        device.put(1, 3, 0, 1)
        device.put(2, 3, 0, 2)
        device.put(3, 3, 0, 3)
        device.silent = {2}
        device.refuse = lambda unit, *_: 4 if unit == 3 else None
        registers = {"a": word(0), "hole": word(1), "dead": word(0, 2), "dead too": word(99, 2), "broken": word(0, 3)}
        found = await read_once(source_of(device, registers, **IMPATIENT), [*map(tag, registers), tag("unknown")])

        assert [(s.tag_id, s.value, s.quality) for s in found] == [
            ("a", 1, GOOD),
            ("hole", None, 0x80890000),
            ("dead", None, BAD_NO_COMMUNICATION),
            ("dead too", None, BAD_NO_COMMUNICATION),
            ("broken", None, BAD_DEVICE_FAILURE),
            ("unknown", None, 0x80890000),
        ]

    trial(steps)


def test_a_device_that_is_not_there_says_what_to_look_at():
    async def steps(device):
        await device.stop()
        with pytest.raises(LostConnection, match="Is the device on"):
            await read_once(source_of(device, {"a": word(0)}), [tag("a")])
        await device.start()

    trial(steps)


@pytest.mark.parametrize("url", ["", "http://10.0.0.7", "modbus://", "modbus://10.0.0.7:99999", "modbus://h:502/1"])
def test_an_address_that_is_none_is_told(url):
    with pytest.raises(DeclarationError, match="^device.yaml: url"):
        ModbusClient(source_of(url, {"a": word(0)}), Listener())


# The demo's field


def test_the_demo_map_is_what_its_simulator_keeps():
    committed = map_of(sources.source("field_rtu")).registers
    kept = {r.tag_id: r for r in scada_tags.registers()}

    assert {name: (r.unit_id, r.function, r.offset, r.type) for name, r in committed.items()} == {
        name: (r.unit_id, r.function, r.offset, r.type) for name, r in kept.items()
    }
    for name, r in kept.items():
        if r.type == "bool":
            continue
        cells = struct.unpack(">2H", struct.pack(">f" if r.type == "float32" else ">i", 12_345))
        value, _ = committed[name].value(cells if r.word_order == "big" else cells[::-1])
        assert value == pytest.approx(12_345 * (r.scale or 1))
