"""SHDR lines: what they say, what is refused and why, and the tags that observations are for."""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from include.ot.observations import Observation, Tags
from include.ot.reading import BAD_NO_DATA, GOOD
from include.ot.shdr import Parser, fields_of, time_of
from tests.ot.listening import tag

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
T = "2026-03-01T12:00:00Z"


@pytest.fixture(scope="module")
def shop_floor() -> Path:
    """Adapter logs of real machines; a clone without them skips what needs them."""
    folder = (
        Path(os.environ.get("HNAI_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "nist_mtconnect_raw"
    )
    if not folder.is_dir():
        pytest.skip(f"the NIST shop floor's files are not here ({folder}); set HNAI_TEST_DATA to the folder above them")
    return folder


def read(*lines: str, **about) -> list[Observation]:
    """The observations of some lines, of which none may be refused."""
    parser = Parser(**about)
    found = [observation for line in lines for observation in parser.feed(line)]
    assert not parser.refused
    return found


def said(*lines: str, **about) -> list[tuple[str, str | None]]:
    return [(o.key, o.value) for o in read(*lines, **about)]


def refusal(line: str) -> str:
    parser = Parser()
    assert parser.feed(line) == []
    assert parser.counts["refused"] == 1
    return next(iter(parser.refused))


def samples(line: str, *tags, **about):
    bound = Tags(tags)
    return [sample for observation in read(line, **about) for sample in bound.samples(observation, NOON)]


# Lines


def test_a_line_holds_pairs_of_one_time():
    assert [(o.key, o.value, o.observed_at) for o in read(f"{T}|execution|ACTIVE|Xload|-12.5")] == [
        ("execution", "ACTIVE", NOON),
        ("Xload", "-12.5", NOON),
    ]


@pytest.mark.parametrize("line", [f"{T}|program|", f"{T}|program", f"{T}| program | \r\n"])
def test_a_value_may_be_empty(line):
    assert said(line) == [("program", "")]


@pytest.mark.parametrize("word", ["UNAVAILABLE", "Unavailable", "unavailable"])
def test_unavailable_is_no_value(word):
    assert said(f"{T}|execution|{word}") == [("execution", None)]
    assert said(f"{T}|temp|{word}||||") == [("temp", None)]


def test_pairs_of_unavailable_are_no_condition():
    assert said(f"{T}|a|UNAVAILABLE|b|UNAVAILABLE|c|UNAVAILABLE") == [("a", None), ("b", None), ("c", None)]


def test_a_condition_has_its_level_and_what_goes_with_it():
    (fault,) = read(f"{T}|temp|Fault|1010|2|HIGH|Spindle hot")

    assert (fault.kind, fault.value) == ("condition", "FAULT|1010|2|HIGH|Spindle hot")
    assert fault.parts == {
        "level": "FAULT",
        "code": "1010",
        "severity": "2",
        "qualifier": "HIGH",
        "text": "Spindle hot",
    }
    assert said(f"{T}|temp|NORMAL||||") == [("temp", "NORMAL")]
    assert said(f"{T}|avail|AVAILABLE|temp|WARNING|7|||low oil") == [
        ("avail", "AVAILABLE"),
        ("temp", "WARNING|7|||low oil"),
    ]


def test_a_message_has_a_code_and_a_text():
    (message,) = read(f"{T}|note|CHG|Change tool 12")

    assert (message.kind, message.value, message.parts["code"]) == ("message", "Change tool 12", "CHG")


def test_a_time_series_has_a_count_a_rate_and_values():
    (series,) = read(f"{T}|vibration|3|100|1.5 1.6 -1.4e2")

    assert (series.kind, series.value, series.rate_hz) == ("time_series", "1.5 1.6 -1.4e2", 100.0)
    assert said(f"{T}|vibration|0|0|UNAVAILABLE") == [("vibration", None)]
    assert said(f"{T}|x|1|y|2") == [("x", "1"), ("y", "2")]


def test_a_kind_that_is_declared_goes_before_what_a_line_reads_as():
    line = f"{T}|x|1|y"

    assert said(line) == [("x", "y")]
    assert said(line, kinds={"x": "value"}) == [("x", "1"), ("y", "")]
    assert said(f"{T}|limit|NORMAL", kinds={"limit": "condition"}) == [("limit", "NORMAL")]


def test_a_key_may_name_its_device():
    assert [(o.device, o.key) for o in read(f"{T}|Mazak01:execution|ACTIVE|mode|AUTO", device="line")] == [
        ("Mazak01", "execution"),
        ("line", "mode"),
    ]


def test_a_statistic_says_over_how_long():
    (average,) = read("2026-03-01T12:00:00Z@60.5|avg_power|4.2")

    assert (average.observed_at, average.duration_s) == (NOON, 60.5)


def test_quotes_and_backslashes_keep_pipes_in_a_text():
    assert fields_of(r'a|"b \| c \\ d"|"e"| "f" ') == ["a", r"b | c \ d", "e", "f"]
    assert fields_of(r'a|say "no"|\|') == ["a", 'say "no"', "\\", ""]
    assert fields_of('a|"open|b') == ["a", '"open', "b"]
    assert fields_of('a|"x "y" z"|') == ["a", 'x "y" z', ""]


@pytest.mark.parametrize(
    "line",
    [
        "* PONG 10000",
        "* shdrVersion: 2.0",
        f"{T}|@ASSET@|T1|CuttingTool|<CuttingTool/>",
        f"{T}|@REMOVE_ALL_ASSETS@|CuttingTool",
        "",
        "\ufeff\r\n",
    ],
)
def test_what_is_no_data_is_no_observation(line):
    assert read(line) == []


def test_a_text_of_several_lines_is_one():
    assert said(f"{T}|note|C|--multiline--0AB", "first", "second", "--multiline--0AB", f"{T}|a|1") == [
        ("note", "first\nsecond"),
        ("a", "1"),
    ]
    assert read(f"{T}|@ASSET@|T1|CuttingTool|--multiline--9", "<a>", "|x|", "</a>", "--multiline--9") == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("execution|ACTIVE", "a time that is none"),
        ("12.5|execution|ACTIVE", "a time that is none"),
        ("2026-02-30T12:00:00Z|execution|ACTIVE", "a time that is none"),
        ("2026-03-01T12:00:00Z@x|a|1", "a duration that is no number"),
        (T, "nothing after the time"),
        (f"{T}||ACTIVE", "an empty key"),
        (f"{T}|Mazak01:|ACTIVE", "an empty key"),
        (f"{T}|a|1||2|b|3", "an empty key"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_its_reason(line, reason):
    assert refusal(line) == reason


def test_refused_lines_are_counted_and_the_last_are_kept():
    parser = Parser()
    for _ in range(100):
        parser.feed("rubbish")

    assert parser.counts["refused"] == parser.counts["lines"] == parser.refused["a time that is none"] == 100
    assert list(parser.last_refused)[-1] == ("rubbish", "a time that is none")
    assert len(parser.last_refused) < 100


# Times


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00", NOON),
        ("2026-03-01 12:00:00", NOON),
        ("2026-03-01T12:00:00.5", NOON + timedelta(milliseconds=500)),
        ("2026-03-01T12:00:00.1234567Z", NOON + timedelta(microseconds=123456)),
        ("2026-03-01T13:30:00+01:30", NOON),
        ("2026-03-01T04:00:00-0800", NOON),
        ("2026-03-01T11:59:60Z", NOON),
    ],
)
def test_times_are_utc_with_or_without_saying_so(text, at):
    assert time_of(text) == at


def test_local_times_of_a_zone_that_is_given_follow_its_summer():
    berlin = ZoneInfo("Europe/Berlin")

    assert time_of("2026-03-01T13:00:00", berlin) == NOON
    assert time_of("2026-07-01T14:00:00", berlin) == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert time_of("2026-07-01T12:00:00Z", berlin) == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_line_without_a_time_has_none_of_its_own():
    (observation,) = read("|execution|READY")

    assert observation.observed_at is None


# Tags


def test_what_a_machine_does_not_have_is_no_data():
    of = tag("load", "Xload"), tag("program", data_type="text"), tag("again", "program")

    assert [(s.tag_id, s.value, s.quality) for s in samples(f"{T}|Xload|UNAVAILABLE|program|", *of)] == [
        ("load", None, BAD_NO_DATA),
        ("program", "", GOOD),
        ("again", None, BAD_NO_DATA),
    ]


def test_two_samples_of_a_key_at_one_time_keep_their_order():
    found = samples(f"{T}|line|1|line|2|line|1", tag("line"))

    assert [(s.value, s.observed_at) for s in found] == [("1", NOON), ("2", NOON), ("1", NOON)]


def test_an_address_may_name_a_device_or_take_any():
    any_device, named = tag("any", "execution"), tag("named", "MAZAK01:execution")

    assert [s.tag_id for s in samples(f"{T}|Mazak01:execution|A", any_device, named)] == ["any", "named"]
    assert [s.tag_id for s in samples(f"{T}|execution|A", any_device, named)] == ["any"]
    assert [s.tag_id for s in samples(f"{T}|execution|A", named, device="mazak01")] == ["named"]


def test_an_address_that_two_devices_fit_keeps_the_first_and_is_told():
    bound = Tags([tag("state", "execution")])
    found = [
        sample
        for observation in read(f"{T}|a:execution|ACTIVE", f"{T}|b:execution|READY", f"{T}|a:execution|STOPPED")
        for sample in bound.samples(observation, NOON)
    ]

    assert [s.value for s in found] == ["ACTIVE", "STOPPED"]
    assert "fits a:execution and b:execution" in bound.errors["state"]


def test_an_address_may_take_a_part_of_a_condition_or_message():
    of = [tag(part, f"temp#{part}", "text") for part in ("level", "code", "severity", "qualifier", "text")]

    assert [s.value for s in samples(f"{T}|temp|FAULT|1010|2|HIGH|hot", *of)] == ["FAULT", "1010", "2", "HIGH", "hot"]
    assert [s.quality for s in samples(f"{T}|temp|UNAVAILABLE||||", *of)] == [BAD_NO_DATA] * 5
    assert [s.value for s in samples(f"{T}|temp|C7|note", tag("c", "temp#code", "text"))] == ["C7"]


@pytest.mark.parametrize("address", ["", "Mazak01:", ":execution", "execution#colour"])
def test_an_address_that_is_none_is_told(address):
    bound = Tags([tag("state", address), tag("other")])

    assert list(bound.errors) == ["state"]
    assert [s.tag_id for o in read(f"{T}|other|1") for s in bound.samples(o, NOON)] == ["other"]


def test_keys_that_no_tag_is_for_are_counted_by_name():
    bound = Tags([tag("a")])
    for observation in read(f"{T}|a|1|b|2", f"{T}|m:b|1", f"{T}|b|3"):
        bound.samples(observation, NOON)

    assert bound.strangers == {"b": 2, "m:b": 1}


def test_the_time_of_a_time_series_is_that_of_its_last_value():
    found = samples(f"{T}|vibration|3|2|1 2 3", tag("v", "vibration"))

    assert [(s.value, s.observed_at - NOON) for s in found] == [
        ("1", timedelta(seconds=-1)),
        ("2", timedelta(seconds=-0.5)),
        ("3", timedelta(0)),
    ]
    assert [s.value for s in samples(f"{T}|v|2||7 8", tag("v"))] == ["7", "8"]
    assert [s.value for s in samples(f"{T}|v|2|10|7 8", tag("v", data_type="text"))] == ["7 8"]
    over_4_s = samples("2026-03-01T12:00:00Z@4|v|3||1 2 3", tag("v"))
    assert [s.observed_at - NOON for s in over_4_s] == [timedelta(seconds=s) for s in (-4, -2, 0)]


# Real machines


def test_every_line_of_a_real_shop_floor_is_read(shop_floor):
    counts, kinds, last = Counter(), Counter(), {}
    for path in sorted(shop_floor.glob("*/*.txt")):
        parser = Parser(device=path.parent.name)
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                for observation in parser.feed(line):
                    kinds[observation.kind] += 1
                    last[observation.device, observation.key] = observation
        counts.update(parser.counts)

    assert counts["lines"] == 45_309
    assert counts["observations"] + counts["refused"] == 45_309
    assert counts["refused"] == 0
    assert kinds == {"value": 44_482, "condition": 827}
    assert {device for device, _ in last} == {"mazak01", "mazak03", "hurco04", "gfagie01"}
    assert all(o.observed_at.year in (2017, 2019) for o in last.values())
