"""What Sparkplug B edge nodes say, and what becomes of it: births, aliases, deaths, numbers, late values."""

import csv
import gzip
import struct
from datetime import UTC, datetime, timedelta

import pytest

from include.errors import DeclarationError, PayloadError
from include.ot import sparkplug
from include.ot.reading import (
    BAD,
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_OUT_OF_RANGE,
    GOOD,
    UNCERTAIN,
    Sample,
    Sequencer,
)
from include.ot.sources import Source
from include.ot.sparkplug import SparkplugClient, seed_rows
from include.ot.sparkplug_memory import Memory
from include.ot.sparkplug_nodes import Nodes
from include.ot.sparkplug_payload import (
    COMPRESSED,
    TYPES,
    UNCERTAIN_LAST_USABLE,
    Message,
    Metric,
    read,
    rebirth_command,
)
from include.ot.sparkplug_rebirth import Pace
from include.ot.sparkplug_state import scope_of
from include.ot.tags import Tag
from include.settings import settings
from tests.ot.sparkplug_edge import BOOL, DATASET, DATETIME, DOUBLE, INT8, INT32, STRING, UINT64, Edge

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Encoded by another implementation (pysparkplug 0.6.1, from the project's own .proto).
FOREIGN = bytes.fromhex(
    "08fbd095ffbc3112120a05626453657118fbd095ffbc3120045807121a0a144e6f646520436f6e74726f6c2f52656269727468200b7000"
    "12400a0a496e707574732f544850100118e4d095ffbc3120094a220a07656e67556e69740a075175616c6974791207080c420362617212"
    "05080318c001650000ac41120e0a0269381002200150feffffff0f120d0a036931361003200250feff03120f0a036933321004200350fe"
    "ffffff0f12140a036936341005200458feffffffffffffffff0112140a037536341006200858feffffffffffffffff0112090a01621007"
    "200b7001120f0a01731008200c7a066cc3a4756674120e0a01741009200d5880d095ffbc31120b0a036e756c100a200a380112180a0264"
    "73100b20108a010d0801120163180322040a02080312160a0374706c100c201392010a12050a01715002220178120d0a026279100d2011"
    "82010200ff12101001188080babbc82e2801650000a03f120e0a03617272100e201682010201021800"
)


def tag(address: str, data_type: str = "double", tag_id: str = "") -> Tag:
    tag_id = tag_id or address.rpartition(":")[2]
    return Tag(tag_id, f"plant/{tag_id}", tag_id, tag_id, "plant", address, data_type, "bar")


class Seen:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.gaps: list[tuple] = []

    def put(self, samples) -> None:
        self.samples += samples

    def gap(self, tag_ids, from_at, to_at, cause) -> None:
        self.gaps.append((tuple(tag_ids), from_at, to_at, cause))

    def told(self) -> list[tuple]:
        """What came since the last call: tag, value, quality, seconds after noon (None: no time of the source)."""
        told = [
            (s.tag_id, s.value, s.quality, s.observed_at and (s.observed_at - NOON).total_seconds())
            for s in self.samples
        ]
        self.samples = []
        return told

    def gaps_told(self) -> list[tuple]:
        told = [(ids, (f - NOON).total_seconds(), (t - NOON).total_seconds(), cause) for ids, f, t, cause in self.gaps]
        self.gaps = []
        return told


class Plant:
    """Nodes with a sink, and messages that arrive one tenth of a second after they were sent."""

    def __init__(self, *tags: Tag, **options) -> None:
        self.seen = Seen()
        self.nodes = Nodes(self.seen, **options)
        self.nodes.retag(tags, NOON)

    def hears(self, message: tuple[str, bytes], at: datetime, ack=lambda: None, is_kept: bool = False) -> None:
        self.nodes.take(*message, at + timedelta(seconds=0.1), ack, is_kept=is_kept)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def born(*tags: Tag, **options) -> tuple[Plant, Edge]:
    """A plant of one node with the metrics p (1.0) and q (2.0), born at noon; what the birth tells is told already."""
    plant, edge = Plant(*(tags or (tag("G/E:p"), tag("G/E:q"))), **options), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0), "q": (DOUBLE, 2.0)}), NOON)
    plant.seen.told()
    return plant, edge


# The payload


def test_a_payload_of_another_implementation_is_read():
    payload = read(FOREIGN)

    assert (payload.at_us, payload.seq, payload.number("bdSeq")) == (1_700_000_000_123_000, 0, 7)
    by_name = {metric.name: metric for metric in payload.metrics if metric.name}
    assert by_name["Inputs/THP"].value(9) == (21.5, GOOD)
    assert by_name["Inputs/THP"].unit == "bar"
    assert [by_name[n].value(by_name[n].datatype)[0] for n in ("i8", "i16", "i32", "i64")] == [-2] * 4
    assert by_name["u64"].value(8)[0] == 2**64 - 2
    assert by_name["s"].value(12)[0] == "läuft"
    assert by_name["nul"].value(10) == (None, BAD_NO_DATA)
    late = payload.metrics[-2]
    assert (late.alias, late.is_historical, late.at_us) == (1, True, 1_600_000_000_000_000)
    for name in ("ds", "tpl", "by", "arr"):
        with pytest.raises(PayloadError, match="not mirrored"):
            by_name[name].value(by_name[name].datatype)


