"""The register map: numbers and offsets, types and orders, blocks, and errors that name file and register."""

import math
import struct

import pytest

from include.errors import DeclarationError
from include.ot.modbus_map import map_of
from include.ot.modbus_registers import halves
from include.ot.reading import BAD_NO_DATA, BAD_OUT_OF_RANGE, GOOD
from include.ot.sources import Source


def read_map(registers, **options):
    return map_of(Source("separators", "modbus", "modbus://10.0.0.7", {"registers": registers, **options}))


def register(**entry):
    return read_map({"level": {"unit_id": 1, **entry}}).registers["level"]


def holding(**entry):
    return register(function=3, offset=0, **entry)


def blocks(registers, **options):
    found = read_map(registers, **options)
    return [(b.offset, b.count) for b in found.blocks((r, 1000) for r in found.registers.values())]


def words(at, kind="uint16", **more):
    return {f"r{offset}": {"unit_id": 1, "function": 3, "offset": offset, "type": kind, **more} for offset in at}


@pytest.mark.parametrize(
    ("number", "function", "offset"),
    [
        (40001, 3, 0),
        (30010, 4, 9),
        (10001, 2, 0),
        ("00001", 1, 0),
        ("09999", 1, 9998),
        (49999, 3, 9998),
        (400001, 3, 0),
        (465536, 3, 65535),
        ("000017", 1, 16),
    ],
)
def test_a_number_counts_from_one_and_names_its_table(number, function, offset):
    found = register(number=number, **({} if function < 3 else {"type": "int16"}))

    assert (found.function, found.offset) == (function, offset)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"number": 40000, "type": "int16"}, "outside 40001 to 49999"),
        ({"number": 50001, "type": "int16"}, "no table begins with 5"),
        ({"number": 465537, "type": "int16"}, "outside 400001 to 465536"),
        ({"number": 8}, 'in quotes and with all digits: "00008"'),
        ({"number": 40001, "function": 4, "type": "int16"}, "a holding register, which function 4 does not read"),
        ({"number": 40001, "offset": 0, "function": 3, "type": "int16"}, "either `offset`"),
        ({"function": 3, "type": "int16"}, "either `offset`"),
        ({"offset": 0, "type": "int16"}, "an offset needs its function"),
        ({"offset": 70000, "function": 3, "type": "int16"}, "whole number from 0 to 65535"),
        ({"offset": 65535, "function": 3, "type": "int32"}, "end beyond 65535"),
        ({"offset": 0, "function": 6, "type": "int16"}, "The mirror uses no other"),
        ({"offset": 0, "function": 3}, "type None is none of"),
        ({"offset": 0, "function": 3, "type": "int24"}, "type 'int24' is none of"),
        ({"offset": 0, "function": 1, "type": "int16"}, "a coil is of type bool"),
        ({"offset": 0, "function": 3, "type": "bool"}, "which `bit`"),
        ({"offset": 0, "function": 3, "type": "bool", "bit": 16}, "whole number from 0 to 15"),
        ({"offset": 0, "function": 3, "type": "int16", "bit": 1}, "of type bool"),
        ({"offset": 0, "function": 3, "type": "string"}, "length is missing"),
        ({"offset": 0, "function": 3, "type": "int16", "length": 2}, "only a string has a `length`"),
        ({"offset": 0, "function": 3, "type": "int16", "scale": 0}, "makes every value the same"),
        ({"offset": 0, "function": 3, "type": "int16", "scale": "0.1"}, "is no number"),
        ({"offset": 0, "function": 1, "scale": 2}, "neither scale nor bias"),
        ({"offset": 0, "function": 3, "type": "float32", "order": "ABDC"}, "none of ABCD, CDAB, BADC, DCBA"),
        ({"offset": 0, "function": 3, "type": "float32", "word_order": "middle"}, "neither big nor little"),
        ({"offset": 0, "function": 3, "type": "int16", "missing": 70000}, "missing 70000 is no int16"),
        ({"offset": 0, "function": 3, "type": "int16", "poll_ms": 0}, "poll_ms 0 is not a number above 0"),
        ({"offset": 0, "function": 3, "type": "int16", "unit": "bar"}, "'unit' is unknown; it may say unit_id"),
        ({"offset": 0, "function": 3, "type": "int16", "unit_id": None}, "unit_id is missing"),
    ],
)
def test_an_entry_that_cannot_be_used_is_told_with_file_and_register(entry, why):
    with pytest.raises(DeclarationError) as told:
        register(**entry)

    assert why in str(told.value)
    assert str(told.value).startswith("separators.yaml: register 'level': ")


