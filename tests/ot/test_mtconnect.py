"""The MTConnect client: an agent's stream, resumed after a cut; an adapter's lines; neither is ever written to."""

import asyncio
from datetime import timedelta

import pytest

from include.errors import DeclarationError, OtError
from include.ot.mtconnect import MtConnectClient, read_once
from include.ot.mtconnect_xml import NoDocument, Refusal, document
from include.ot.observations import Tags
from include.ot.reading import BAD_NO_COMMUNICATION, BAD_NO_DATA, BAD_NODE_ID_UNKNOWN, GOOD
from include.ot.sources import Source
from tests.ot.listening import Listener, running, tag
from tests.ot.machines import START, Adapter, Agent

pytestmark = pytest.mark.platform  # each starts servers of its own

FAST = {"interval_ms": 10, "heartbeat_ms": 100, "down_s": 30, "reconnect_max_s": 0.1}
T = "2026-03-01T12:00:00Z"


def source_of(server, **options) -> Source:
    return Source("machine", "mtconnect", server if isinstance(server, str) else server.url, FAST | options)


def client_of(server, **options) -> tuple[MtConnectClient, Listener]:
    listener = Listener()
    return MtConnectClient(source_of(server, **options), listener), listener


def trial(server, steps) -> None:
    """Run a trial with a server. It is made where its event loop runs."""

    async def run() -> None:
        async with server() as serving:
            await steps(serving)

    asyncio.run(run())


def values(listener: Listener, tag_id: str) -> list:
    return [(sample.value, sample.quality) for sample in listener.of(tag_id)]


# Agent

LINE = tag("line")
STATE = tag("state", "Mazak01:execution", "text")


def test_an_agent_is_asked_for_what_holds_and_then_for_what_happens():
    async def steps(agent):
        agent.see("line", "1")
        agent.see("x1", "ACTIVE", name="execution")
        client, listener = client_of(agent)
        async with running(client, [LINE, STATE]):
            await listener.until(lambda told: len(told.samples) == 2)
            for value in range(2, 40):
                agent.see("line", str(value))
            agent.see("x1", "UNAVAILABLE", name="execution")
            await listener.until(lambda told: len(told.samples) == 41)
            client.tell()
        assert listener.values("line") == [str(n) for n in range(1, 40)]
        assert values(listener, "state") == [("ACTIVE", GOOD), (None, BAD_NO_DATA)]
        assert [s.observed_at for s in listener.of("state")] == [START + timedelta(seconds=s) for s in (2, 41)]
        assert listener.gaps == []
        assert listener.detail["agent"]["next"] == 42

    trial(Agent, steps)


@pytest.mark.parametrize(("streams", "chunked", "piece"), [(True, True, 17), (True, False, 100), (False, False, None)])
def test_however_an_agent_sends_it_nothing_is_missed_or_taken_twice(streams, chunked, piece):
    async def steps(agent):
        agent.streams, agent.chunked, agent.piece = streams, chunked, piece
        client, listener = client_of(agent)
        async with running(client, [LINE]):
            await listener.until(lambda told: told.is_connected)
            for value in range(100):
                agent.see("line", str(value))
                if value % 20 == 0:
                    await asyncio.sleep(0.01)
            await listener.until(lambda told: len(told.samples) >= 100)
        assert listener.values("line") == [str(n) for n in range(100)]

    trial(Agent, steps)


def test_what_happened_during_a_cut_is_asked_for_and_no_gap():
    async def steps(agent):
        agent.see("line", "0")
        client, listener = client_of(agent)
        async with running(client, [LINE]):
            for value in range(1, 6):
                await listener.until(lambda told: told.is_connected and told.samples)
                agent.cut()
                agent.see("line", str(value))
                await listener.until(lambda told, value=value: told.values("line")[-1] == str(value))
            await agent.stop()
            for value in range(6, 50):
                agent.see("line", str(value))
            await listener.until(lambda told: told.is_connected is False)
            await agent.start()
            await listener.until(lambda told: told.values("line")[-1] == "49")
        assert listener.values("line") == [str(n) for n in range(50)]
        assert listener.gaps == []
        assert agent.connections > 6

    trial(Agent, steps)