@pytest.mark.parametrize(
    ("datatype", "field", "raw", "value"),
    [
        ("Int8", "int_value", 2**32 - 1, -1),
        ("Int8", "int_value", 255, -1),  # a sender that fills eight bits only
        ("Int8", "int_value", 127, 127),
        ("Int8", "int_value", 300, None),
        ("Int8", "long_value", 2**64 - 128, -128),
        ("Int16", "int_value", 2**16 - 5, -5),
        ("Int32", "int_value", 2**31, -(2**31)),
        ("Int64", "long_value", 2**63, -(2**63)),
        ("UInt8", "int_value", 255, 255),
        ("UInt8", "int_value", 256, None),
        ("UInt16", "int_value", 2**16 - 1, 2**16 - 1),
        ("UInt32", "int_value", 2**32 - 1, 2**32 - 1),
        ("UInt32", "long_value", 2**32 - 1, 2**32 - 1),  # how some senders carry it
        ("UInt64", "long_value", 2**64 - 1, 2**64 - 1),
        ("Boolean", "int_value", 1, True),
        ("Float", "float_value", 1.5, 1.5),
        ("DateTime", "long_value", 1_700_000_000_000, 1_700_000_000_000),
    ],
)
def test_every_type_is_read_as_its_sender_means_it(datatype, field, raw, value):
    number = next(n for n, name in TYPES.items() if name == datatype)
    metric = Metric("m", None, None, number, False, False, field, raw, {}, "")

    assert metric.value(number) == (value, BAD_OUT_OF_RANGE if value is None else GOOD)


@pytest.mark.parametrize(
    ("told", "quality"),
    [(192, GOOD), (0, BAD), (500, UNCERTAIN_LAST_USABLE), (216, GOOD), (64, UNCERTAIN), (2**31 + 512, BAD)],
)
def test_the_quality_of_a_metric_is_taken_over(told, quality):
    assert Metric("m", None, None, 9, False, False, "float_value", 1.0, {"Quality": told}, "").quality == quality


def test_a_compressed_payload_is_read_and_a_bomb_is_not():
    inner = Message(timestamp=1, seq=3).SerializeToString()

    assert read(Message(uuid=COMPRESSED, body=gzip.compress(inner)).SerializeToString()).seq == 3
    with pytest.raises(PayloadError, match="larger than"):
        read(Message(uuid=COMPRESSED, body=gzip.compress(b"\0" * 2**25)).SerializeToString())
    with pytest.raises(PayloadError, match="cannot be unpacked"):
        read(Message(uuid=COMPRESSED, body=b"no gzip").SerializeToString())


@pytest.mark.parametrize("payload", [b"hello", b"\xff\xff", b'{"v": 1}', b"\x18\x80\x08"])
def test_what_is_no_payload_is_refused_with_a_reason(payload):
    with pytest.raises(PayloadError):
        read(payload)


# Births, aliases, data


def test_data_is_resolved_by_the_birth():
    plant, edge = Plant(tag("G/E:p"), tag("G/E/D:state", "text"), tag("G/E/D:runs", "boolean")), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0)}), NOON)
    plant.hears(edge.dbirth(after(1), "D", {"state": (STRING, "idle"), "runs": (BOOL, False)}), after(1))
    plant.hears(edge.data(after(2), edge.value("p", 1.5)), after(2))
    plant.hears(edge.data(after(3), edge.value("runs", True, BOOL, device="D"), device="D"), after(3))

    assert plant.seen.told() == [
        ("p", 1.0, GOOD, 0),
        ("state", "idle", GOOD, 1),
        ("runs", False, GOOD, 1),
        ("p", 1.5, GOOD, 2),
        ("runs", True, GOOD, 3),
    ]
    assert plant.seen.gaps == []
    assert plant.nodes.state()["tags_bound"] == 3


def test_a_metric_with_a_time_of_its_own_keeps_it():
    plant, edge = born()
    early = int(after(4).timestamp() * 1000)
    plant.hears(edge.data(after(5), edge.value("p", 3.0, timestamp=early), edge.value("q", 4.0)), after(5))

    assert plant.seen.told() == [("p", 3.0, GOOD, 4), ("q", 4.0, GOOD, 5)]


def test_a_time_that_no_clock_shows_is_not_taken():
    plant, edge = born()
    plant.hears(edge.data(after(5), edge.value("p", 3.0, timestamp=2**63), edge.value("q", 4.0, timestamp=1)), after(5))
    plant.hears(edge.data(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), edge.value("p", 3.5)), after(6))

    assert plant.seen.told() == [("p", 3.0, GOOD, 5), ("q", 4.0, GOOD, 5), ("p", 3.5, GOOD, None)]
    assert plant.seen.gaps == []


