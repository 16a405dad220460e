"""The register map of a Modbus source: what its YAML declares, in which blocks it is read, what registers mean.

    registers:
      - unit_id: 1                                  # what the registers of a group have in common
        poll_ms: 1000
        repeat: {name: "MES-{n:02}", count: 22, stride: 8}
        registers:
          "{name}.oil_rate": {function: 4, offset: 0, type: float32, order: CDAB}
          "{name}.is_running": {function: 2, offset: 0, type: bool, stride: 1}
      - registers:
          separator.level: {unit_id: 9, number: 40001, type: uint16, scale: 0.1}

*Where.* Either `function` (1 coils, 2 discrete inputs, 3 holding registers, 4 input registers) and `offset`, which
counts from zero as it travels, or the `number` of a vendor's manual, which counts from one and names the table by
its first digit: 40001 is function 3, offset 0. Coil numbers are written in quotes ("00001"): YAML reads digits after
a zero as octal.

*What.* `type`; `order` names the bytes of a 32-bit value as they stand in the registers (ABCD, CDAB, BADC, DCBA),
and means the same of 16 and 64 bits: whether the bytes of a register, and whether the registers of a value, are
swapped. Value = register value * `scale` + `bias`; an integer times a decimal scale is the decimal that one expects
(4523 * 0.01 is 45.23). Without them the integer stays what it is: a counter that rolls over is not smoothed here.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any

from include.errors import DeclarationError
from include.ot.modbus_registers import (
    DIGITS,
    FORMATS,
    MOST_BITS,
    MOST_REGISTERS,
    TABLES,
    TYPES,
    Hole,
    Options,
    Register,
    RegisterMap,
)
from include.ot.sources import Source

ORDERS = {"ABCD": ("big", "big"), "CDAB": ("big", "little"), "BADC": ("little", "big"), "DCBA": ("little", "little")}
ENDIANS = ("big", "little")
COMMON = ("topic", "owner", "description", "every_s")  # keys of a source's YAML that other modules read


def map_of(source: Source) -> RegisterMap:
    """The register map of a source; `DeclarationError` names the file and the register that cannot be used."""
    return _Reader(f"{source.name}.yaml").read(source.options)


_PLACE = ("unit_id", "function", "offset", "number")
_MEANING = ("type", "order", "byte_order", "word_order", "bit", "length", "scale", "bias", "missing")
_ENTRY = (*_PLACE, *_MEANING, "poll_ms", "stride")


class _Reader:
    """Reads one file. `where` names it in every message."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.options = Options()
        self.registers: dict[str, Register] = {}
        self.notes: list[str] = []

    def read(self, entries: Mapping[str, Any]) -> RegisterMap:
        rest = {key: value for key, value in entries.items() if key not in (*COMMON, "registers", "holes")}
        self.options = self._options(rest)
        groups = entries.get("registers")
        if isinstance(groups, Mapping):
            groups = [{"registers": groups}]
        if not isinstance(groups, list) or not groups:
            raise self._wrong("registers", "it must name the registers, or list groups of them")
        for at, group in enumerate(groups, 1):
            self._group(f"group {at} of registers", group)
        return RegisterMap(self.options, self.registers, self._holes(entries.get("holes") or []), tuple(self.notes))

    def _wrong(self, what: str, why: str) -> DeclarationError:
        return DeclarationError(f"{self.where}: {what}: {why}")

    def _options(self, given: Mapping[str, Any]) -> Options:
        known = {option.name: option.type for option in fields(Options)}
        for name, value in given.items():
            if name not in known:
                raise self._wrong(name, f"is no option of a Modbus source; it has {', '.join(known)}, registers, holes")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or not math.isfinite(value):
                raise self._wrong(name, f"{value!r} is not a number above 0")
            if value == 0 and name != "max_gap":
                raise self._wrong(name, "it must be above 0")
            if known[name] is int and value != int(value):
                raise self._wrong(name, f"{value!r} is not a whole number")
        options = Options(**{name: known[name](value) for name, value in given.items()})
        if options.max_registers > MOST_REGISTERS or options.max_bits > MOST_BITS:
            raise self._wrong("max_registers, max_bits", f"Modbus reads at most {MOST_REGISTERS} and {MOST_BITS}")
        return options

    def _group(self, where: str, group: Any) -> None:
        if not isinstance(group, Mapping) or not isinstance(group.get("registers"), Mapping):
            raise self._wrong(where, "it must be a mapping with `registers`, each under its name")
        shared = {key: value for key, value in group.items() if key not in ("registers", "repeat")}
        self._know(where, shared, (*_ENTRY, "registers", "repeat"))
        names, stride = self._repeat(where, group.get("repeat"))
        for pattern, entry in group["registers"].items():
            what = f"register {pattern!r}"
            if not isinstance(entry, Mapping):
                raise self._wrong(what, "it must be a mapping such as {unit_id: 1, number: 40001, type: uint16}")
            self._know(what, entry, _ENTRY)
            entry = _without_rival_places(shared, entry)
            step = self._whole(what, "stride", entry.pop("stride", stride), 0, 65535) if names else 0
            if names and "{name}" not in str(pattern):
                raise self._wrong(what, "a register that repeats needs {name} in its name")
            for n, name in enumerate(names or [""]):
                self._add(str(pattern).replace("{name}", name), entry, n * step)

    def _know(self, what: str, entry: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in entry:
            if key not in known:
                raise self._wrong(what, f"{key!r} is unknown; it may say {', '.join(known)}")

    def _repeat(self, where: str, repeat: Any) -> tuple[list[str], int]:
        """The names that a group repeats for, and by how many cells it moves on from one to the next."""
        if repeat is None:
            return [], 0
        what = f"{where}, repeat"
        if not isinstance(repeat, Mapping):
            raise self._wrong(what, 'it must be such as {names: [A, B], stride: 8} or {name: "W{n:02}", count: 2, …}')
        self._know(what, repeat, ("names", "name", "first", "count", "stride"))
        stride = self._whole(what, "stride", repeat.get("stride", 0), 0, 65535)
        if ("names" in repeat) == ("name" in repeat):
            raise self._wrong(what, "either `names`, a list, or `name` with {n} and `count`")
        if "names" in repeat:
            if not isinstance(repeat["names"], list) or not repeat["names"]:
                raise self._wrong(what, "`names` must be a list")
            return [str(name) for name in repeat["names"]], stride
        first = self._whole(what, "first", repeat.get("first", 1), 0, 10**6)
        count = self._whole(what, "count", repeat.get("count"), 1, 65536)
        try:
            names = [str(repeat["name"]).format(n=n) for n in range(first, first + count)]
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise self._wrong(what, f"`name` {repeat['name']!r}: {error!r}; it may hold {{n}}") from error
        return names, stride

    def _add(self, name: str, entry: Mapping[str, Any], shift: int) -> None:
        what = f"register {name!r}"
        if name in self.registers:
            raise self._wrong(what, "it is declared twice")
        unit_id = self._whole(what, "unit_id", entry.get("unit_id"), 0, 255)
        function, offset = self._place(what, entry)
        offset += shift
        kind = entry.get("type", "bool" if function in (1, 2) else None)
        if kind not in TYPES:
            raise self._wrong(what, f"type {kind!r} is none of {', '.join(TYPES)}")
        byte_order, word_order = self._order(what, entry)
        register = Register(
            name,
            unit_id,
            function,
            offset,
            kind,
            self._size(what, entry, function, kind),
            byte_order,
            word_order,
            self._bit(what, entry, function, kind),
            self._factor(what, entry, kind),
            self._missing(what, entry, kind),
            self._poll_ms(what, entry),
        )
        if register.end > 65536:
            raise self._wrong(what, f"offset {offset} and its {register.size} registers end beyond 65535")
        if register.size > self.options.max_registers and function in (3, 4):
            raise self._wrong(what, f"its {register.size} registers are more than one read takes")
        if "offset" in entry and 30001 <= entry["offset"] <= 49999:
            self.notes.append(f"{name}: offset {entry['offset']} looks like a number; did you mean `number`?")
        self.registers[name] = register

    def _place(self, what: str, entry: Mapping[str, Any]) -> tuple[int, int]:
        function = entry.get("function")
        if function is not None and function not in TABLES:
            raise self._wrong(what, f"function {function!r} is none of {_spelt(TABLES)}. The mirror uses no other")
        if ("offset" in entry) == ("number" in entry):
            raise self._wrong(what, "it needs either `offset`, from zero, or `number` such as 40001")
        if "offset" in entry:
            if function is None:
                raise self._wrong(what, f"an offset needs its function: {_spelt(TABLES)}")
            return function, self._whole(what, "offset", entry["offset"], 0, 65535)
        of_number, offset = self._number(what, entry["number"])
        if function not in (None, of_number):
            raise self._wrong(
                what, f"number {entry['number']} is a {TABLES[of_number]}, which function {function} does not read"
            )
        return of_number, offset

    def _number(self, what: str, number: Any) -> tuple[int, int]:
        """Function and offset of a number such as 40001."""
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 10_000:
            raise self._wrong(
                what, f'number {number}: write the number of a coil in quotes and with all digits: "{number:05}"'
            )
        text = str(number)
        if not re.fullmatch(r"\d{5,6}", text):
            raise self._wrong(what, f"number {number!r} must have five or six digits, the first one for the table")
        if text[0] not in DIGITS:
            raise self._wrong(
                what, f"number {text}: no table begins with {text[0]}; 0 coils, 1 discrete inputs, 3 input, 4 holding"
            )
        most = 9999 if len(text) == 5 else 65536
        if not 1 <= int(text[1:]) <= most:
            raise self._wrong(what, f"number {text} is outside {text[0]}{1:0{len(text) - 1}} to {text[0]}{most}")
        return DIGITS[text[0]], int(text[1:]) - 1

    def _order(self, what: str, entry: Mapping[str, Any]) -> tuple[str, str]:
        if "order" in entry:
            if "byte_order" in entry or "word_order" in entry:
                raise self._wrong(what, "either `order`, or `byte_order` and `word_order`")
            if entry["order"] not in ORDERS:
                raise self._wrong(what, f"order {entry['order']!r} is none of {', '.join(ORDERS)}")
            return ORDERS[entry["order"]]
        found = []
        for key in ("byte_order", "word_order"):
            if (value := entry.get(key, "big")) not in ENDIANS:
                raise self._wrong(what, f"{key} {value!r} is neither big nor little")
            found.append(value)
        return found[0], found[1]

    def _size(self, what: str, entry: Mapping[str, Any], function: int, kind: str) -> int:
        if function in (1, 2):
            if kind != "bool":
                raise self._wrong(what, f"a {TABLES[function]} is of type bool, not {kind}")
            return 1
        if kind == "string":
            return self._whole(what, "length", entry.get("length"), 1, MOST_REGISTERS)
        if "length" in entry:
            raise self._wrong(what, "only a string has a `length`, in registers")
        return 1 if kind == "bool" else struct.calcsize(FORMATS[kind]) // 2

    def _bit(self, what: str, entry: Mapping[str, Any], function: int, kind: str) -> int | None:
        if function in (3, 4) and kind == "bool":
            if "bit" not in entry:
                raise self._wrong(what, "say which `bit` of it, 0 to 15; a register that is 0 or 1 as a whole: uint16")
            return self._whole(what, "bit", entry["bit"], 0, 15)
        if "bit" in entry:
            raise self._wrong(what, "a `bit` is one of a holding or input register, of type bool")
        return None

    def _factor(self, what: str, entry: Mapping[str, Any], kind: str) -> tuple[int, int, int] | None:
        given = {key: entry[key] for key in ("scale", "bias") if key in entry}
        if not given:
            return None
        if kind in ("bool", "string"):
            raise self._wrong(what, f"a {kind} has neither scale nor bias")
        for key, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self._wrong(what, f"{key} {value!r} is no number")
        scale, bias = Fraction(str(given.get("scale", 1))), Fraction(str(given.get("bias", 0)))
        if scale == 0:
            raise self._wrong(what, "scale 0 makes every value the same")
        return (
            scale.numerator * bias.denominator,
            bias.numerator * scale.denominator,
            scale.denominator * bias.denominator,
        )

    def _missing(self, what: str, entry: Mapping[str, Any], kind: str) -> tuple[float, ...]:
        given = entry.get("missing", [])
        values = given if isinstance(given, list) else [given]
        if values and kind in ("bool", "string"):
            raise self._wrong(what, f"a {kind} has no value that means none")
        found = []
        for value in values:
            try:
                found.extend(struct.unpack(">" + FORMATS[kind], struct.pack(">" + FORMATS[kind], value)))
            except (struct.error, OverflowError) as error:
                raise self._wrong(what, f"missing {value!r} is no {kind}: {error}") from error
        return tuple(found)

    def _poll_ms(self, what: str, entry: Mapping[str, Any]) -> float | None:
        value = entry.get("poll_ms")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise self._wrong(what, f"poll_ms {value!r} is not a number above 0")
        return value

    def _holes(self, holes: Any) -> tuple[Hole, ...]:
        if not isinstance(holes, list):
            raise self._wrong("holes", "it must be a list")
        found = []
        for at, entry in enumerate(holes, 1):
            what = f"hole {at}"
            if not isinstance(entry, Mapping):
                raise self._wrong(what, "it must be such as {unit_id: 1, number: 40101, count: 20}")
            self._know(what, entry, (*_PLACE, "count"))
            unit_id = self._whole(what, "unit_id", entry.get("unit_id"), 0, 255)
            count = self._whole(what, "count", entry.get("count"), 1, 65536)
            hole = Hole(unit_id, *self._place(what, entry), count)
            for register in self.registers.values():
                if hole.lies_in(register.unit_id, register.function, register.offset, register.end):
                    raise self._wrong(what, f"the register {register.name!r} stands in it")
            found.append(hole)
        return tuple(found)

    def _whole(self, what: str, key: str, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            said = "is missing; it must be" if value is None else f"{value!r} is not"
            raise self._wrong(what, f"{key} {said} a whole number from {low} to {high}")
        return value


def _without_rival_places(shared: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A register's entry over its group's; what says the same thing in another way is not taken from the group."""
    rivals = {"offset": ("number",), "number": ("offset",), "order": ("byte_order", "word_order")}
    rivals |= {"byte_order": ("order",), "word_order": ("order",)}
    left_out = {rival for key in entry for rival in rivals.get(key, ())}
    return {key: value for key, value in shared.items() if key not in left_out} | dict(entry)


def _spelt(tables: Mapping[int, str]) -> str:
    return ", ".join(f"{function} ({table}s)" for function, table in tables.items())