def test_a_buffer_that_ran_over_during_a_cut_is_a_gap_and_the_rest_is_read():
    async def steps(agent):
        agent.see("line", "0")
        client, listener = client_of(agent)
        async with running(client, [LINE, STATE]):
            await listener.until(lambda told: told.samples)
            await agent.stop()
            for value in range(1, 50):
                agent.see("line", str(value))
            await agent.start()
            await listener.until(lambda told: told.values("line")[-2:] == ["48", "49"])
        (gap,) = listener.gaps
        assert (set(gap.tag_ids), gap.cause) == ({"line", "state"}, "queue_overflow")
        assert gap.from_at < gap.to_at
        assert [str(n) for n in range(40, 50)] == listener.values("line")[-10:]
        assert "39" not in listener.values("line")

    trial(lambda: Agent(buffer=10), steps)


@pytest.mark.parametrize("same_id", [False, True])
def test_an_agent_that_was_started_again_is_a_gap_and_read_from_its_beginning(same_id):
    async def steps(agent):
        for value in range(30):
            agent.see("line", str(value))
        client, listener = client_of(agent)
        async with running(client, [LINE]):
            await listener.until(lambda told: told.values("line") == ["29"])
            agent.restart()
            agent.instance -= same_id
            for value in ("UNAVAILABLE", "100", "101"):
                agent.see("line", value)
            await listener.until(lambda told: told.values("line")[-2:] == ["100", "101"])
            agent.see("line", "102")
            await listener.until(lambda told: told.values("line")[-1] == "102")
        assert [gap.cause for gap in listener.gaps] == ["connection_lost"]
        assert (None, BAD_NO_DATA) in values(listener, "line")

    trial(Agent, steps)


def test_an_agent_that_is_away_is_told_once_and_what_did_not_change_is_seen_again():
    async def steps(agent):
        agent.see("line", "7")
        client, listener = client_of(agent, down_s=0.05)
        async with running(client, [LINE]):
            await listener.until(lambda told: told.samples)
            await agent.stop()
            await listener.until(lambda told: told.last("line").quality == BAD_NO_COMMUNICATION)
            await agent.start()
            await listener.until(lambda told: told.last("line").quality == GOOD)
        seen, bad, same, again = listener.of("line")
        assert [s.value for s in (seen, bad, same, again)] == ["7", None, "7", "7"]
        assert (bad.observed_at, again.observed_at) == (None, None)
        assert seen.observed_at == same.observed_at
        assert again.received_at > bad.received_at
        assert listener.gaps == []  # its buffer had nothing new

    trial(Agent, steps)


def test_an_agent_that_was_away_from_the_start_has_a_gap_from_there():
    async def steps(agent):
        agent.see("line", "7")
        await agent.stop()
        client, listener = client_of(agent, down_s=0.05)
        async with running(client, [LINE]):
            await listener.until(lambda told: told.last("line"))
            await agent.start()
            await listener.until(lambda told: told.last("line").quality == GOOD)
        (gap,) = listener.gaps
        assert gap.cause == "connection_lost"
        assert gap.from_at <= listener.of("line")[0].received_at <= gap.to_at

    trial(Agent, steps)


def test_an_agent_that_falls_silent_is_left():
    async def steps(agent):
        agent.see("line", "1")
        client, listener = client_of(agent, timeout_s=0.3, heartbeat_ms=60_000)
        client._line.options = client_of(agent, timeout_s=0.3, heartbeat_ms=1)[0].options  # it beats once a minute
        async with running(client, [LINE]):
            agent._serve, serve = _silent(agent), agent._serve
            await listener.until(lambda told: told.is_connected is False and told.detail["last_error"])
            agent._serve = serve
            await listener.until(lambda told: told.last("line"))

    trial(Agent, steps)


def _silent(agent):
    async def serve(reader, writer):
        await asyncio.sleep(3600)

    return serve