def test_a_new_birth_may_give_aliases_anew():
    plant, edge = born()
    plant.hears(edge.nbirth(after(10), {"q": (DOUBLE, 2.0), "p": (DOUBLE, 1.0)}), after(10))
    plant.hears(edge.data(after(11), edge.value("p", 7.0)), after(11))

    assert plant.seen.told()[-1] == ("p", 7.0, GOOD, 11)


def test_data_before_a_birth_is_a_gap_that_the_birth_ends():
    plant, edge = Plant(tag("G/E:p")), Edge()
    edge.aliases[":p"] = 5
    plant.hears(edge.data(after(1), edge.value("p", 9.0)), after(1))
    plant.hears(edge.data(after(2), edge.value("p", 9.5)), after(2))

    assert plant.seen.told() == []
    assert "values without a birth" in plant.nodes.births_needed()["G/E"]
    plant.hears(edge.nbirth(after(3), {"p": (DOUBLE, 10.0)}), after(3))
    assert plant.seen.told() == [("p", 10.0, GOOD, 3)]
    assert plant.seen.gaps_told() == [(("p",), 1, 3, "birth_missing")]
    assert plant.nodes.births_needed() == {}


def test_an_alias_that_the_birth_does_not_know_is_not_guessed():
    plant, edge = born()
    plant.hears(edge.data(after(1), {"alias": 99, "double_value": 3.0}, edge.value("p", 1.5)), after(1))
    plant.hears(edge.data(after(2), {"alias": 0, "datatype": BOOL, "boolean_value": True}), after(2))

    assert plant.seen.told() == [("p", 1.5, GOOD, 1)]
    assert plant.nodes.counts["unresolved"] == 2
    plant.hears(edge.nbirth(after(3), {"p": (DOUBLE, 1.5)}), after(3))
    assert plant.seen.gaps_told() == [(("p", "q"), 1, 3, "birth_missing")]


def test_a_metric_that_is_named_needs_no_birth():
    plant, edge = Plant(tag("G/E:p"), tag("G/E:n", "long")), Edge()
    plant.hears(edge.data(after(1), {"name": "p", "double_value": 3.0}), after(1))
    plant.hears(edge.data(after(2), {"name": "n", "int_value": 7}), after(2))
    plant.hears(edge.data(after(3), {"name": "n", "int_value": 2**32 - 1}), after(3))  # -1 or four thousand million?

    assert plant.seen.told() == [("p", 3.0, GOOD, 1), ("n", 7, GOOD, 2)]
    assert plant.nodes.counts["unresolved"] == 1


def test_null_is_a_bad_reading_and_nan_too():
    plant, edge = born()
    plant.hears(edge.data(after(1), {"alias": 0, "is_null": True}, edge.value("q", float("nan"))), after(1))

    of = Sequencer().of
    readings = [of(sample, tag("G/E:p")) for sample in plant.seen.samples]
    assert [(r.value_double, r.quality) for r in readings] == [(None, BAD_NO_DATA), (None, BAD_OUT_OF_RANGE)]


def test_what_is_not_mirrored_is_counted_and_shown():
    plant, edge = Plant(tag("G/E:p"), tag("G/E:set")), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0), "set": (DATASET, b""), "other": (DOUBLE, 5.0)}), NOON)
    plant.hears(edge.data(after(1), {"alias": 1, "dataset_value": b""}), after(1))

    state = plant.nodes.state()
    assert state["not_mirrored"] == {"DataSet": 2}
    assert state["tags_in_error"] == {"set": "a DataSet is not mirrored"}
    assert state["undeclared"] == {"count": 1, "first": ["G/E:other"]}
    assert plant.seen.told() == [("p", 1.0, GOOD, 0)]


def test_a_date_is_a_number_or_a_text_as_the_dictionary_wants_it():
    plant, edge = Plant(tag("G/E:since", "long"), tag("G/E:until", "text")), Edge()
    plant.hears(edge.nbirth(NOON, {n: (DATETIME, 1_700_000_000_000) for n in ("since", "until")}), NOON)

    assert [s.value for s in plant.seen.samples] == [1_700_000_000_000, "2023-11-14T22:13:20+00:00"]


# Numbers


def test_numbers_go_round_without_a_gap():
    plant, edge = born()
    for n in range(1, 600):
        plant.hears(edge.data(after(n), edge.value("p", float(n))), after(n))

    assert [value for _, value, _, _ in plant.seen.told()] == [float(n) for n in range(1, 600)]
    assert plant.seen.gaps == []


