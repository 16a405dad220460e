"""What the OPC UA client hands on: values, quality, times, deadbands; nodes that are not there, a new dictionary."""

from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua

from include.errors import DeclarationError
from include.ot.opcua import read_once
from include.ot.opcua_session import options_of
from include.ot.reading import (
    BAD_NO_DATA,
    BAD_NODE_ID_UNKNOWN,
    BAD_TYPE_MISMATCH,
    GOOD,
    Sequencer,
    is_good,
)
from include.ot.sources import Source, sources
from include.ot.trust import Pki
from tests.ot.opcua_server import field_server, until
from tests.ot.opcua_trial import live, mirrored, source, tag

pytestmark = pytest.mark.platform
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
T = ua.VariantType
DOUBLE, LONG, TEXT, FLAG = "double", "long", "text", "boolean"


@live
async def test_every_value_comes_in_its_order_with_the_times_of_source_server_and_mirror(tmp_path):
    async with field_server() as field:
        await field.add("pressure", 1.0, at=NOON)
        async with mirrored(source(field), [tag(field, "pressure")], tmp_path) as (_, pit):
            await pit.got("pressure", 1.0)
            for n in range(2, 30):
                await field.set("pressure", float(n), at=NOON + timedelta(seconds=n))
            await pit.got("pressure", 29.0)

            samples = pit.of("pressure")

    assert [s.value for s in samples] == [float(n) for n in range(1, 30)]
    assert [s.observed_at for s in samples] == [NOON, *(NOON + timedelta(seconds=n) for n in range(2, 30))]
    assert all(s.quality == GOOD and s.served_at and s.received_at.tzinfo for s in samples)
    assert pit.gaps == []


@live
async def test_a_value_measured_again_is_a_reading_unless_a_deadband_says_that_only_changes_matter(tmp_path):
    async with field_server() as field:
        for name in ("whole", "changes"):
            await field.add(name, 5.0, at=NOON)
        tags = [tag(field, "whole"), tag(field, "changes", deadband=0.0, deadband_type="absolute")]
        async with mirrored(source(field), tags, tmp_path) as (_, pit):
            await pit.got("changes", 5.0)
            for name in ("whole", "changes"):
                await field.set(name, 5.0, at=NOON + timedelta(seconds=1))
                await field.set(name, 6.0, at=NOON + timedelta(seconds=2))
            await pit.got("whole", 6.0)
            await pit.got("changes", 6.0)

    assert pit.values("whole") == [5.0, 5.0, 6.0]
    assert pit.values("changes") == [5.0, 6.0]


CASES = {
    "int64": (2**62 + 1, T.Int64, LONG, 2**62 + 1),
    "uint64": (2**64 - 1, T.UInt64, LONG, 2**64 - 1),
    "byte": (200, T.Byte, LONG, 200),
    "float": (0.5, T.Float, DOUBLE, 0.5),
    "flag": (True, T.Boolean, FLAG, True),
    "text": ("Zündung \0\0", T.String, TEXT, "Zündung "),
    "latin": (b"caf\xe9", T.String, TEXT, "caf\ufffd"),
    "time": (NOON, T.DateTime, TEXT, "2026-01-31T12:00:00.000000+00:00"),
    "label": (ua.LocalizedText("running", "en"), T.LocalizedText, TEXT, "running"),
}


@live
async def test_numbers_flags_texts_times_and_enumerations_pass_as_they_are(tmp_path):
    async with field_server() as field:
        for name, (value, kind, *_) in CASES.items():
            await field.add(name, value, kind)
        await field.add("state", 3, T.Int32, data_type=ua.NodeId(ua.ObjectIds.ServerState))
        tags = [tag(field, n, data_type=data_type) for n, (_, _, data_type, _) in CASES.items()]
        async with mirrored(source(field), [*tags, tag(field, "state", data_type=LONG)], tmp_path) as (_, pit):
            for name, (*_, expected) in CASES.items():
                await pit.got(name, expected)
            await pit.got("state", 3)

    assert all(is_good(sample.quality) for sample in pit.samples)


@live
async def test_nan_is_stored_as_a_quality(tmp_path):
    async with field_server() as field:
        await field.add("level", float("nan"))
        one = tag(field, "level")
        async with mirrored(source(field), [one], tmp_path) as (_, pit):
            await pit.until(lambda: pit.of("level"), "the sample")
    reading = Sequencer().of(pit.of("level")[0], one)

    assert reading.value_double is None and not is_good(reading.quality)


