"""The Sparkplug bridge at real brokers: from an edge node to the recorder, killed, cut off, and on the wire."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from include.ot.mqtt import Publisher, Subscriber
from include.ot.reading import BAD_NO_COMMUNICATION, GOOD
from include.ot.sparkplug_payload import BOOLEAN, REBIRTH, read
from include.ot.tags import Tag
from tests.ot.brokers import eventually
from tests.ot.sparkplug_edge import DOUBLE
from tests.ot.sparkplug_trial import PUBLISH, LiveEdge, Recorded, Trial, Wire, now, running

pytestmark = pytest.mark.platform

SUBSCRIBER_SAYS = {1, 4, 8, 12, 14}  # CONNECT, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT


def tag(address: str) -> Tag:
    tag_id = address.rpartition(":")[2]
    return Tag(tag_id, f"plant/unit/{tag_id}", "A", tag_id, "", address, "double", "bar")


P, Q = tag("G/E:p"), tag("G/E/D:q")


@pytest.fixture
def recorded(broker) -> Iterator[Recorded]:
    recorded = Recorded(broker)
    yield recorded
    recorded.stop()


@pytest.fixture
def name() -> str:
    return f"plant_{uuid4().hex[:8]}"


def test_what_an_edge_node_says_reaches_the_recorder(broker, tmp_path, name, recorded):
    with running(Trial(broker, tmp_path, name, P, Q)) as trial:
        edge = LiveEdge(broker)
        edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 1.0)}))
        edge.tell(edge.dbirth(now(), "D", {"q": (DOUBLE, 2.0), "unknown": (DOUBLE, 3.0)}))
        edge.tell(edge.data(now(), edge.value("p", 1.5)))
        eventually(lambda: recorded.values("p") == [1.0, 1.5] and recorded.values("q") == [2.0])
        assert {(r.quality, r.clock, r.unit) for r in recorded.readings} == {(GOOD, "source", "bar")}

        edge.vanish()
        eventually(lambda: len(recorded.readings) == 5)
        assert {(r.tag_id, r.quality) for r in recorded.readings[3:]} == {
            ("p", BAD_NO_COMMUNICATION),
            ("q", BAD_NO_COMMUNICATION),
        }
        again = LiveEdge(broker, bd=1)
        again.tell(again.nbirth(now(), {"p": (DOUBLE, 1.6)}))
        again.tell(again.dbirth(now(), "D", {"q": (DOUBLE, 2.0)}))
        eventually(lambda: recorded.values("p")[-1] == 1.6 and recorded.values("q")[-1] == 2.0)
        eventually(lambda: {(g.cause, g.tag_ids) for g in recorded.gaps} == {("connection_lost", (t,)) for t in "pq"})
        eventually(lambda: trial.health()["detail"]["undeclared"]["count"] == 1)
        assert trial.health()["detail"]["undeclared"]["first"] == ["G/E/D:unknown"]
        again.stop()


def test_a_killed_bridge_loses_nothing_that_the_broker_keeps_and_tells_nothing_twice(broker, tmp_path, name, recorded):
    edge, count = LiveEdge(broker, qos=1), 3000
    is_over = threading.Event()

    def talk() -> None:
        begun = now()
        for number in range(count):
            edge.tell(edge.data(begun + timedelta(milliseconds=1 + number), edge.value("p", float(number))))
        is_over.set()

    trial = Trial(broker, tmp_path, name, P)
    trial.start()
    edge.tell(edge.nbirth(now(), {"p": (DOUBLE, -1.0)}))
    talking = threading.Thread(target=talk)
    talking.start()
    for part in (1, 2, 3):
        eventually(lambda part=part: len(recorded.values("p")) > part * count // 5 or is_over.is_set())
        trial.kill()
        trial.start()
    talking.join()
    eventually(lambda: len(set(recorded.values("p"))) == count + 1, "every value")
    trial.stop()

    stored: dict[tuple, float] = {}
    for reading in recorded.readings:  # stores keep the first of a key
        stored.setdefault((reading.observed_at, reading.sequence), reading.value_double)
    assert sorted(stored.values()) == [float(n) for n in range(-1, count)]
    assert {r.quality for r in recorded.readings} == {GOOD}  # no doubt about an alias
    assert {gap.cause for gap in recorded.gaps} <= {"bridge_stopped"}
    edge.stop()


def test_a_bridge_that_was_stopped_still_knows_the_births(broker, tmp_path, name, recorded):
    """And nothing of a node that was silent meanwhile is in doubt, though nobody kept its messages."""
    trial, edge = Trial(broker, tmp_path, name, P), LiveEdge(broker)
    trial.start()
    edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 1.0)}))
    edge.tell(edge.data(now(), edge.value("p", 2.0)))
    eventually(lambda: trial.count("data") == 1)
    trial.stop()
    with running(trial):
        edge.tell(edge.data(now(), edge.value("p", 3.0)))
        eventually(lambda: recorded.values("p") == [1.0, 2.0, 3.0])
        assert {r.quality for r in recorded.readings} == {GOOD}
        assert {gap.cause for gap in recorded.gaps} <= {"bridge_stopped"}
    edge.stop()


def test_a_cut_line_costs_nothing_where_the_broker_keeps_messages(broker, tmp_path, name, recorded):
    wire = Wire(broker.port)
    with running(Trial(broker, tmp_path, name, P, url=wire.url)) as trial:
        edge = LiveEdge(broker, qos=1)
        edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 0.0)}))
        eventually(lambda: recorded.values("p") == [0.0])
        wire.cut()
        for number in (1.0, 2.0, 3.0):
            edge.tell(edge.data(now(), edge.value("p", number)))
        eventually(lambda: recorded.values("p") == [0.0, 1.0, 2.0, 3.0])
        eventually(lambda: trial.count("data") >= 3)

    assert [gap.cause for gap in recorded.gaps] == []
    assert {r.quality for r in recorded.readings} == {GOOD}
    edge.stop()
    wire.close()


def test_a_cut_line_is_a_gap_where_nobody_keeps_messages(broker, tmp_path, name, recorded):
    wire = Wire(broker.port)
    with running(Trial(broker, tmp_path, name, P, url=wire.url)):
        edge = LiveEdge(broker)
        edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 0.0)}))
        eventually(lambda: recorded.values("p") == [0.0])
        wire.cut()
        eventually(lambda: [(gap.cause, gap.tag_ids) for gap in recorded.gaps] == [("connection_lost", ("p",))])

    edge.stop()
    wire.close()


def test_nothing_is_ever_published_to_the_plant(broker, tmp_path, name, recorded):
    """Not for a missing birth, an unknown alias, a lost message, a death or a line that was cut."""
    wire = Wire(broker.port)
    with running(Trial(broker, tmp_path, name, P, Q, url=wire.url, reorder_s=0.1)) as trial:
        edge = LiveEdge(broker)
        edge.aliases[":p"] = 0
        edge.tell(edge.data(now(), edge.value("p", 0.0)))
        edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 1.0)}))
        edge.tell(edge.data(now(), {"alias": 77, "double_value": 1.0}))
        edge.data(now())  # lost
        edge.tell(edge.data(now(), edge.value("p", 2.0)))
        eventually(lambda: trial.count("jumps") == 1 and trial.count("unresolved") == 2)
        wire.cut()
        eventually(lambda: len([kind for kind, _ in wire.sent if kind == 1]) == 2)
        edge.vanish()
        eventually(lambda: trial.count("deaths") == 1)
        assert trial.health()["detail"]["nodes"]["G/E"]["needs_birth"]

    assert wire.kinds() <= SUBSCRIBER_SAYS
    flags = {packet[7] for kind, packet in wire.sent if kind == 1}  # after the protocol's name and level
    assert all(not flag & 0b00000100 for flag in flags)  # no last will, which would be a message too
    wire.close()


def test_a_birth_is_asked_for_only_where_that_is_allowed(nats, tmp_path, name):
    heard: list[tuple[str, bytes]] = []
    plant = Subscriber(
        "recorder", "commands", "spBv1.0/+/NCMD/#", lambda d: heard.append((d.topic, d.payload)), url=nats.url
    )
    plant.start()
    eventually(lambda: plant.is_connected)
    wire = Wire(nats.port)
    trial = Trial(nats, tmp_path, name, P, Q, url=wire.url, rebirth_user="bridge")
    with running(trial, HNAI_OT__MAY_REQUEST_REBIRTH="true"):
        eventually(lambda: heard)
        edge = LiveEdge(nats)
        edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 1.0)}))
        eventually(lambda: not trial.health()["detail"]["nodes"].get("G/E", {"needs_birth": 1})["needs_birth"])
    [(topic, payload)] = heard
    assert topic == "spBv1.0/G/NCMD/E"
    assert [(metric.name, metric.raw) for metric in read(payload).metrics] == [(REBIRTH, True)]
    assert read(payload).metrics[0].datatype == BOOLEAN
    assert [kind for kind, _ in wire.sent].count(PUBLISH) == 1

    heard.clear()
    wire.sent.clear()
    trial.name += "_2"  # one that knows no birth
    trial.health_file = trial.health_file.parent.with_name(trial.name) / "health.json"
    trial.declare(P, Q)
    with running(trial):
        eventually(lambda: trial.health()["detail"]["nodes_missing"] == ["G/E"])
        assert not trial.health()["detail"]["may_request_rebirth"]
    assert heard == []
    assert wire.kinds() <= SUBSCRIBER_SAYS
    edge.stop()
    plant.stop()
    wire.close()


def test_a_changed_dictionary_is_taken_over_without_a_restart(nats, tmp_path, name):
    recorded = Recorded(nats)
    with running(Trial(nats, tmp_path, name, P)) as trial:
        edge = LiveEdge(nats)
        edge.tell(edge.nbirth(now(), {"p": (DOUBLE, 1.0)}))
        edge.tell(edge.dbirth(now(), "D", {"q": (DOUBLE, 2.0)}))
        eventually(lambda: recorded.values("p") == [1.0])
        trial.declare(P, Q)
        eventually(lambda: recorded.values("q") == [2.0])
        edge.tell(edge.data(now(), edge.value("p", 1.5)))
        eventually(lambda: recorded.values("p") == [1.0, 1.5])
    edge.stop()
    recorded.stop()


def test_a_space_in_a_name_ends_the_senders_line_at_the_embedded_broker(nats):
    """What the how-to says of the embedded broker, so that nobody looks for the fault elsewhere."""
    publisher = Publisher("bridge", "edge-with-a-space", lambda _: None, url=nats.url)
    publisher.start()
    eventually(lambda: publisher.is_connected)
    publisher.publish("spBv1.0/My Group/NBIRTH/E", b"")
    eventually(lambda: not publisher.is_connected)
    publisher.stop()