def test_a_number_that_never_comes_is_a_gap_and_leaves_doubt():
    plant, edge = born()
    plant.hears(edge.data(after(1), edge.value("p", 1.5)), after(1))
    edge.data(after(2), edge.value("q", 3.0))  # lost
    plant.hears(edge.data(after(3), edge.value("p", 1.7)), after(3))
    assert plant.seen.told() == [("p", 1.5, GOOD, 1)]  # the later one waits for the earlier

    plant.nodes.tick(after(6))
    assert plant.seen.told() == [("p", 1.7, UNCERTAIN, 3), ("q", 2.0, UNCERTAIN_LAST_USABLE, 3)]
    assert plant.seen.gaps_told() == [(("p", "q"), 1, 3, "sequence_jump")]
    assert "a birth may be among them" in plant.nodes.births_needed()["G/E"]

    plant.hears(edge.data(after(7), edge.value("p", 1.8), {"name": "q", "double_value": 2.5}), after(7))
    assert plant.seen.told() == [("p", 1.8, UNCERTAIN, 7), ("q", 2.5, GOOD, 7)]  # a name is certain
    plant.hears(edge.nbirth(after(8), {"p": (DOUBLE, 1.8), "q": (DOUBLE, 2.5)}), after(8))
    plant.hears(edge.data(after(9), edge.value("p", 1.9)), after(9))
    assert plant.seen.told()[-1] == ("p", 1.9, GOOD, 9)


def test_where_aliases_are_trusted_a_loss_leaves_no_doubt():
    plant, edge = born(trusts_aliases=True, reorder_s=0)
    edge.data(after(1), edge.value("q", 3.0))  # lost
    plant.hears(edge.data(after(2), edge.value("p", 1.7)), after(2))

    assert plant.seen.told() == [("p", 1.7, GOOD, 2), ("q", 2.0, UNCERTAIN_LAST_USABLE, 2)]


def test_messages_that_overtake_one_another_are_put_in_order():
    plant, edge = born()
    sent = [edge.data(after(n), edge.value("p", float(n))) for n in (1, 2, 3)]
    for n in (2, 1, 0):
        plant.hears(sent[n], after(3))

    assert [value for _, value, _, _ in plant.seen.told()] == [1.0, 2.0, 3.0]
    plant.nodes.tick(after(60))
    assert plant.seen.gaps == []


def test_data_that_overtakes_its_birth_waits_for_it():
    plant, edge = born()
    for n in (1, 2, 3):
        plant.hears(edge.data(after(n), edge.value("p", 1.0)), after(n))
    birth = edge.nbirth(after(10), {"q": (DOUBLE, 2.0), "p": (DOUBLE, 1.0)})
    plant.hears(edge.data(after(10.01), edge.value("q", 5.0)), after(10))
    plant.hears(birth, after(10))

    assert plant.seen.told()[-1] == ("q", 5.0, GOOD, 10.01)
    assert plant.seen.gaps == []


def test_a_message_that_comes_twice_is_no_jump():
    plant, edge = born()
    sent = [edge.data(after(n), edge.value("p", float(n))) for n in (1, 2, 3)]
    for message in (*sent, *sent):
        plant.hears(message, after(3))
    plant.nodes.tick(after(60))

    of = Sequencer().of
    readings = [of(sample, tag("G/E:p")) for sample in plant.seen.samples]
    assert [r.value_double for r in readings if r] == [1.0, 2.0, 3.0]
    assert plant.seen.gaps == []


def test_what_comes_late_is_read_with_the_aliases_of_its_time():
    plant, edge = born()
    old = edge.data(after(1), edge.value("p", 5.0))
    plant.hears(old, after(1))
    plant.hears(edge.nbirth(after(2), {"q": (DOUBLE, 2.0), "p": (DOUBLE, 5.0)}), after(2))
    plant.seen.told()
    plant.hears(edge.data(after(3), edge.value("p", 6.0)), after(3))
    plant.hears(old, after(4))

    assert plant.seen.told() == [("p", 6.0, GOOD, 3), ("p", 5.0, GOOD, 1)]


def test_what_a_broker_sends_again_after_what_is_new_is_put_in_order():
    """As the embedded broker does once a bridge was killed: hundreds of messages later, further than numbers reach."""
    plant, edge = born()
    plant.hears(edge.nbirth(after(0.001), {"p": (DOUBLE, 1.0), "q": (DOUBLE, 2.0)}), NOON, is_kept=True)
    plant.nodes.resumed(after(1))
    plant.seen.told()
    unacknowledged = [edge.data(after(n / 1000), edge.value("p", float(n))) for n in range(1, 300)]
    edge.bd = 1
    birth = edge.nbirth(after(0.3), {"q": (DOUBLE, 2.0), "p": (DOUBLE, 300.0)})
    unacknowledged += [birth, *(edge.data(after(n / 1000), edge.value("p", float(n))) for n in range(301, 400))]
    new = [edge.data(after(n / 1000), edge.value("p", float(n))) for n in range(400, 1000)]
    for message in (*new, *unacknowledged):
        plant.hears(message, after(2), is_kept=True)
    plant.nodes.tick(after(5))

    assert [value for t, value, _, _ in plant.seen.told() if t == "p"] == [float(n) for n in range(1, 1000)]
    assert plant.seen.gaps == []
    assert {sample.quality for sample in plant.seen.samples} <= {GOOD}
    assert not plant.nodes.nodes["G/E"].in_doubt