def test_a_new_tag_gets_what_holds_and_the_others_miss_nothing():
    async def steps(agent):
        agent.see("line", "0")
        agent.see("load", "50")
        client, listener = client_of(agent)
        async with running(client, [LINE]):
            await listener.until(lambda told: told.samples)
            changing = asyncio.create_task(_count_up(agent, 1, 60))
            await client.retag([LINE, tag("load")])
            await listener.until(lambda told: told.last("load"))
            await changing
            await listener.until(lambda told: told.values("line")[-1] == "59")
            await client.retag([tag("load")])
            agent.see("line", "60")
            agent.see("load", "51")
            await listener.until(lambda told: told.values("load")[-1] == "51")
        assert listener.values("line") == [str(n) for n in range(60)]
        assert listener.values("load") == ["50", "51"]
        assert listener.gaps == []

    trial(Agent, steps)


async def _count_up(agent, start, end):
    for value in range(start, end):
        agent.see("line", str(value))
        await asyncio.sleep(0.001)


def test_conditions_messages_series_and_sets_are_read_in_their_order():
    of = [tag("temp", data_type="text"), tag("code", "temp#code", "text"), tag("v"), tag("note#text", data_type="text")]
    of += [tag("set", "vars", "text")]

    async def steps(agent):
        agent.see("temp", "hot", "Condition", "Fault", nativeCode="1010", nativeSeverity="2", qualifier="HIGH")
        agent.see("temp", "", "Condition", "Normal")
        agent.see("temp", "", "Condition", "Unavailable")
        agent.see("v", "1 2", "Samples", "Position", sampleCount=2, sampleRate=4)
        agent.see("note", "Change tool", "Events", "Message", nativeCode="CHG")
        agent.see("vars", '<Entry key="a">1</Entry><Entry key="r"><Cell key="b">2</Cell></Entry>')
        start, following, found = 1, agent.next, document(agent._since(1, 100)[0])
        assert (found.first_sequence, found.next_sequence, found.instance) == (start, following, "1")
        bound = Tags(of)
        samples = [sample for o in found.observations for sample in bound.samples(o, START)]
        assert [(s.tag_id, s.value) for s in samples] == [
            ("temp", "FAULT|1010|2|HIGH|hot"),
            ("code", "1010"),
            ("temp", "NORMAL"),
            ("code", ""),
            ("temp", None),
            ("code", None),
            ("v", "1"),
            ("v", "2"),
            ("note#text", "Change tool"),
            ("set", "a=1 r={b=2}"),
        ]
        assert samples[7].observed_at - samples[6].observed_at == timedelta(seconds=0.25)

    trial(Agent, steps)


def test_observations_of_a_document_are_in_the_order_of_their_sequence():
    async def steps(agent):
        for sequence, value in ((5, "b"), (4, "a")):
            agent.next = sequence
            agent.see("line", value)

        assert [o.value for o in document(agent._since(1, 9)[0]).observations] == ["a", "b"]

    trial(Agent, steps)


def test_an_observation_that_cannot_be_read_takes_no_other_with_it():
    async def steps(agent):
        agent.see("line", "1")
        broken = agent._last["line"].replace("2026-03-01", "yesterday")
        found = document(agent.document([broken, agent._last["line"]], 2))

        assert [o.value for o in found.observations] == ["1"]
        assert found.unreadable == ("Event line: a time that is none",)

    trial(Agent, steps)


def test_documents_that_are_none_are_told():
    assert document(
        b'<MTConnectError><Errors><Error errorCode="NO_DEVICE">x</Error></Errors></MTConnectError>'
    ) == Refusal(("NO_DEVICE",), "x")
    for body, why in ((b"no xml", "no XML"), (b"<html/>", "is the address that of an agent?"), (b"", "no XML")):
        with pytest.raises(NoDocument, match=why):
            document(body)