@pytest.mark.parametrize(
    ("registers", "options", "why"),
    [
        (None, {}, "it must name the registers"),
        ([{"unit_id": 1}], {}, "group 1 of registers: it must be a mapping with `registers`"),
        ({"a": 40001}, {}, "register 'a': it must be a mapping"),
        (words([0]), {"poll_s": 1}, "poll_s: is no option of a Modbus source"),
        (words([0]), {"timeout_s": 0}, "timeout_s: it must be above 0"),
        (words([0]), {"max_registers": 126}, "Modbus reads at most 125 and 2000"),
        (words([0]), {"holes": [{"unit_id": 1, "function": 3, "offset": 0, "count": 2}]}, "'r0' stands in it"),
        ([{"registers": words([0])}, {"registers": words([0])}], {}, "register 'r0': it is declared twice"),
        ([{"repeat": {"names": ["a"]}, "registers": words([0])}], {}, "needs {name} in its name"),
        ([{"repeat": {"stride": 8}, "registers": words([0])}], {}, "either `names`, a list, or `name`"),
        ([{"repeat": {"name": "W{x}", "count": 2}, "registers": words([0])}], {}, "it may hold {n}"),
    ],
)
def test_a_map_that_cannot_be_used_is_told_with_its_file(registers, options, why):
    with pytest.raises(DeclarationError) as told:
        read_map(registers, **options)

    assert why in str(told.value)
    assert str(told.value).startswith("separators.yaml: ")


def test_a_group_repeats_for_each_name_and_a_register_may_have_a_stride_of_its_own():
    found = read_map(
        [
            {
                "unit_id": 7,
                "order": "CDAB",
                "repeat": {"name": "W-{n:02}", "first": 3, "count": 2, "stride": 8},
                "registers": {
                    "{name}.rate": {"number": 40001, "type": "float32"},
                    "{name}.is_on": {"function": 2, "offset": 5, "stride": 1},
                },
            }
        ]
    ).registers

    assert {name: (r.unit_id, r.function, r.offset, r.word_order) for name, r in found.items()} == {
        "W-03.rate": (7, 3, 0, "little"),
        "W-04.rate": (7, 3, 8, "little"),
        "W-03.is_on": (7, 2, 5, "little"),
        "W-04.is_on": (7, 2, 6, "little"),
    }


def test_a_register_says_its_place_as_both_sides_call_it():
    assert register(number=40009, type="int16").place == "unit 1, holding register 40009 (function 3, offset 8)"
    assert register(number=410000, type="int16").place == "unit 1, holding register 410000 (function 3, offset 9999)"


def test_an_offset_that_looks_like_a_number_is_noted():
    assert "did you mean `number`" in read_map(words([40001])).notes[0]


# What registers mean

ABCD = [0x4148, 0xF5C3]  # 12.56 as a float32, the way the standard sends it


@pytest.mark.parametrize(
    ("order", "cells"),
    [
        ("ABCD", [0x4148, 0xF5C3]),
        ("CDAB", [0xF5C3, 0x4148]),
        ("BADC", [0x4841, 0xC3F5]),
        ("DCBA", [0xC3F5, 0x4841]),
    ],
)
def test_each_order_of_bytes_and_words_gives_the_same_value(order, cells):
    assert holding(type="float32", order=order).value(cells) == (pytest.approx(12.56, rel=1e-7), GOOD)


def test_byte_order_and_word_order_say_the_same_as_the_letters():
    spelt = holding(type="int32", byte_order="little", word_order="big")

    assert spelt.value([0x0100, 0x0200]) == holding(type="int32", order="BADC").value([0x0100, 0x0200]) == (65538, GOOD)


@pytest.mark.parametrize(
    ("kind", "cells", "value"),
    [
        ("int16", [0xFFFE], -2),
        ("uint16", [0xFFFE], 65534),
        ("int32", [0xFFFF, 0xFFFE], -2),
        ("uint32", [0xFFFF, 0xFFFE], 2**32 - 2),
        ("int64", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], -2),
        ("uint64", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], 2**64 - 2),
        ("float64", list(struct.unpack(">4H", struct.pack(">d", math.pi))), math.pi),
    ],
)
def test_each_type_is_read_whole(kind, cells, value):
    found, quality = holding(type=kind).value(cells)

    assert (found, quality) == (value, GOOD)
    assert type(found) is type(value)


def test_little_words_turn_all_four_of_a_64_bit_value():
    assert holding(type="uint64", word_order="little").value([4, 3, 2, 1]) == (0x0001_0002_0003_0004, GOOD)


@pytest.mark.parametrize(("bit", "value"), [(0, True), (1, False), (15, True)])
def test_a_bit_of_a_register_counts_from_the_least(bit, value):
    assert holding(type="bool", bit=bit).value([0x8001]) == (value, GOOD)