@live
async def test_what_is_no_single_value_is_bad_with_a_reason_and_the_others_go_on(tmp_path):
    async with field_server() as field:
        await field.add("profile", [1.0, 2.0], None)
        await field.add("blob", b"\1\2", T.ByteString)
        await field.add("empty", None, None)
        await field.add("pressure", 4.0)
        names = ("profile", "blob", "empty", "pressure")
        async with mirrored(source(field), [tag(field, n) for n in names], tmp_path) as (_, pit):
            await pit.until(lambda: all(pit.of(n) for n in names), "a sample each")
            await pit.until(lambda: len(pit.detail["errors"]) == 2, "the reasons")

    assert [pit.of(n)[0].quality for n in names] == [BAD_TYPE_MISMATCH, BAD_TYPE_MISMATCH, BAD_NO_DATA, GOOD]
    assert [pit.of(n)[0].value for n in names] == [None, None, None, 4.0]
    assert "array of 2" in pit.detail["errors"]["profile"]
    assert "ByteString" in pit.detail["errors"]["blob"]


@live
async def test_a_missing_source_time_is_none_and_quality_keeps_its_sub_code_but_not_its_info_bits(tmp_path):
    sensor_failure, limited_high = 0x808C0000, 0x600
    async with field_server() as field:
        await field.add("flow", 1.0)
        async with mirrored(source(field), [tag(field, "flow")], tmp_path) as (_, pit):
            await pit.got("flow", 1.0)
            await field.set("flow", 2.0, at=None)
            await field.set("flow", 3.0, status=limited_high)
            await field.set("flow", 4.0, status=sensor_failure | limited_high)
            await field.set("flow", 5.0, status=0x40940000)  # uncertain: engineering units exceeded
            await pit.got("flow", 5.0)

    without_time, limited, failed, uncertain = pit.of("flow")[1:]
    assert without_time.observed_at is None and without_time.served_at is not None
    assert (limited.value, limited.quality) == (3.0, GOOD)
    assert (failed.value, failed.quality) == (None, sensor_failure)
    assert (uncertain.value, uncertain.quality) == (5.0, 0x40940000)


@live
async def test_the_server_does_the_deadband_and_percent_needs_an_eu_range(tmp_path):
    """3 percent of the node's EURange is asked as such; without one it is 3 percent of the tag's 0 to 200."""
    async with field_server() as field:
        await field.add("absolute")
        await field.add("ranged", eu_range=(0, 50))
        await field.add("unranged")
        tags = [
            tag(field, "absolute", deadband=2.0, deadband_type="absolute", sampling_ms=250),
            tag(field, "ranged", deadband=3.0, deadband_type="percent", range_low=0.0, range_high=200.0),
            tag(field, "unranged", deadband=3.0, deadband_type="percent", range_low=0.0, range_high=200.0),
        ]
        async with mirrored(source(field, queue_size=7, sampling_ms=100), tags, tmp_path) as (_, pit):
            asked = [i.RequestedParameters for i in field.asked]
            await pit.got("absolute", 0.0)
            for value in (1.0, 2.5, 3.5, 6.0):
                await field.set("absolute", value)
            await pit.got("absolute", 6.0)

    assert [(a.Filter.DeadbandType, a.Filter.DeadbandValue) for a in asked] == [(1, 2.0), (2, 3.0), (1, 6.0)]
    assert [(a.SamplingInterval, a.QueueSize, a.DiscardOldest) for a in asked] == [
        (250, 7, True),
        (100, 7, True),
        (100, 7, True),
    ]
    assert pit.values("absolute") == [0.0, 6.0]  # 1.0 to 2.5 to 3.5 are steps of less than 2
    assert list(pit.detail["notes"]) == ["unranged"] and "no EURange" in pit.detail["notes"]["unranged"]


@live
async def test_a_filter_that_the_server_refuses_is_left_out_and_told(tmp_path):
    async with field_server() as field:
        await field.add("a", eu_range=(0, 50))
        await field.add("b")
        field.behaviour.refuse_percent = True
        percent = tag(field, "a", deadband=10.0, deadband_type="percent", range_low=0.0, range_high=1.0)
        async with mirrored(source(field), [percent], tmp_path / "1") as (_, pit):
            assert "5 absolute instead" in pit.detail["notes"]["a"]
        field.behaviour.refuse_filters = True
        async with mirrored(source(field), [percent, tag(field, "b")], tmp_path / "2") as (_, pit):
            await pit.got("a", 0.0)
            await pit.got("b", 0.0)

            assert "takes no filter" in pit.detail["notes"]["a"]
            assert "takes no filter" in pit.detail["notes"]["b"]