def test_what_a_broker_sends_again_to_one_that_knows_nothing_waits_for_the_birth():
    plant, edge = Plant(tag("G/E:p")), Edge()
    plant.nodes.resumed(after(1))
    birth = edge.nbirth(NOON, {"p": (DOUBLE, 1.0)})
    again = [birth, *(edge.data(after(n / 1000), edge.value("p", float(n))) for n in range(2, 300))]
    new = [edge.data(after(n / 1000), edge.value("p", float(n))) for n in range(300, 400)]
    for message in new:
        plant.hears(message, after(1.1), is_kept=True)
    plant.nodes.tick(after(4))
    assert plant.seen.told() == []

    for message in again:
        plant.hears(message, after(5), is_kept=True)
    plant.nodes.tick(after(8))
    assert [value for _, value, _, _ in plant.seen.told()] == [float(n) for n in range(1, 400)]
    assert plant.seen.gaps == []


def test_what_a_broker_sends_again_from_long_ago_is_not_taken_for_the_next():
    """Numbers go round: one message in 256 of long ago has the number that is due."""
    plant, edge = born()
    plant.hears(edge.nbirth(after(0.001), {"p": (DOUBLE, 1.0), "q": (DOUBLE, 2.0)}), NOON, is_kept=True)
    sent = [edge.data(after(n / 1000), edge.value("p", float(n))) for n in range(2, 3001)]
    for message in sent:
        plant.hears(message, after(3), is_kept=True)
    plant.nodes.resumed(after(4))
    plant.seen.told()
    for message in sent:
        plant.hears(message, after(5), is_kept=True)
    plant.hears(edge.data(after(6), edge.value("p", 0.0)), after(6), is_kept=True)
    plant.nodes.tick(after(9))

    assert plant.seen.told()[-1] == ("p", 0.0, GOOD, 6)
    assert plant.seen.gaps == []
    assert not plant.nodes.nodes["G/E"].in_doubt


def test_what_a_broker_never_sends_again_is_lost_in_the_end():
    plant, edge = born()
    plant.hears(edge.nbirth(after(0.001), {"p": (DOUBLE, 1.0), "q": (DOUBLE, 2.0)}), NOON, is_kept=True)
    plant.nodes.resumed(after(1))
    plant.seen.told()
    edge.data(after(2))  # lost on its way to the broker
    plant.hears(edge.data(after(3), edge.value("p", 3.0)), after(3), is_kept=True)
    plant.nodes.tick(after(70))
    assert plant.seen.told() == []
    plant.nodes.tick(after(80))
    assert plant.seen.told()[0] == ("p", 3.0, UNCERTAIN, 3)


def test_what_a_broker_sends_again_is_told_once_even_across_a_restart():
    """Two values of one millisecond: told again in this order, a store could not know that they are no news."""
    plant, edge = born()
    sent = [edge.data(after(1), edge.value("p", n)) for n in (1.5, 1.6)]
    for message in (*sent, *sent):
        plant.hears(message, after(1), is_kept=True)
    assert plant.seen.told() == [("p", 1.5, GOOD, 1), ("p", 1.6, GOOD, 1)]

    again = Plant(tag("G/E:p"))
    again.nodes.remember(plant.nodes.changes()[0])
    for message in sent:
        again.hears(message, after(10), is_kept=True)
    assert again.seen.told() == []
    assert len(again.nodes.changes()[1]) == 2  # acknowledged this time


def test_a_late_value_keeps_its_time_and_makes_nothing_alive():
    plant, edge = born()
    late = int(after(-3600).timestamp() * 1000)
    plant.hears(edge.data(after(1), edge.value("p", 0.5, timestamp=late, is_historical=True)), after(1))
    assert plant.seen.told() == [("p", 0.5, GOOD, -3600)]

    edge.data(after(2))  # lost
    plant.hears(edge.data(after(3), edge.value("q", 2.5)), after(3))
    plant.nodes.tick(after(10))
    assert ("p", 1.0, UNCERTAIN_LAST_USABLE, 3) in plant.seen.told()  # the last live value, not the late one


# Deaths


