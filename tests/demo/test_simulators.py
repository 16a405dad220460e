"""The simulators as a client meets them: real servers, real protocols, and what they leave behind for a proof."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from asyncua import Client, ua
from pymodbus.client import AsyncModbusTcpClient

from demo import scada
from demo.opcua_server import OVERFLOW, PlantServer, Point
from demo.opcua_simulator import node_of
from demo.scada import SECOND, microseconds, moment, truth
from demo.scada_compare import Stored, compare_tag
from demo.scada_tags import AGENT_SOURCE, NAMESPACE, PLANT_SOURCE, registers, well_rows
from demo.scada_tags import line_rows as plant_rows
from demo.simulators import now_us, read_runs, simulator_dir
from include.ot.mqtt import RECORDER, Subscriber
from include.ot.mtconnect import MtConnectClient
from include.ot.reading import decode
from include.ot.sources import source
from include.ot.tags import tags
from include.ot.topics import EVERYTHING
from include.settings import secret, settings
from stack.nats import _free_ports
from tests.ot.brokers import Nats, eventually

pytestmark = pytest.mark.platform
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROWS = [row for row in well_rows() if row.source == "field_scada"]


@pytest.fixture(scope="module", autouse=True)
def secrets() -> None:
    from stack.layout import make_folders
    from stack.secrets import make_secrets

    make_folders()
    make_secrets()


class Simulator:
    """A simulator in a process of its own."""

    def __init__(self, module: str, *arguments: str, **environment: str) -> None:
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def started(self, told: str) -> "Simulator":
        """Wait for a line of its log."""
        for said in self.process.stdout:
            if told in said:
                return self
        raise AssertionError(f"{self.module} has ended with {self.process.wait()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said


def requests(simulator: str) -> dict:
    return json.loads((simulator_dir() / f"{simulator}_requests.json").read_text())


# OPC UA


class Seen:
    """What a subscription is told."""

    def __init__(self) -> None:
        self.values: list[tuple[str, ua.DataValue]] = []

    def datachange_notification(self, node, value, data) -> None:
        self.values.append((node.nodeid.Identifier, data.monitored_item.Value))


def opcua_url() -> str:
    return f"opc.tcp://{settings.host}:{settings.port('opcua_simulator')}/hnai/scada"


def opcua_client(user: str = "mirror", password: str | None = None) -> Client:
    client = Client(opcua_url())
    client.set_user(user)
    client.set_password(password or secret("ot_field_scada"))
    return client


@pytest.fixture(scope="module")
def opcua() -> Iterator[Simulator]:
    simulator = Simulator("demo.opcua_simulator").started("points at")
    yield simulator
    simulator.end()


async def nodes_of(client: Client) -> list:
    index = await client.get_namespace_index(NAMESPACE)
    return [client.get_node(ua.NodeId(node_of(row), index)) for row in ROWS]


def is_true(tag_id: str, shown: ua.DataValue) -> bool:
    value, quality = truth(tag_id, shown.SourceTimestamp)
    seen = shown.Value.Value
    return shown.StatusCode.value == quality and (seen == value or (seen != seen and value != value))


def test_each_notification_is_the_truth_of_its_source_time(opcua):
    async def watch() -> list[tuple[str, ua.DataValue]]:
        seen = Seen()
        async with opcua_client() as client:
            subscription = await client.create_subscription(200, seen)
            await subscription.subscribe_data_change(await nodes_of(client), queuesize=50)
            while len(seen.values) < len(ROWS) + 200:
                await asyncio.sleep(0.1)
        return seen.values

    tag_of = {node_of(row): row.tag_id for row in ROWS}
    seen = asyncio.run(asyncio.wait_for(watch(), 120))

    assert {tag_of[node] for node, _ in seen} == set(tag_of.values())
    assert all(is_true(tag_of[node], shown) for node, shown in seen)


async def told_of(
    shown: list[float], wanted: ua.DataChangeFilter, queue_size: int = 100, low: float | None = 0
) -> list:
    """What one watcher of a point with the range 0 to 10 is told, when it shows these values one after the other."""
    (port,) = _free_ports(1)
    server = PlantServer(url=f"opc.tcp://127.0.0.1:{port}/trial", namespace="urn:trial", users={})
    await server.prepare([Point("a", ("plant",), "a", low=low, high=10)], anonymous=True)
    await server.show("a", shown[0], 0, NOON, NOON)
    await server.start()
    seen = Seen()
    try:
        async with Client(f"opc.tcp://127.0.0.1:{port}/trial") as client:
            node = client.get_node(ua.NodeId("a", await client.get_namespace_index("urn:trial")))
            subscription = await client.create_subscription(100, seen)
            item = ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(NodeId=node.nodeid, AttributeId=ua.AttributeIds.Value),
                MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=ua.MonitoringParameters(ClientHandle=1, Filter=wanted, QueueSize=queue_size),
            )
            (answer,) = await subscription.create_monitored_items([item])
            if isinstance(answer, ua.StatusCode):
                answer.check()
            while not seen.values:
                await asyncio.sleep(0.01)
            for n, value in enumerate(shown[1:], 1):  # at once: all of them meet the queue
                await server.show("a", value, 0, NOON + timedelta(seconds=n), NOON)
            while not server.is_delivered():
                await asyncio.sleep(0.01)
            await subscription.delete()
    finally:
        await server.stop()
    return [(value.Value.Value, value.StatusCode.value) for _, value in seen.values]


def wanted(kind: str, width: float) -> ua.DataChangeFilter:
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=ua.DeadbandType[kind], DeadbandValue=width
    )


@pytest.mark.parametrize(("kind", "width"), [("Absolute", 2), ("Percent", 20)])
def test_a_slow_drift_passes_the_deadband_in_the_end(kind, width):
    """The deadband is measured from the last reported value, not from the last one that was written."""
    told = asyncio.run(told_of([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], wanted(kind, width)))

    assert [value for value, _ in told] == [0, 3, 6]


def test_a_percent_deadband_needs_a_range():
    with pytest.raises(ua.UaStatusCodeError):
        asyncio.run(told_of([0.0], wanted("Percent", 20), low=None))


def test_what_a_full_queue_lost_is_marked_in_the_sample_that_follows():
    told = asyncio.run(told_of([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], wanted("None_", 0), queue_size=2))

    assert told == [(0, 0), (4, OVERFLOW), (5, 0)]


def test_history_holds_what_was_seen_live_and_two_days_before(opcua):
    row = next(r for r in ROWS if r.tag_id == "MES-02.casing_pressure")

    async def read() -> tuple[list[ua.DataValue], ...]:
        seen = Seen()
        async with opcua_client() as client:
            node = (await nodes_of(client))[ROWS.index(row)]
            subscription = await client.create_subscription(200, seen)
            await subscription.subscribe_data_change(node, queuesize=50)
            while len(seen.values) < 3:
                await asyncio.sleep(0.1)
            now = datetime.now(UTC)
            everything = await node.read_raw_history(now - timedelta(days=9), now)
            backwards = await node.read_raw_history(now, now - timedelta(days=9))
            paged = await node.read_raw_history(now - timedelta(days=9), now, numvalues=7)
        return [shown for _, shown in seen.values], everything, backwards, paged

    live, history, backwards, paged = asyncio.run(asyncio.wait_for(read(), 120))
    first = datetime.now(UTC) - timedelta(hours=settings.ot.history_hours, minutes=10)

    assert {v.SourceTimestamp for v in live} <= {v.SourceTimestamp for v in history}
    assert all(is_true(row.tag_id, shown) for shown in history)
    assert len(history) > 280 and first <= history[0].SourceTimestamp <= first + timedelta(minutes=21)
    assert [v.SourceTimestamp for v in backwards[-len(history) :]] == [v.SourceTimestamp for v in reversed(history)]
    assert [v.SourceTimestamp for v in paged][:7] == [v.SourceTimestamp for v in history][:7]


def test_nobody_writes_and_the_attempt_is_counted(opcua):
    async def attempt() -> None:
        async with opcua_client() as client:
            await (await nodes_of(client))[0].write_value(1.0)

    with pytest.raises(ua.UaStatusCodeError):
        asyncio.run(attempt())

    eventually(lambda: requests("opcua")["writes"] == 1, "the attempt is counted")


def test_a_wrong_password_does_not_get_in(opcua):
    async def attempt() -> None:
        async with opcua_client(password="guess"):
            pass

    with pytest.raises(ua.UaStatusCodeError):
        asyncio.run(attempt())


# Modbus


@pytest.fixture
def modbus() -> Iterator[Simulator]:
    simulator = Simulator("demo.modbus_simulator").started("registers of")
    yield simulator
    simulator.end()


def test_registers_hold_the_truth_of_the_second(modbus):
    import struct

    async def read(client: AsyncModbusTcpClient, register) -> float:
        ask = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }[register.function]
        width = 1 if register.type == "bool" else 2
        answer = await ask(register.offset, count=width, device_id=register.unit_id)
        if register.type == "bool":
            return float(answer.bits[0])
        words = answer.registers if register.word_order == "big" else answer.registers[::-1]
        code = ">f" if register.type == "float32" else ">i"
        return struct.unpack(code, struct.pack(">HH", *words))[0] * (register.scale or 1)

    async def compare() -> list[str]:
        wrong = []
        async with AsyncModbusTcpClient(settings.host, port=settings.port("modbus_simulator")) as client:
            for register in registers()[::7]:
                before = now_us() // SECOND * SECOND
                value = await read(client, register)
                times = np.arange(before, now_us() + 1, SECOND)
                possible = [float(v) for v in truth(register.tag_id, times)[0]]
                if not any(value == pytest.approx(p, nan_ok=True, rel=1e-9) for p in possible):
                    wrong.append(f"{register.tag_id}: {value}, true {possible}")
        return wrong

    assert asyncio.run(asyncio.wait_for(compare(), 120)) == []


def test_a_write_is_refused_and_counted_and_with_rights_it_is_only_counted(modbus):
    async def write() -> bool:
        async with AsyncModbusTcpClient(settings.host, port=settings.port("modbus_simulator")) as client:
            answer = await client.write_register(0, 1, device_id=3)
            await client.read_coils(0, count=1, device_id=3)
            return answer.isError()

    assert asyncio.run(write())
    eventually(lambda: requests("modbus") == {"writes": 1, "requests": {"1": 1, "6": 1}}, "both are counted")

    modbus.end()
    modbus.__init__("demo.modbus_simulator", "--allow-writes")
    modbus.started("WRITES ARE ALLOWED")
    assert not asyncio.run(write())


# The MTConnect agent


class Kept:
    """What a client hands on: samples as the mirror stores them, and gaps."""

    def __init__(self) -> None:
        self.samples, self.gaps = [], []

    def put(self, samples) -> None:
        self.samples += samples

    def gap(self, tag_ids, from_at: datetime, to_at: datetime, cause: str) -> None:
        self.gaps.append((cause, microseconds(from_at), microseconds(to_at)))

    def state(self, is_connected: bool, detail) -> None:
        self.is_connected = is_connected

    def of(self, row) -> Stored:
        found = [s for s in self.samples if s.tag_id == row.tag_id]
        is_text = row.data_type == "text"
        values = [s.value if is_text or s.value is None else float(s.value) for s in found]
        return Stored(
            np.array([microseconds(s.observed_at or s.received_at) for s in found]),
            np.array(values, dtype=object if is_text else float),
            np.array([s.quality for s in found]),
            np.array([s.observed_at is not None for s in found]),
        )


def line_rows() -> list:
    return [row for row in plant_rows() if row.source == PLANT_SOURCE]


def agent_rows() -> list:
    return [row for row in plant_rows() if row.source == AGENT_SOURCE]


def test_the_agent_shows_the_truth_and_its_buffer_bridges_what_a_reader_missed():
    """The client loses its connection again and again; the agent is killed once, and that time is told as a gap."""
    simulator = Simulator("demo.mtconnect_simulator").started("data items of 4 devices")
    kept = Kept()

    async def mirror() -> int:
        nonlocal simulator
        client = MtConnectClient(replace(source(AGENT_SOURCE), options={"timeout_s": 2, "down_s": 60}), kept)
        running = asyncio.create_task(client.run(tags(AGENT_SOURCE)))

        async def more(than: int) -> None:
            while len(kept.samples) < than:
                await asyncio.sleep(0.1)

        await more(len(agent_rows()))
        for _ in range(3):
            client._line._answer.abort()
            await more(len(kept.samples) + 3)
        simulator.kill()
        simulator = Simulator("demo.mtconnect_simulator").started("data items of 4 devices")
        await more(len(kept.samples) + len(agent_rows()) + 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return max(microseconds(s.observed_at) for s in kept.samples if s.observed_at)

    last = asyncio.run(asyncio.wait_for(mirror(), 240))
    simulator.end()

    assert [cause for cause, *_ in kept.gaps] == ["connection_lost"]
    spans = list(read_runs(simulator_dir() / "mtconnect_runs.txt"))
    for row in agent_rows():
        told = [(begun, ended) for _, begun, ended in kept.gaps]
        found = compare_tag(row, kept.of(row), spans, told, 0, last, 0)
        assert (found.different, found.off_s) == (0, 0), found


def test_the_agent_answers_nothing_but_get_and_says_what_is_wrong():
    simulator = Simulator("demo.mtconnect_simulator").started("data items of 4 devices")

    def ask(target: str, method: str = "GET") -> tuple[int, bytes]:
        request = urllib.request.Request(f"{settings.own('mtconnect_simulator')}/{target}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    assert ask("probe")[1].count(b"<DataItem ") == len(agent_rows())
    assert ask("current")[1].count(b"sequence=") == len(agent_rows())
    assert ask("sample?from=1&count=5")[1].count(b"sequence=") == 5
    refused = [
        ask("current", "PUT"),
        ask("sample?from=999999"),
        ask("sample?count=x"),
        ask("asset"),
        ask("current?path=//x"),
    ]
    assert [status for status, _ in refused] == [405, 404, 400, 404, 400]
    assert all(b"<Error errorCode=" in body for _, body in refused)
    simulator.end()
    assert requests("mtconnect")["writes"] == 1


# The line


def test_the_line_loses_and_doubles_nothing_when_it_is_killed(tmp_path: Path):
    broker = Nats(tmp_path / "broker")
    broker.start()
    got: dict[tuple[str, int], bytes] = {}
    again: list[tuple[str, int]] = []

    def keep(delivery) -> None:
        message = decode(delivery.payload)
        key = (message.store, message.number)
        if key in got:
            again.append(key)
            assert got[key] == delivery.payload
        got[key] = delivery.payload
        delivery.ack()

    recorder = Subscriber(RECORDER, RECORDER, EVERYTHING, keep, url=broker.url)
    recorder.start()

    def has_run(before: int) -> bool:
        """Each life tells where all stations stand."""
        now = sum(len(decode(payload).readings) for payload in list(got.values())) - before
        return now >= len(line_rows())

    for life in range(3):
        before = sum(len(decode(payload).readings) for payload in list(got.values()))
        simulator = Simulator("demo.line_simulator", HNAI_OT__BROKER_URL=broker.url)
        eventually(partial(has_run, before), "readings come")
        if life < 2:
            simulator.kill()
    simulator.end()
    recorder.stop()
    broker.stop()

    messages = sorted((decode(payload) for payload in got.values()), key=lambda m: m.number)
    numbers = [m.number for m in messages]
    assert len({m.store for m in messages}) == 1
    assert numbers == list(range(1, len(numbers) + 1))
    readings = sorted((r for m in messages for r in m.readings), key=lambda r: (r.tag_id, r.observed_at, r.sequence))
    assert len({(r.tag_id, r.observed_at, r.sequence) for r in readings}) == len(readings)
    gaps = [g for m in messages for g in m.gaps if g.cause == "bridge_stopped"]
    assert len(gaps) == 2
    last = max(microseconds(r.observed_at) for r in readings)
    for row in line_rows():
        of = [r for r in readings if r.tag_id == row.tag_id]
        values = [r.value_text if row.data_type == "text" else r.value_double for r in of]
        stored = Stored(
            np.array([microseconds(r.observed_at) for r in of]),
            np.array(values, dtype=object if row.data_type == "text" else float),
            np.array([r.quality for r in of]),
            np.array([r.clock == "source" for r in of]),
        )
        told = [(microseconds(g.from_at), microseconds(g.to_at)) for g in gaps]
        found = compare_tag(row, stored, list(read_runs(simulator_dir() / "line_runs.txt")), told, 0, last, 0)
        assert (found.different, found.off_s) == (0, 0), found


def test_the_truth_is_the_same_in_another_process():
    at = moment(now_us() // SECOND * SECOND)
    shown = subprocess.run(
        [sys.executable, "-m", "demo.scada", "show", "MES-01.oil_rate", "--at", at.isoformat()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert shown == f"MES-01.oil_rate at {at.isoformat()}: {scada.truth('MES-01.oil_rate', at)[0]} (quality 0x0)\n"