@live
async def test_a_queue_that_ran_over_is_a_gap_of_that_tag_between_the_samples_beside_it(tmp_path):
    async with field_server() as field:
        for name in ("fast", "slow"):
            await field.add(name, 0.0, at=NOON)
        slowly = source(field, publishing_ms=1000, queue_size=3)
        async with mirrored(slowly, [tag(field, n) for n in ("fast", "slow")], tmp_path) as (_, pit):
            await pit.got("fast", 0.0)
            await pit.got("slow", 0.0)
            await field.set("fast", 1.0, at=NOON + timedelta(seconds=1))
            await pit.got("fast", 1.0)
            for n in range(2, 11):
                await field.set("fast", float(n), at=NOON + timedelta(seconds=n))
            await field.set("slow", 1.0, at=NOON + timedelta(seconds=5))
            await pit.got("fast", 10.0)
            await pit.got("slow", 1.0)

    assert pit.values("fast") == [0.0, 1.0, 8.0, 9.0, 10.0]
    assert pit.gaps == [(("fast",), NOON + timedelta(seconds=1), NOON + timedelta(seconds=8), "queue_overflow")]
    assert {sample.quality for sample in pit.samples} == {GOOD}


@live
async def test_gaps_of_different_tags_never_share_a_start(tmp_path):
    """The start is part of a gap's identity; tags that were last seen at the same time are one gap or two starts."""
    async with field_server() as field:
        for name in ("a", "b"):
            await field.add(name, 0.0, at=NOON)
        slowly = source(field, publishing_ms=200, queue_size=2)
        async with mirrored(slowly, [tag(field, n) for n in ("a", "b")], tmp_path) as (_, pit):
            await pit.got("a", 0.0)
            await pit.got("b", 0.0)
            for name in ("a", "b"):
                for n in range(1, 6):
                    await field.set(name, float(n), at=NOON + timedelta(seconds=n))
                await pit.got(name, 5.0)

    starts = [from_at for _, from_at, _, _ in pit.gaps]
    assert len(set(starts)) == len(starts)
    assert {t for tags, *_ in pit.gaps for t in tags} == {"a", "b"}


@live
async def test_a_node_that_is_not_there_does_not_take_the_others_down_and_is_looked_for_again(tmp_path):
    async with field_server() as field:
        await field.add("there", 1.0)
        nowhere = tag(field, "nowhere", address="nsu=urn:nobody;s=x")
        numbered = tag(field, "numbered", address="ns=2;s=there")
        garbled = tag(field, "garbled", address="what?")
        tags = [tag(field, "there"), tag(field, "late"), nowhere, numbered, garbled]
        async with mirrored(source(field, retry_s=0.05), tags, tmp_path) as (_, pit):
            await pit.got("there", 1.0)
            errors = dict(pit.detail["errors"])
            await field.add("late", 7.0)
            await pit.got("late", 7.0)
            await pit.until(lambda: "late" not in pit.detail["errors"], "the good news")

    assert "BadNodeIdUnknown" in errors["late"]
    assert "no namespace 'urn:nobody'" in errors["nowhere"]
    assert "nsu=" in errors["numbered"] and "nsu=" in errors["garbled"]
    assert pit.of("nowhere")[0].quality == BAD_NODE_ID_UNKNOWN and len(pit.of("nowhere")) == 1
    assert pit.values("late")[0] is None
    assert [(tags, cause) for tags, _, _, cause in pit.gaps] == [(("late",), "connection_lost")]