def test_a_text_ends_at_its_first_nul_and_swapped_bytes_are_put_right():
    assert holding(type="string", length=3).value([0x4142, 0x4320, 0x0041]) == ("ABC", GOOD)
    assert holding(type="string", length=2, byte_order="little").value([0x4241, 0x0043]) == ("ABC", GOOD)


def test_a_scaled_integer_is_the_decimal_that_one_expects():
    centi = holding(type="int16", scale=0.01)

    assert centi.value([4523]) == (45.23, GOOD)  # 4523 * 0.01 in doubles is 45.230000000000004
    assert holding(type="int16", scale=0.1, bias=-273.15).value([2932]) == (20.05, GOOD)
    assert holding(type="uint16", scale=0.1).value([30]) == (3.0, GOOD)


def test_a_counter_without_a_scale_stays_the_integer_that_it_is():
    counter = holding(type="uint16")

    assert [counter.value([cell])[0] for cell in (65534, 65535, 0, 1)] == [65534, 65535, 0, 1]


@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00001, 0x7F800000, 0xFF800000])
def test_nan_and_infinity_are_a_quality_and_no_number(bits):
    assert holding(type="float32").value([bits >> 16, bits & 0xFFFF]) == (None, BAD_OUT_OF_RANGE)
    assert holding(type="float32", scale=2).value([bits >> 16, bits & 0xFFFF]) == (None, BAD_OUT_OF_RANGE)


def test_a_register_value_that_means_none_is_no_data():
    assert holding(type="int16", missing=-32768, scale=0.1).value([0x8000]) == (None, BAD_NO_DATA)
    assert holding(type="uint16", missing=[0xFFFF, 0xFFFE]).value([0xFFFE]) == (None, BAD_NO_DATA)
    assert holding(type="float32", missing=-9999.9).value(struct.unpack(">2H", struct.pack(">f", -9999.9)))[1] != GOOD


# Blocks


def test_registers_that_follow_each_other_are_one_read():
    assert blocks(words(range(0, 20, 2), "int32")) == [(0, 20)]


def test_a_block_has_at_most_125_registers_and_cuts_no_value_in_two():
    assert blocks(words(range(0, 130, 2), "float32")) == [(0, 124), (124, 6)]
    assert blocks(words(range(0, 128, 4), "float64")) == [(0, 124), (124, 4)]
    assert blocks(words(range(126))) == [(0, 125), (125, 1)]


def test_bits_are_read_up_to_2000_at_once():
    assert blocks({f"b{n}": {"unit_id": 1, "function": 1, "offset": n} for n in range(2001)}) == [(0, 2000), (2000, 1)]


def test_a_gap_is_bridged_up_to_its_limit():
    assert blocks(words([0, 17])) == [(0, 18)]
    assert blocks(words([0, 18])) == [(0, 1), (18, 1)]
    assert blocks(words([0, 18]), max_gap=17) == [(0, 19)]
    assert blocks(words([0, 1, 3]), max_gap=0) == [(0, 2), (3, 1)]


def test_a_forbidden_hole_is_never_read():
    hole = {"unit_id": 1, "number": 40004, "count": 2}

    assert blocks(words([0, 8]), holes=[hole]) == [(0, 1), (8, 1)]
    assert blocks(words([0, 8]), holes=[{**hole, "unit_id": 2}]) == [(0, 9)]


def test_two_views_of_the_same_registers_share_a_read():
    both = {
        **words([0], "uint32"),
        "low": {"unit_id": 1, "function": 3, "offset": 1, "type": "uint16"},
        "alarm": {"unit_id": 1, "function": 3, "offset": 1, "type": "bool", "bit": 3},
    }

    assert blocks(both) == [(0, 2)]


def test_units_functions_and_rates_are_never_mixed():
    found = read_map(
        {
            "a": {"unit_id": 1, "function": 3, "offset": 0, "type": "int16"},
            "b": {"unit_id": 2, "function": 3, "offset": 1, "type": "int16"},
            "c": {"unit_id": 1, "function": 4, "offset": 1, "type": "int16"},
        }
    )
    of = found.registers

    assert len(found.blocks([(of["a"], 1000), (of["b"], 1000), (of["c"], 1000)])) == 3
    assert len(found.blocks([(of["a"], 1000), (of["a"], 500)])) == 2


def test_a_block_is_halved_at_its_widest_gap_and_never_inside_a_value():
    found = read_map(words([0, 2, 10, 12], "int32"))
    (block,) = found.blocks((r, 1000) for r in found.registers.values())
    left, right = halves(block)

    assert [(half.offset, half.count) for half in (left, right)] == [(0, 4), (10, 4)]
    assert [(half.offset, half.count) for half in halves(left)] == [(0, 2), (2, 2)]
    assert halves(halves(left)[0]) is None