def test_a_dead_node_makes_its_tags_bad_until_it_is_born_again():
    plant, edge = Plant(tag("G/E:p"), tag("G/E/D:q"), tag("G/F:r"), keepalive_s=5), Edge()
    other = Edge("G/F")
    plant.hears(other.nbirth(NOON, {"r": (DOUBLE, 3.0)}), NOON)
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0)}), NOON)
    plant.hears(edge.dbirth(NOON, "D", {"q": (DOUBLE, 2.0)}), NOON)
    plant.seen.told()

    plant.hears(edge.ndeath(), after(100))
    dead = plant.seen.samples
    assert [(s.tag_id, s.value, s.quality, s.observed_at) for s in dead] == [
        ("p", None, BAD_NO_COMMUNICATION, None),
        ("q", None, BAD_NO_COMMUNICATION, None),
    ]
    assert {s.served_at for s in dead} == {after(100)}  # reckoned on the node's clock
    plant.seen.told()

    edge.bd = 1
    plant.hears(edge.nbirth(after(160), {"p": (DOUBLE, 1.0)}), after(160))
    assert plant.seen.told() == [("p", 1.0, GOOD, 160)]
    assert plant.seen.gaps_told() == [(("p",), 95, 160, "connection_lost")]  # the device is not back yet
    plant.hears(edge.dbirth(after(161), "D", {"q": (DOUBLE, 2.0)}), after(161))
    assert plant.seen.gaps_told() == [(("q",), 95, 161, "connection_lost")]


def test_a_birth_tells_what_is_now_even_where_the_value_is_older_than_the_death():
    plant, edge = born(tag("G/E:p"))
    plant.hears(edge.ndeath(), after(50))
    plant.seen.told()
    topic, payload = edge.nbirth(after(60), {"p": (DOUBLE, 1.0)})
    message = Message.FromString(payload)
    message.metrics[-1].timestamp = int(after(-500).timestamp() * 1000)  # the tag's last change
    plant.hears((topic, message.SerializeToString()), after(60))

    assert plant.seen.told() == [("p", 1.0, GOOD, 60)]


def test_the_death_of_an_earlier_birth_is_none():
    plant, edge = born()
    edge.bd = 1
    plant.hears(edge.nbirth(after(5), {"p": (DOUBLE, 1.0), "q": (DOUBLE, 2.0)}), after(5))
    plant.seen.told()
    plant.hears(edge.ndeath(bd=0), after(6))  # the will of the connection before
    assert plant.seen.told() == []

    plant.hears(edge.ndeath(bd=1), after(7))
    assert [quality for _, _, quality, _ in plant.seen.told()] == [BAD_NO_COMMUNICATION] * 2
    plant.hears(edge.ndeath(bd=1), after(8))  # told twice
    assert plant.seen.told() == []


def test_bdseq_goes_round():
    plant, edge = Plant(tag("G/E:p")), Edge(bd=255)
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0)}), NOON)
    edge.bd = 0
    plant.hears(edge.nbirth(after(1), {"p": (DOUBLE, 1.0)}), after(1))
    plant.seen.told()
    plant.hears(edge.ndeath(bd=255), after(2))

    assert plant.seen.told() == []
    assert plant.nodes.counts["deaths_of_earlier_births"] == 1


def test_a_dead_device_leaves_the_others_alone():
    plant, edge = Plant(tag("G/E:p"), tag("G/E/D:q")), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0)}), NOON)
    plant.hears(edge.dbirth(NOON, "D", {"q": (DOUBLE, 2.0)}), NOON)
    plant.seen.told()
    plant.hears(edge.ddeath(after(10), "D"), after(10))
    plant.hears(edge.data(after(11), edge.value("p", 1.1)), after(11))
    plant.hears(edge.dbirth(after(20), "D", {"q": (DOUBLE, 2.0)}), after(20))

    assert plant.seen.told() == [("q", None, BAD_NO_COMMUNICATION, 10), ("p", 1.1, GOOD, 11), ("q", 2.0, GOOD, 20)]
    assert plant.seen.gaps_told() == [(("q",), 10, 20, "connection_lost")]


def test_a_device_that_its_node_does_not_bring_back_is_dead():
    plant, edge = Plant(tag("G/E:p"), tag("G/E/D:q")), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0)}), NOON)
    plant.hears(edge.dbirth(NOON, "D", {"q": (DOUBLE, 2.0)}), NOON)
    plant.seen.told()
    plant.hears(edge.nbirth(after(10), {"p": (DOUBLE, 1.0)}), after(10))
    plant.nodes.tick(after(20))
    assert plant.seen.told() == [("p", 1.0, GOOD, 10)]

    plant.nodes.tick(after(60))
    assert [told[:3] for told in plant.seen.told()] == [("q", None, BAD_NO_COMMUNICATION)]


# The line to the broker


def test_a_cut_line_that_cost_nothing_is_healed_by_the_next_message():
    plant, edge = born()
    plant.nodes.cut(after(20))
    assert [(t, v, q) for t, v, q, _ in plant.seen.told()] == [
        ("p", None, BAD_NO_COMMUNICATION),
        ("q", None, BAD_NO_COMMUNICATION),
    ]
    plant.nodes.back(after(10), after(30), has_session=True)
    assert plant.seen.gaps_told() == [(("p", "q"), 10, 30, "connection_lost")]  # nobody kept its messages

    plant.hears(edge.data(after(31), edge.value("p", 1.5)), after(31))
    assert plant.seen.told() == [("p", 1.5, GOOD, 31), ("q", 2.0, GOOD, 31)]
    plant.hears(edge.data(after(32), edge.value("p", 1.6)), after(32))
    assert plant.seen.told() == [("p", 1.6, GOOD, 32)]


