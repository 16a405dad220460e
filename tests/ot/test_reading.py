"""Samples become readings, readings a payload, and a payload the same readings again, or an error that says why not."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from include.errors import PayloadError
from include.ot.reading import (
    BAD,
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_OUT_OF_RANGE,
    BAD_TYPE_MISMATCH,
    GOOD,
    UNCERTAIN,
    Message,
    Sample,
    Sequencer,
    decode,
    encode,
    gap,
    is_bad,
    is_good,
)
from include.ot.tags import Tag
from include.ot.topics import EVERYTHING, topic_of

NOON = datetime(2026, 5, 1, 12, 0, 0, 123456, UTC)
SECOND = timedelta(seconds=1)


def tag(data_type: str = "double") -> Tag:
    return Tag("W1.pressure", "hnai/field/pad/w1/pressure", "W1", "pressure", "scada", "s=1", data_type, "psi")


def sample(value=900.0, quality=GOOD, observed_at=NOON, served_at=NOON, received_at=NOON + SECOND) -> Sample:
    return Sample("W1.pressure", value, quality, observed_at, served_at, received_at)


def reading(*args, data_type="double", **kwargs):
    return Sequencer().of(sample(*args, **kwargs), tag(data_type))


def values(found) -> tuple:
    return found.value_double, found.value_text, found.value_bool


def message(*readings, gaps=()) -> Message:
    return Message("scada", "0f7e", 17, NOON, readings, tuple(gaps))


def payload_with(**changes) -> bytes:
    return orjson.dumps({**orjson.loads(encode(message(reading()))), **changes})


# What a value becomes


@pytest.mark.parametrize(
    ("data_type", "value", "expected"),
    [
        ("double", 900.5, (900.5, None, None)),
        ("double", 7, (7.0, None, None)),
        ("double", True, (1.0, None, None)),
        ("double", "12.5", (12.5, None, None)),
        ("double", -0.0, (-0.0, None, None)),
        ("double", 5e-324, (5e-324, None, None)),
        ("double", 2**53 + 1, (2.0**53, None, None)),
        ("long", 65_535, (65_535.0, None, None)),
        ("long", 2**53, (2.0**53, None, None)),
        ("long", 2**53 + 1, (2.0**53, "9007199254740993", None)),
        ("long", -(2**63), (-(2.0**63), None, None)),
        ("long", 2**64 - 1, (2.0**64, "18446744073709551615", None)),
        ("long", "9007199254740993", (2.0**53, "9007199254740993", None)),
        ("boolean", True, (None, None, True)),
        ("boolean", 0, (None, None, False)),
        ("boolean", 1.0, (None, None, True)),
        ("text", "RUN", (None, "RUN", None)),
        ("text", "", (None, "", None)),
        ("text", "8", (None, "8", None)),
        ("text", 8, (None, "8", None)),
        ("text", False, (None, "false", None)),
        ("text", "Größe 日本", (None, "Größe 日本", None)),
        ("text", "PUMP\x00\x00", (None, "PUMP", None)),
        ("text", "\ud800", (None, "\\ud800", None)),
    ],
)
def test_a_good_value_is_kept_as_its_tag_says_and_survives_the_wire(data_type, value, expected):
    found = reading(value, data_type=data_type)

    assert values(found) == expected
    assert found.quality == GOOD
    assert decode(encode(message(found))).readings == (found,)


@pytest.mark.parametrize(
    ("data_type", "value", "quality"),
    [
        ("double", math.nan, BAD_OUT_OF_RANGE),
        ("double", math.inf, BAD_OUT_OF_RANGE),
        ("double", -math.inf, BAD_OUT_OF_RANGE),
        ("double", "nan", BAD_OUT_OF_RANGE),
        ("double", 10**400, BAD_OUT_OF_RANGE),
        ("double", None, BAD_NO_DATA),
        ("boolean", math.nan, BAD_OUT_OF_RANGE),
        ("boolean", 2, BAD_TYPE_MISMATCH),
        ("double", [1.0, 2.0], BAD_TYPE_MISMATCH),
        ("text", b"raw", BAD_TYPE_MISMATCH),
        ("text", None, BAD_NO_DATA),
    ],
)
def test_what_is_no_value_is_a_bad_quality_and_never_a_number(data_type, value, quality):
    found = reading(value, data_type=data_type)

    assert values(found) == (None, None, None)
    assert found.quality == quality
    assert decode(encode(message(found))).readings == (found,)
    assert b"NaN" not in encode(message(found))


def test_a_text_in_place_of_a_number_is_kept_as_evidence():
    found = reading("No Data")

    assert values(found) == (None, "No Data", None)
    assert found.quality == BAD_TYPE_MISMATCH


def test_a_bad_quality_has_no_number_and_an_uncertain_one_has():
    assert values(reading(900.0, quality=BAD)) == (None, None, None)
    assert values(reading("Bad Input", quality=BAD)) == (None, "Bad Input", None)
    assert values(reading(900.0, quality=UNCERTAIN)) == (900.0, None, None)
    assert reading(math.nan, quality=BAD_NO_COMMUNICATION).quality == BAD_NO_COMMUNICATION


def test_a_text_longer_than_any_tag_should_give_is_no_value():
    assert values(reading("x" * 40_000, data_type="text")) == (None, None, None)
    assert is_bad(reading("x" * 40_000, data_type="text").quality)


def test_good_uncertain_and_bad_are_told_by_the_two_highest_bits():
    assert is_good(GOOD) and is_good(0x00A30000) and not is_good(UNCERTAIN) and not is_good(BAD)
    assert is_bad(BAD) and is_bad(0x803C0000) and not is_bad(UNCERTAIN) and not is_bad(GOOD)


# Whose clock


def test_without_a_source_time_the_servers_counts_and_without_that_ours():
    served = reading(observed_at=None, served_at=NOON)
    ours = reading(observed_at=None, served_at=None, received_at=NOON)

    assert (served.observed_at, served.clock) == (NOON, "server")
    assert (ours.observed_at, ours.clock) == (NOON, "bridge")
    assert reading().clock == "source"


@pytest.mark.parametrize(
    ("off", "clock"),
    [
        (datetime(1601, 1, 1, tzinfo=UTC), "bridge"),
        (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), "bridge"),
        (datetime(2000, 1, 1, tzinfo=UTC), "source"),
        (NOON + timedelta(days=1), "source"),
        (NOON + timedelta(days=1, microseconds=1), "bridge"),
        (datetime(9999, 12, 31, tzinfo=UTC), "bridge"),
    ],
)
def test_a_clock_that_was_never_set_gives_way_to_ours_and_is_flagged(off, clock):
    found = reading(observed_at=off, received_at=NOON)

    assert found.clock == clock
    assert found.observed_at == (NOON if clock == "bridge" else off)


# Ordinals


def ordinals(samples, sequencer=None) -> list[int | None]:
    sequencer = sequencer or Sequencer()
    return [found and found.sequence for found in (sequencer.of(one, tag()) for one in samples)]


def test_samples_of_one_time_are_counted_and_a_repetition_is_no_news():
    assert ordinals([sample(1), sample(1), sample(2), sample(2), sample(1)]) == [0, None, 1, None, 2]


def test_a_change_of_quality_alone_is_news():
    assert ordinals([sample(1), sample(1, quality=UNCERTAIN), sample(1, quality=UNCERTAIN)]) == [0, 1, None]


def test_the_same_value_at_another_time_is_news():
    assert ordinals([sample(1), sample(1, observed_at=NOON + SECOND)]) == [0, 0]


def test_nan_that_repeats_is_no_news():
    assert ordinals([sample(math.nan), sample(math.nan)]) == [0, None]


def test_late_samples_meet_their_own_ordinals():
    later = NOON + SECOND
    assert ordinals([sample(1), sample(2, observed_at=later), sample(3), sample(3), sample(2, observed_at=later)]) == [
        0,
        0,
        1,
        None,
        None,
    ]


def test_live_and_history_give_the_same_keys():
    seen = [sample(value, observed_at=NOON + i // 3 * SECOND) for i, value in enumerate([1, 2, 1, 4, 5, 5, 7, 7, 8])]
    live, history = Sequencer(), Sequencer()
    resent = [live.of(one, tag()) for one in [*seen[:4], seen[3], *seen[4:]]]  # a server sends its last again

    assert [found for found in resent if found] == [found for one in seen if (found := history.of(one, tag()))]


def test_memory_is_bounded_and_an_older_time_starts_again():
    times = [NOON + i * SECOND for i in range(Sequencer.DEPTH + 1)]
    sequencer = Sequencer()
    ordinals([sample(1, observed_at=at) for at in times], sequencer)

    assert ordinals([sample(2, observed_at=times[1]), sample(2, observed_at=times[0])], sequencer) == [1, 0]


def test_ordinals_go_on_where_another_process_stopped():
    first = Sequencer()
    ordinals([sample(1), sample(2)], first)
    for again in (Sequencer(first.state()), Sequencer(orjson.loads(orjson.dumps(first.state())))):
        assert ordinals([sample(2), sample(3)], again) == [None, 2]


@pytest.mark.parametrize("value", [900.5, 2**53 + 1, True, "RUN", "No Data", None])
@pytest.mark.parametrize("data_type", ["double", "long", "boolean", "text"])
def test_a_reading_that_travelled_is_remembered_as_the_sample_it_was(data_type, value):
    found = reading(value, data_type=data_type)
    again = Sequencer()
    again.saw(decode(encode(message(found))).readings[0])

    assert again.of(sample(value), tag(data_type)) is None


# The payload


def test_a_message_survives_the_wire_whole():
    told = gap("scada", ["W1.pressure", "W2.pressure"], NOON, NOON + SECOND, "connection_lost")
    sent = message(reading(), reading(served_at=None, observed_at=None), gaps=[told])

    assert decode(encode(sent)) == sent
    assert decode(encode(message())) == message()


def test_a_gap_is_named_by_source_cause_and_start():
    first = gap("scada", ["a"], NOON, NOON + SECOND, "connection_lost")

    assert first.gap_id == gap("scada", ["a", "b"], NOON, NOON + 2 * SECOND, "connection_lost").gap_id
    assert len(first.gap_id) == 16
    assert first.gap_id != gap("scada", ["a"], NOON, NOON + SECOND, "queue_overflow").gap_id
    assert first.gap_id != gap("rtu", ["a"], NOON, NOON + SECOND, "connection_lost").gap_id


@pytest.mark.parametrize("length", [0, 1, 20, 100])
def test_a_truncated_payload_is_refused(length):
    with pytest.raises(PayloadError, match="no JSON"):
        decode(encode(message(reading()))[:length])


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"NaN", b'{"v":1,"n":NaN}'])
def test_what_is_no_json_is_refused(payload):
    with pytest.raises(PayloadError, match="no JSON"):
        decode(payload)


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b'"text"'])
def test_json_of_another_shape_is_refused(payload):
    with pytest.raises(PayloadError, match="not an object"):
        decode(payload)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_version_is_refused_by_name(version):
    with pytest.raises(PayloadError, match="version"):
        decode(payload_with(v=version))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"store": 7}, "store"),
        ({"n": "17"}, "'n'"),
        ({"n": True}, "'n'"),
        ({"sent_us": None}, "sent_us"),
        ({"sent_us": 2**62}, "time"),
        ({"readings": {}}, "readings"),
        ({"readings": [[]]}, "Reading 0"),
        ({"readings": [7]}, "Reading 0"),
        ({"readings": [["t", "noon", 0, 1.0, 0, "source", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["t", 1.5, 0, 1.0, 0, "source", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["t", 0, -1, 1.0, 0, "source", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["t", 0, 0, [1.0], 0, "source", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["t", 0, 0, 1.0, -1, "source", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["t", 0, 0, 1.0, 0, "sundial", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["", 0, 0, 1.0, 0, "source", None, 0, "psi"]]}, "Reading 0"),
        ({"readings": [["t", 2**62, 0, 1.0, 0, "source", None, 0, "psi"]]}, "time"),
        ({"gaps": [["id", "scada", "t", 0, "later", "cause"]]}, "Gap 0"),
        ({"gaps": [["id", "scada", [7], 0, 1, "cause"]]}, "Gap 0"),
    ],
)
def test_what_is_wrong_in_a_payload_is_named(changes, named):
    with pytest.raises(PayloadError, match=named):
        decode(payload_with(**changes))


def test_fields_that_this_version_does_not_know_are_no_harm():
    assert decode(payload_with(colour="red")).readings == (reading(),)


def test_readings_are_values():
    with pytest.raises(AttributeError):
        reading().quality = BAD
    assert replace(reading(), sequence=1) != reading()


# Topics


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("hnai/mesquite/pad_01/mes-001/tubing_head_pressure", "ot/v1/hnai/mesquite/pad_01/mes-001"),
        ("HNAI/Pad 1.A/W#1+/x", "ot/v1/hnai/pad_1_a/w_1_"),
        ("/hnai//plant/x", "ot/v1/hnai/plant"),
        ("Größe/$SYS/x", "ot/v1/gr__e/_sys"),
        ("a/b", "ot/v1/a"),
        ("a", "ot/v1/a"),
    ],
)
def test_a_topic_is_the_path_of_the_equipment_in_plain_letters(path, topic):
    assert topic_of(path) == topic


def test_a_topic_may_be_that_of_the_area_or_the_site():
    path = "hnai/mesquite/pad_01/mes-001/tubing_head_pressure"

    assert topic_of(path, "area") == "ot/v1/hnai/mesquite/pad_01"
    assert topic_of(path, "site") == "ot/v1/hnai/mesquite"
    assert topic_of("a/b", "site") == "ot/v1/a"
    assert EVERYTHING == "ot/v1/#"