@live
async def test_a_hint_of_the_server_that_a_node_went_is_followed_at_once(tmp_path):
    async with field_server() as field:
        node = await field.add("well", 1.0)
        await field.add("other", 1.0)
        tags = [tag(field, "well"), tag(field, "other")]
        async with mirrored(source(field, retry_s=3600), tags, tmp_path) as (_, pit):
            await pit.got("well", 1.0)
            await field.server.delete_nodes([node])
            for subscription in field.server.iserver.subscription_service.subscriptions.values():
                await subscription.enqueue_statuschange(ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
            await field.set("other", 2.0)
            await pit.until(lambda: "well" in pit.detail["errors"], "the error")
            await field.set("other", 3.0)
            await pit.got("other", 2.0, 3.0)

            assert field.seen["CreateSession"] == 1


@live
async def test_a_node_that_vanishes_and_comes_back_is_told_and_taken_up_again(tmp_path):
    async with field_server() as field:
        node = await field.add("well", 1.0)
        await field.add("other", 1.0)
        tags = [tag(field, "well"), tag(field, "other")]
        async with mirrored(source(field, retry_s=0.1), tags, tmp_path) as (_, pit):
            await pit.got("well", 1.0)
            await field.server.delete_nodes([node])
            await pit.until(lambda: "well" in pit.detail["errors"], "the error")
            await field.set("other", 2.0)
            await pit.got("other", 2.0)
            await field.add("well", 3.0)
            await pit.got("well", 1.0, None, 3.0)

    assert pit.of("well")[1].quality == BAD_NODE_ID_UNKNOWN
    assert [(tags, cause) for tags, _, _, cause in pit.gaps] == [(("well",), "connection_lost")]


@live
async def test_a_changed_dictionary_is_taken_over_without_losing_a_sample_of_the_others(tmp_path):
    async with field_server() as field:
        for name in ("stays", "goes", "comes", "moved"):
            await field.add(name, 0.0, at=NOON)
        before = [tag(field, "stays"), tag(field, "goes"), tag(field, "x", address=field.address("goes"))]
        after = [
            tag(field, "stays", description="same"),
            tag(field, "comes"),
            tag(field, "x", address=field.address("moved")),
        ]
        async with mirrored(source(field), before, tmp_path) as (client, pit):
            await pit.got("stays", 0.0)
            for n in range(1, 50):
                await field.set("stays", float(n), at=NOON + timedelta(seconds=n))
                if n == 25:
                    await client.retag(after)
            await field.set("moved", 9.0)
            await pit.got("x", 9.0)
            await pit.got("comes", 0.0)
            await pit.got("stays", 49.0)
            seen = len(pit.of("goes"))
            await field.set("goes", 1.0)
            await field.set("comes", 2.0)
            await pit.got("comes", 2.0)

            assert field.monitored == 3
            assert len(pit.of("goes")) == seen
            assert pit.detail["tags"] == pit.detail["bound"] == 3

    assert pit.values("stays") == [float(n) for n in range(50)]


@live
async def test_many_tags_are_bound_in_portions_over_several_subscriptions(tmp_path):
    async with field_server() as field:
        folder = await field.server.nodes.objects.add_folder(ua.NodeId("many", field.idx), "many")
        for n in range(900):
            await folder.add_variable(ua.NodeId(f"n{n}", field.idx), f"n{n}", float(n))
        field.behaviour.most_operations = 220  # said nowhere, found out
        tags = [tag(field, f"n{n}") for n in range(900)]
        async with mirrored(source(field, items_per_subscription=300), tags, tmp_path) as (_, pit):
            await pit.until(lambda: len({s.tag_id for s in pit.samples}) == 900, "all")
            subscriptions = len(field.server.iserver.subscription_service.subscriptions)

            assert subscriptions == 3 and pit.detail["bound"] == 900
            assert field.seen["CreateMonitoredItems"] < 15

    assert {s.tag_id: s.value for s in pit.samples} == {f"n{n}": float(n) for n in range(900)}
    assert len(pit.batches) < 100


@live
async def test_one_look_reads_each_tag_once(tmp_path):
    async with field_server() as field:
        await field.add("a", 1.5)
        wanted = [tag(field, "b", address="nsu=urn:nobody;s=b"), tag(field, "a"), tag(field, "c")]

        samples = await read_once(source(field), wanted, Pki(tmp_path))
        await until(lambda: not field.server.iserver._external_sessions, "the end of the session")

    assert [(s.tag_id, s.value) for s in samples] == [("b", None), ("a", 1.5), ("c", None)]
    assert [s.quality for s in samples] == [BAD_NODE_ID_UNKNOWN, GOOD, BAD_NODE_ID_UNKNOWN]


def test_the_declared_sources_have_options_that_can_be_used():
    declared = [one for one in sources() if one.kind == "opcua"]

    assert declared and all(options_of(one).user for one in declared)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"publish_ms": 500}, "publish_ms is no option"),
        ({"publishing_ms": 0}, "not a number above 0"),
        ({"publishing_ms": "fast"}, "not a number above 0"),
        ({"security": "Basic128"}, "none of None, Basic256Sha256"),
        ({"mode": "Encrypt"}, "none of Sign"),
        ({"history": "yes"}, "neither true nor false"),
    ],
)
def test_a_wrong_option_of_a_source_is_named(options, said):
    with pytest.raises(DeclarationError, match=said):
        options_of(Source("scada", "opcua", "opc.tcp://x:4840", options))