def test_a_cut_line_that_cost_messages_leaves_the_values_uncertain():
    plant, edge = born(reorder_s=0)
    plant.nodes.cut(after(20))
    plant.seen.told()
    edge.data(after(25), edge.value("q", 9.0))  # lost
    plant.hears(edge.data(after(31), edge.value("p", 1.5)), after(31))

    assert plant.seen.told() == [("p", 1.5, UNCERTAIN, 31), ("q", 2.0, UNCERTAIN_LAST_USABLE, 31)]


def test_a_broker_that_keeps_every_message_leaves_no_gap():
    plant, edge = Plant(tag("G/E:p")), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0)}), NOON, is_kept=True)
    plant.nodes.back(after(10), after(30), has_session=True)
    assert plant.seen.gaps == []

    plant.nodes.back(after(10), after(30), has_session=False)
    assert plant.seen.gaps_told() == [(("p",), 10, 30, "connection_lost")]


# Memory, dictionary, options


def test_a_restart_goes_on_where_it_was():
    plant, edge = born()
    plant.hears(edge.data(after(1), edge.value("p", 1.5)), after(1))
    rows, _ = plant.nodes.changes()

    again = Plant()
    again.nodes.remember(rows)
    again.nodes.retag([tag("G/E:p"), tag("G/E:q")], after(10))
    again.hears(edge.data(after(11), edge.value("p", 1.7)), after(11))
    assert again.seen.told() == [("p", 1.7, GOOD, 11)]
    edge.data(after(12))  # lost
    again.hears(edge.data(after(13), edge.value("p", 1.8)), after(13))
    again.nodes.tick(after(20))
    assert again.seen.told() == [("p", 1.8, UNCERTAIN, 13), ("q", 2.0, UNCERTAIN_LAST_USABLE, 13)]


def test_what_died_before_a_restart_is_still_dead():
    plant, edge = born(tag("G/E:p"))
    plant.hears(edge.ndeath(), after(10))
    rows, _ = plant.nodes.changes()

    again = Plant(tag("G/E:p"))
    again.nodes.remember(rows)
    again.hears(edge.data(after(20), edge.value("p", 3.0)), after(20))
    assert again.seen.told() == []
    edge.bd = 1
    again.hears(edge.nbirth(after(30), {"p": (DOUBLE, 4.0)}), after(30))
    assert again.seen.told() == [("p", 4.0, GOOD, 30)]
    assert [cause for *_, cause in again.seen.gaps_told()] == ["connection_lost", "birth_missing"]


def test_a_tag_that_is_new_to_the_dictionary_gets_the_value_of_the_moment():
    plant, edge = born(tag("G/E:p"))
    plant.nodes.retag([tag("G/E:p"), tag("G/E:q")], after(5))

    assert plant.seen.told() == [("q", 2.0, GOOD, 0)]
    assert plant.nodes.state()["undeclared"]["count"] == 0


def test_tags_that_cannot_be_bound_are_told_with_the_reason():
    plant, _ = born(tag("G/E:p"), tag("G/E:gone"), tag("nonsense"), tag("G/X:y"), tag("G/E:p", tag_id="twin"))

    errors = plant.nodes.errors()
    assert errors["gone"] == "the birth of G/E has no metric 'gone'"
    assert "not group/edge:metric" in errors["nonsense"]
    assert errors["y"] == "G/X has told no birth yet"
    assert "declared for p too" in errors["twin"]
    assert "p" not in errors


def test_the_metric_of_an_address_may_hold_colons_and_slashes():
    assert scope_of("G/E/D:Inputs/A:1") == ("G/E/D", "Inputs/A:1")
    for wrong in ("G:p", "G/E", "G/E:", "/E:p", "G/E/D/X:p"):
        with pytest.raises(ValueError, match="is not group/edge"):
            scope_of(wrong)


def test_messages_of_others_are_counted_and_acknowledged():
    plant, edge = born(groups=["G"], nodes=["G/E"])
    done = []
    topic, payload = edge.data(after(1), edge.value("p", 1.5))
    others = ("spBv1.0/STATE/host", "spBv1.0/G/NCMD/E", "spBv1.0/G/NDATA/E/D", "spBv1.0/H/NDATA/E", "spBv1.0/G/NDATA/F")
    for other in others:
        plant.hears((other, payload), after(1), ack=lambda: done.append(1))
    plant.hears((topic, b"rubbish"), after(1), ack=lambda: done.append(1))

    _, acks = plant.nodes.changes()
    for ack in acks:
        ack()
    assert len(done) == 6
    assert plant.seen.told() == []
    state = plant.nodes.state()
    assert (state["counts"]["other_topics"], state["counts"]["filtered"], state["counts"]["undecodable"]) == (3, 2, 1)
    assert state["last_refused"].startswith(f"{topic}: ")


