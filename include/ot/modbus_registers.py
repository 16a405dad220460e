"""Registers of Modbus devices, the blocks in which they are read, and what their bits mean."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from include.ot.reading import BAD_NO_DATA, BAD_OUT_OF_RANGE, GOOD, Value

TABLES = {1: "coil", 2: "discrete input", 3: "holding register", 4: "input register"}
DIGITS = {"0": 1, "1": 2, "3": 4, "4": 3}  # first digit of a number such as 40001, and the function of its table
FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
TYPES = (*FORMATS, "bool", "string")
MOST_REGISTERS, MOST_BITS = 125, 2000  # of one read
BITS_PER_REGISTER = 16


@dataclass(frozen=True)
class Options:
    """What a source of kind modbus may say in its YAML, beside `registers` and `holes`."""

    poll_ms: float = 1000  # how often a register is read, where neither it nor its tag says
    timeout_s: float = 3  # longest wait for an answer
    reconnect_max_s: float = 30  # longest wait between two tries, of the connection and of a unit that does not answer
    max_registers: int = MOST_REGISTERS  # of one read; some devices take fewer
    max_bits: int = MOST_BITS
    max_gap: int = 16  # registers that nobody asked for, between two that are read together; of bits 16 times as many
    heartbeat_s: float = 60  # a value that does not change is said again this often
    retry_s: float = 60  # how often a register that the device does not have is asked for again


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a device: a bit, or some registers that belong together."""

    name: str
    unit_id: int
    function: int
    offset: int  # from zero
    type: str
    size: int = 1  # registers, or bits of functions 1 and 2
    byte_order: str = "big"
    word_order: str = "big"
    bit: int | None = None  # of a holding or input register; 0 is the least significant
    factor: tuple[int, int, int] | None = None  # value = (register value * a + b) / c
    missing: tuple[float, ...] = ()  # register values by which the device says that it has none
    poll_ms: float | None = None

    @property
    def end(self) -> int:
        return self.offset + self.size

    @property
    def place(self) -> str:
        return place(self.unit_id, self.function, self.offset)

    def value(self, cells: Sequence[int]) -> tuple[Value, int]:
        """Value and quality of what stands in its registers, or of its bit."""
        if self.function in (1, 2):
            return bool(cells[0]), GOOD
        data = self._bytes(cells)
        if self.type == "string":
            return data.split(b"\0")[0].decode("utf-8", "replace").rstrip(), GOOD
        if self.bit is not None:
            return bool(int.from_bytes(data, "big") >> self.bit & 1), GOOD
        raw = struct.unpack(">" + FORMATS[self.type], data)[0]
        if isinstance(raw, float) and not math.isfinite(raw):
            return None, BAD_OUT_OF_RANGE
        if raw in self.missing:
            return None, BAD_NO_DATA
        if self.factor is None:
            return raw, GOOD
        a, b, c = self.factor
        if isinstance(raw, int):
            return (raw * a + b) / c, GOOD
        scaled = raw * (a / c) + b / c
        return (scaled, GOOD) if math.isfinite(scaled) else (None, BAD_OUT_OF_RANGE)

    def _bytes(self, cells: Sequence[int]) -> bytes:
        """The bytes of a value, the most significant first."""
        words = reversed(cells) if self.word_order == "little" else cells
        return b"".join(word.to_bytes(2, self.byte_order) for word in words)


def place(unit_id: int, function: int, offset: int) -> str:
    """A place as both sides call it: `unit 1, holding register 40009 (function 3, offset 8)`."""
    digit = next(digit for digit, of in DIGITS.items() if of == function)
    number = f"{digit}{offset + 1:0{4 if offset < 9999 else 5}}"
    return f"unit {unit_id}, {TABLES[function]} {number} (function {function}, offset {offset})"


@dataclass(frozen=True, slots=True)
class Hole:
    """Cells that must never be read, not even between two others."""

    unit_id: int
    function: int
    offset: int
    size: int

    def lies_in(self, unit_id: int, function: int, start: int, end: int) -> bool:
        """Whether one of its cells is among those from `start` up to `end`."""
        is_there = (self.unit_id, self.function) == (unit_id, function)
        return is_there and self.offset < end and self.offset + self.size > start


@dataclass(frozen=True, slots=True)
class Block:
    """What one request reads: `count` cells from `offset` on, and the registers that stand in them."""

    unit_id: int
    function: int
    offset: int
    count: int
    registers: tuple[Register, ...]
    poll_ms: float

    @property
    def place(self) -> str:
        return f"{place(self.unit_id, self.function, self.offset)}, {self.count} of them"

    def values(self, cells: Sequence[int]) -> Iterable[tuple[Register, Value, int]]:
        for register in self.registers:
            start = register.offset - self.offset
            yield (register, *register.value(cells[start : start + register.size]))


@dataclass(frozen=True)
class RegisterMap:
    """All that a Modbus source declares."""

    options: Options
    registers: Mapping[str, Register]
    holes: tuple[Hole, ...] = ()
    notes: tuple[str, ...] = ()  # what is allowed and yet looks like a mistake

    def blocks(self, wanted: Iterable[tuple[Register, float]]) -> list[Block]:
        """The fewest reads that hold registers, each with its poll rate in ms."""
        groups: dict[tuple[int, int, float], set[Register]] = {}
        for register, poll_ms in wanted:
            groups.setdefault((register.unit_id, register.function, poll_ms), set()).add(register)
        return [
            block for (_, _, poll_ms), of_group in sorted(groups.items()) for block in self._blocks(of_group, poll_ms)
        ]

    def _blocks(self, registers: Iterable[Register], poll_ms: float) -> Iterable[Block]:
        current: list[Register] = []
        end = 0
        for register in sorted(registers, key=lambda r: (r.offset, r.end, r.name)):
            if current and not self._belongs(register, current[0], end):
                yield block_of(current, poll_ms)
                current = []
            current.append(register)
            end = max(end, register.end) if len(current) > 1 else register.end
        if current:
            yield block_of(current, poll_ms)

    def _belongs(self, register: Register, first: Register, end: int) -> bool:
        """Whether one read may go from `first` on, which reached `end` so far, to `register`."""
        is_bits = register.function in (1, 2)
        most = self.options.max_bits if is_bits else self.options.max_registers
        most_gap = self.options.max_gap * (BITS_PER_REGISTER if is_bits else 1)
        if max(end, register.end) - first.offset > most or register.offset - end > most_gap:
            return False
        return not any(hole.lies_in(register.unit_id, register.function, end, register.offset) for hole in self.holes)


def block_of(registers: Sequence[Register], poll_ms: float) -> Block:
    first, end = registers[0], max(register.end for register in registers)
    return Block(first.unit_id, first.function, first.offset, end - first.offset, tuple(registers), poll_ms)


def halves(block: Block) -> tuple[Block, Block] | None:
    """A block as two, cut at its widest gap, near the middle where gaps are alike; no register is cut in two."""
    registers = block.registers
    middle = block.offset + block.count / 2
    best, cut, end = None, 0, registers[0].end
    for at, register in enumerate(registers[1:], 1):
        if register.offset >= end:
            rank = (end - register.offset, abs((register.offset + end) / 2 - middle))
            if best is None or rank < best:
                best, cut = rank, at
        end = max(end, register.end)
    if best is None:
        return None
    return block_of(registers[:cut], block.poll_ms), block_of(registers[cut:], block.poll_ms)