def test_an_agent_is_only_ever_asked():
    async def steps(agent):
        agent.see("line", "1")
        client, listener = client_of(agent, path='//DataItem[@category="EVENT"]')
        async with running(client, [LINE]):
            await listener.until(lambda told: told.samples)
            agent.restart()
            agent.see("line", "2")
            await listener.until(lambda told: told.values("line")[-1] == "2")
        await read_once(source_of(agent), [LINE])
        lines = [line for line in agent.received.decode().split("\r\n") if "HTTP/1.1" in line]
        assert len(lines) > 3
        assert all(line.startswith("GET /current") or line.startswith("GET /sample") for line in lines)
        assert all("path=%2F%2FDataItem%5B%40category%3D%22EVENT%22%5D" in line for line in lines[:-1])
        assert b"Content-Length" not in agent.received

    trial(Agent, steps)


def test_the_present_values_of_an_agent():
    async def steps(agent):
        agent.see("line", "1")
        agent.see("line", "2")
        agent.see("load", "UNAVAILABLE")
        found = await read_once(source_of(agent), [LINE, tag("load"), tag("lost", "nowhere"), tag("bad", ":")])

        assert [(s.value, s.quality) for s in found] == [
            ("2", GOOD),
            (None, BAD_NO_DATA),
            (None, BAD_NODE_ID_UNKNOWN),
            (None, 0x80890000),
        ]

    trial(Agent, steps)


def test_an_address_that_is_no_agent_says_so():
    async def steps(agent):
        with pytest.raises(OtError, match="answers 404; is the address that of an agent"):
            await read_once(source_of(f"{agent.url}/current/x?"), [LINE])
        await agent.stop()
        with pytest.raises(OtError, match="Connect call failed.*Is the server up, and are host and port"):
            await read_once(source_of(agent), [LINE])
        await agent.start()

    trial(Agent, steps)


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        ("ftp://x", {}, "must be http://agent:5000"),
        ("shdr://", {}, "must be http://agent:5000"),
        ("shdr://x", {"timezone": "Mars/Base"}, "timezone 'Mars/Base' is unknown"),
        ("shdr://x", {"kinds": {"a": "alarm"}}, "kinds must name one of value, condition"),
        ("shdr://x", {"heartbeat": 1}, "heartbeat is no option"),
        ("shdr://x", {"timeout_s": 0}, "timeout_s: 0 is not a number above 0"),
    ],
)
def test_a_source_that_cannot_be_used_is_told(url, options, why):
    with pytest.raises(DeclarationError, match=f"^machine.yaml: .*{why}"):
        client_of(url, **options)


# Adapter


def test_an_adapter_is_read_line_by_line_from_its_state_on():
    async def steps(adapter):
        client, listener = client_of(adapter)
        of = [tag("state", "execution", "text"), tag("load", "Xload"), tag("temp", "temp#level", "text")]
        async with running(client, of):
            await listener.until(lambda told: len(told.samples) == 2)
            await adapter.say(f"{T}|Xload|1.5|Xload|2.5", f"{T}|temp|FAULT|7||HIGH|hot", "rubbish", f"{T}|other|1")
            await adapter.say(f"{T}|execution|", end="")
            await adapter.say("READY")
            await listener.until(lambda told: told.last("state").value == "READY")
            client.tell()
        assert listener.values("load") == [None, "1.5", "2.5"]
        assert listener.values("temp") == ["FAULT"]
        assert values(listener, "state") == [("ACTIVE", GOOD), ("READY", GOOD)]
        assert listener.detail["refused"] == {"a time that is none": 1}
        assert listener.detail["without_a_tag"] == {"other": 1}
        assert listener.gaps == []

    trial(lambda: Adapter(f"{T}|execution|ACTIVE", f"{T}|Xload|UNAVAILABLE"), steps)