def test_a_message_that_waits_for_another_is_not_acknowledged_yet():
    plant, edge = born()
    plant.nodes.changes()
    first, second = edge.data(after(1), edge.value("p", 1.1)), edge.data(after(2), edge.value("p", 1.2))
    plant.hears(second, after(2), ack=lambda: "second")
    assert plant.nodes.changes()[1] == []
    plant.hears(first, after(2), ack=lambda: "first")
    assert [ack() for ack in plant.nodes.changes()[1]] == ["first", "second"]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"group": ["G"]}, "group is none of"),
        ({"groups": "G"}, "must be a list"),
        ({"reorder_s": -1}, "number of seconds"),
        ({"trust_aliases": "yes"}, "true or false"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, wrong):
    with pytest.raises(DeclarationError, match=wrong):
        SparkplugClient(Source("plant", "sparkplug", "", options), Seen())


def test_births_can_be_listed_as_rows_of_the_dictionary():
    plant, edge = Plant(tag("G/E:p")), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0), "Set": (DATASET, b"")}), NOON)
    plant.hears(edge.dbirth(NOON, "MES-001", {"Inputs/Tubing Pressure": (DOUBLE, 1.0), "n": (INT8, 1)}), NOON)
    rows = seed_rows("plant", plant.nodes.metrics(), [tag("G/E:p")])

    assert [(r["tag_id"], r["address"], r["data_type"], r["unit"]) for r in rows] == [
        ("MES-001.inputs_tubing_pressure", "G/E/MES-001:Inputs/Tubing Pressure", "double", "bar"),
        ("MES-001.n", "G/E/MES-001:n", "long", "bar"),
    ]


def test_the_list_is_printed_from_what_the_bridge_has_seen(tmp_path, monkeypatch, capsys):
    (tmp_path / "plant_x.yaml").write_text("kind: sparkplug\n")
    monkeypatch.setattr("include.ot.sources.FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["sparkplug", "--list", "plant_x"])
    with pytest.raises(SystemExit, match="has seen no birth yet"):
        sparkplug.main()

    plant, edge = Plant(), Edge()
    plant.hears(edge.nbirth(NOON, {"p": (DOUBLE, 1.0), "Set": (DATASET, b"")}), NOON)
    memory = Memory(settings.ot_dir / "plant_x" / "sparkplug.db")
    memory.keep(plant.nodes.changes()[0])
    sparkplug.main()
    memory.close()

    told = capsys.readouterr()
    [row] = csv.DictReader(told.out.splitlines())
    assert (row["tag_id"], row["path"], row["source"], row["address"]) == ("E.p", "G/E/p", "plant_x", "G/E:p")
    assert told.err == "G/E:Set is a DataSet, which is not mirrored\n"


def test_a_damaged_memory_is_put_aside(tmp_path):
    path = tmp_path / "sparkplug.db"
    path.write_bytes(b"no database at all" * 1000)
    memory = Memory(path)
    memory.keep([("node", "G/E", [1])])

    assert memory.rows("node") == [("node", "G/E", [1])]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    memory.close()


def test_many_types_reach_the_dictionary_as_readings():
    plant, edge = Plant(tag("G/E:i", "long"), tag("G/E:big", "long"), tag("G/E:f")), Edge()
    plant.hears(edge.nbirth(NOON, {"i": (INT32, 2**32 - 7), "big": (UINT64, 2**64 - 1), "f": (9, 0.1)}), NOON)

    of, tags = Sequencer().of, {"i": tag("G/E:i", "long"), "big": tag("G/E:big", "long"), "f": tag("G/E:f")}
    readings = {s.tag_id: of(s, tags[s.tag_id]) for s in plant.seen.samples}
    assert readings["i"].value_double == -7.0
    assert readings["big"].value_text == str(2**64 - 1)
    assert readings["f"].value_double == struct.unpack("f", struct.pack("f", 0.1))[0]  # what the node has, not more


# Rebirths


def test_rebirths_are_asked_for_seldom():
    now = 0.0
    pace = Pace(lambda: now)
    needed = {"G/A": "not born yet", "G/B": "not born yet"}
    asked = []
    for now in range(4000):
        asked.append((now, pace.next(needed)))
    asked = [(at, node) for at, node in asked if node]

    assert asked[:2] == [(0, "G/A"), (1, "G/B")]
    assert [at for at, node in asked if node == "G/A"] == [0, 60, 180, 420, 900, 1860, 3780]
    assert pace.next({}) is None


def test_the_command_for_a_rebirth_is_the_one_of_the_specification():
    payload = read(rebirth_command(1_700_000_000_000_000))

    assert [(m.name, m.value(BOOL)) for m in payload.metrics] == [("Node Control/Rebirth", (True, GOOD))]
    assert payload.seq is None