def test_a_cut_of_an_adapter_is_a_gap_and_a_line_that_it_cuts_off_is_no_evidence():
    """A slow machine may be told to be away before the first line is read, too: only what follows the cut counts."""

    async def steps(adapter):
        client, listener = client_of(adapter, down_s=0.02)
        async with running(client, [tag("load", "Xload")]):
            await listener.until(lambda told: (seen := told.last("load")) and seen.quality == GOOD)
            await adapter.say(f"{T}|Xload|12", end="")  # of 125
            await adapter.stop()
            await listener.until(lambda told: told.last("load").quality)
            await adapter.start()
            await listener.until(lambda told: told.last("load").quality == GOOD)
        samples = listener.of("load")
        cut = max(n for n, sample in enumerate(samples) if sample.value is None)
        assert cut > 0 and {sample.value for sample in samples} == {"5", None}
        assert [(s.value, s.observed_at is None) for s in samples[cut:]] == [
            (None, True),
            ("5", False),  # as the adapter says it, at its own time
            ("5", True),  # and as seen now: by time the outage would else be the last thing known
        ]
        gap = listener.gaps[-1]
        assert (gap.tag_ids, gap.cause) == (("load",), "connection_lost")
        assert gap.from_at <= samples[cut].received_at <= gap.to_at

    trial(lambda: Adapter(f"{T}|Xload|5"), steps)


def test_an_adapter_that_no_longer_answers_pings_is_left():
    async def steps(adapter):
        adapter.heartbeat_ms = 50
        client, listener = client_of(adapter, timeout_s=0.3, down_s=0.5)
        async with running(client, [tag("load", "Xload")]):
            await listener.until(lambda _: adapter.received.count(b"* PING\n") > 3)
            adapter.heartbeat_ms = None
            await listener.until(lambda told: told.is_connected is False)
            await listener.until(lambda told: told.last("load") and told.last("load").quality == BAD_NO_COMMUNICATION)
            assert adapter.connections > 1  # its port takes us, and says nothing
            adapter.heartbeat_ms = 50
            await listener.until(lambda told: told.is_connected and told.gaps)

    trial(Adapter, steps)


@pytest.mark.parametrize("heartbeat_ms", [None, 20])
def test_an_adapter_is_sent_nothing_but_pings(heartbeat_ms):
    async def steps(adapter):
        adapter.heartbeat_ms = heartbeat_ms
        client, listener = client_of(adapter, timeout_s=0.05)
        async with running(client, [tag("load", "Xload")]):
            await listener.until(lambda told: told.samples)
            await client.retag([tag("load", "Xload"), tag("more", "Yload")])
            await listener.until(lambda _: adapter.received.count(b"\n") > 3)
            adapter.cut()
            await listener.until(lambda told: adapter.connections > 1 and told.is_connected)
        await read_once(source_of(adapter), [tag("load", "Xload")])
        assert adapter.received.replace(b"* PING\n", b"") == b""

    trial(lambda: Adapter(f"{T}|Xload|5"), steps)


def test_a_tag_that_is_new_gets_what_the_adapter_said_last():
    async def steps(adapter):
        client, listener = client_of(adapter)
        async with running(client, [tag("load", "Xload")]):
            await listener.until(lambda told: told.last("load"))
            await client.retag([tag("load", "Xload"), tag("state", "m1:execution", "text")])
            assert listener.values("state") == ["ACTIVE"]
        assert listener.values("load") == ["5"]
        assert adapter.connections == 1

    trial(lambda: Adapter(f"{T}|Xload|5", f"{T}|m1:execution|READY", f"{T}|m1:execution|ACTIVE"), steps)


def test_the_present_values_of_an_adapter():
    async def steps(adapter):
        found = await read_once(source_of(adapter, timeout_s=0.3), [tag("load", "Xload"), tag("lost")])
        assert [(s.value, s.quality) for s in found] == [("5", GOOD), (None, BAD_NO_DATA)]

    trial(lambda: Adapter(f"{T}|Xload|5"), steps)


def test_an_address_that_cannot_be_used_is_told_and_the_others_are_read():
    async def steps(adapter):
        client, listener = client_of(adapter)
        async with running(client, [tag("load", "Xload"), tag("bad", "Xload#colour")]):
            await listener.until(lambda told: told.last("load"))
            client.tell()
        assert values(listener, "bad") == [(None, 0x80890000)]
        assert "#colour is none of level" in listener.detail["errors"]["bad"]

    trial(lambda: Adapter(f"{T}|Xload|5"), steps)
