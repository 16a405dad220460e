"""The Modbus TCP client: reads the registers of one device or gateway at their rates. It cannot write.

*Polling.* Registers are read in blocks (`include.ot.modbus_map`), each on a grid of its own rate that does not drift.
A read that is late by more than a period skips what it missed; that is counted as an overrun, and never made up for.
Modbus has no time of its own, so samples carry none: they are observed when we read them. What is no news
(`include.ot.telling.Deadband`) is left out.

*Refusals.* Where a device refuses a block, the block is read in ever smaller parts, so that one register that is not
there takes no other with it; the parts that worked are kept. What stays refused has a bad quality and its reason in
the state:

    1 illegal function              BadNotSupported             0x803D0000   asked for again every `retry_s`
    2 illegal data address          BadConfigurationError       0x80890000   "
    3 illegal data value            BadConfigurationError       0x80890000   "
    4 device failure                BadDeviceFailure            0x808B0000   asked for again at the next poll
    5 acknowledge                   BadResourceUnavailable      0x80040000   "
    6 device busy                   BadResourceUnavailable      0x80040000   "
    7 negative acknowledge          BadDeviceFailure            0x808B0000   "
    8 memory parity error           BadDeviceFailure            0x808B0000   "
    10 gateway path unavailable     BadNoCommunication          0x80310000   as a unit that does not answer
    11 gateway target no response   BadNoCommunication          0x80310000   "
    an answer of another length     BadDecodingError            0x80070000   asked for again every `retry_s`

*Silence.* A block that is not answered within `timeout_s` has BadTimeout. Where the next block of its unit is not
answered either, the unit is dead: BadNoCommunication on all its tags. Both are left alone for a while that grows up
to `reconnect_max_s`, and have a gap `no_response` once they are back, so a dead unit behind a gateway costs the others
one time-out now and then. When no unit answers any more, the connection is made anew. A lost connection that is
there again at once is no outage: some devices close it after each answer.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from include.errors import DeclarationError
from include.ot.client import Sink
from include.ot.modbus_guard import LostConnection, NoAnswer, ReadOnlyClient, Refused
from include.ot.modbus_map import map_of
from include.ot.modbus_registers import Block, Register, halves
from include.ot.reading import BAD_DEVICE_FAILURE, BAD_NO_COMMUNICATION, BAD_TIMEOUT, Sample, Value
from include.ot.sources import Source
from include.ot.tags import Tag
from include.ot.telling import Deadband, Gaps

log = logging.getLogger(__name__)

BAD_NOT_SUPPORTED = 0x803D0000
BAD_CONFIGURATION_ERROR = 0x80890000
BAD_RESOURCE_UNAVAILABLE = 0x80040000
BAD_DECODING_ERROR = 0x80070000
QUALITIES = {
    0: BAD_DECODING_ERROR,
    1: BAD_NOT_SUPPORTED,
    2: BAD_CONFIGURATION_ERROR,
    3: BAD_CONFIGURATION_ERROR,
    5: BAD_RESOURCE_UNAVAILABLE,
    6: BAD_RESOURCE_UNAVAILABLE,
    10: BAD_NO_COMMUNICATION,
    11: BAD_NO_COMMUNICATION,
}  # by exception; what is not here is a device failure
GATEWAY = (10, 11)  # the gateway speaks, the unit does not
DIVIDED = (0, 2, 3, 4)  # refusals that may be about one register of a block
LASTING = (0, 1, 2, 3)  # refusals that the next poll would only meet again

PORT = 502
FIRST_WAIT_S = 0.5  # between the first two tries; then twice as long each time
TELL_S = 2.0  # the state is told at least this often
SHOWN = 200  # tags with a reason that the state holds


Part = tuple[Block, list[int] | Refused]


@dataclass(slots=True)
class _Unit:
    """One device behind the connection."""

    heard_at: datetime  # when it last answered
    tag_ids: tuple[str, ...] = ()
    down: str | None = None  # cause of the gap that is to be told, while it does not answer
    is_silent: bool = False  # on this connection
    problem: str | None = None
    misses: int = 0  # blocks in a row that it did not answer
    next_try: float = 0.0
    wait_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Poll:
    """A block and when it is due."""

    block: Block
    due: float
    divide_at: float = 0.0  # not read in parts before
    heard_at: datetime | None = None  # when it was last answered
    wait_s: float = 0.0  # until the next try, while it is not

    @property
    def period_s(self) -> float:
        return self.block.poll_ms / 1000

    def step(self, now: float) -> int:
        """Move on to the next time on the grid after `now`; how many were missed."""
        missed = max(0, int((now - self.due) / self.period_s))
        self.due += (missed + 1) * self.period_s
        return missed

    def skip_to(self, now: float) -> None:
        """Be due at once where a time has passed, and once however many have."""
        self.due += max(0, int((now - self.due) / self.period_s)) * self.period_s


@dataclass(slots=True)
class _Counts:
    reads: int = 0
    overruns: int = 0
    timeouts: int = 0
    refusals: int = 0
    connections: int = 0


class ModbusClient:
    """See `include.ot.client.Client`."""

    has_history = False

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source, self.sink = source, sink
        self.map = map_of(source)
        self.options = self.map.options
        self.host, self.port = address_of(source)
        self._tags: dict[str, Tag] = {}
        self._of_register: dict[Register, list[Tag]] = {}
        self._polls: list[_Poll] = []
        self._units: dict[int, _Unit] = {}
        self._errors: dict[str, str] = {}  # tags that no register can be found for
        self._refused: dict[Register, str] = {}
        self._news = Deadband(self.options.heartbeat_s)
        self._gaps = Gaps(sink)
        self._counts = _Counts()
        self._client: ReadOnlyClient | None = None
        self._is_connected = False
        self._since = self._started_at = datetime.now(UTC)
        self._last_error: str | None = None
        self._overrun_at: datetime | None = None
        self._told = 0.0  # when the state was told; 0 where it has changed since
        self._is_told = False  # whether the sink knows that there is a connection
        self._has_answered = False  # on this connection
        self._changed = asyncio.Event()

    async def run(self, tags: Sequence[Tag]) -> None:
        self._since = self._started_at = datetime.now(UTC)
        self._take_over(tags)
        wait_s = 0.0
        try:
            while True:
                try:
                    await self._connect()
                    await self._poll()
                except LostConnection as error:
                    if self._has_answered:  # it may be there again at once
                        wait_s = 0.0
                    else:
                        wait_s = min(max(FIRST_WAIT_S, wait_s * 2), self.options.reconnect_max_s)
                        self._say_lost(str(error))
                    self._last_error = str(error)
                    self._close()
                self._tell(retry_in_s=round(wait_s, 1))
                await asyncio.sleep(wait_s)
        finally:
            self._close()

    async def retag(self, tags: Sequence[Tag]) -> None:
        self._take_over(tags)
        self._changed.set()
        self._tell()

    # Tags

    def _take_over(self, tags: Sequence[Tag]) -> None:
        before, self._tags = self._tags, {tag.tag_id: tag for tag in tags}
        self._news.forget(tag_id for tag_id, tag in before.items() if self._tags.get(tag_id) != tag)
        self._of_register.clear()
        wanted: dict[Register, float] = {}
        unknown = {}
        for tag in tags:
            register = self.map.registers.get(tag.address)
            if register is None:
                unknown[tag.tag_id] = f"{self.source.name}.yaml declares no register {tag.address!r}"
                continue
            self._of_register.setdefault(register, []).append(tag)
            poll_ms = register.poll_ms or tag.sampling_ms or self.options.poll_ms
            wanted[register] = min(poll_ms, wanted.get(register, poll_ms))
        self._refused = {register: reason for register, reason in self._refused.items() if register in wanted}
        self._plan(wanted)
        new = [tag_id for tag_id in unknown if tag_id not in self._errors]
        self._errors = unknown
        now = datetime.now(UTC)
        self._put((self._tags[tag_id], None, BAD_CONFIGURATION_ERROR) for tag_id in new)
        of_unit: dict[int, list[str]] = {register.unit_id: [] for register in wanted}
        for register, of_register in self._of_register.items():
            of_unit[register.unit_id] += [tag.tag_id for tag in of_register]
        self._units = {unit_id: self._units.get(unit_id) or _Unit(now) for unit_id in of_unit}
        for unit_id, tag_ids in of_unit.items():
            unit = self._units[unit_id]
            if unit.down:
                self._put((self._tags[i], None, BAD_NO_COMMUNICATION) for i in tag_ids if i not in unit.tag_ids)
            unit.tag_ids = tuple(tag_ids)

    def _plan(self, wanted: dict[Register, float]) -> None:
        """What to read when. Registers that were read before keep their grid, and the parts that were found to work."""
        asked = {(register, poll_ms) for register, poll_ms in wanted.items()}
        kept = [p for p in self._polls if all((r, p.block.poll_ms) in asked for r in p.block.registers)]
        rest = asked - {(register, p.block.poll_ms) for p in kept for register in p.block.registers}
        dues: dict[tuple[int, int, float], float] = {}
        for poll in self._polls:
            key = (poll.block.unit_id, poll.block.function, poll.block.poll_ms)
            dues[key] = min(poll.due, dues.get(key, poll.due))
        now = monotonic()
        fresh = [
            _Poll(block, dues.get((block.unit_id, block.function, block.poll_ms), now))
            for block in self.map.blocks(rest)
        ]
        self._polls = [*kept, *fresh]

    # Connecting

    async def _connect(self) -> None:
        self._has_answered = False
        self._client = ReadOnlyClient(self.host, self.port, self.options.timeout_s)
        await self._client.open()
        self._counts.connections += 1
        now = monotonic()
        for unit in self._units.values():
            unit.next_try, unit.is_silent = 0.0, False
        for poll in self._polls:
            poll.skip_to(now)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _say_lost(self, problem: str) -> None:
        if self._is_connected or problem != self._last_error:
            log.warning("%s: no connection: %s", self.source.name, problem)
        if self._is_connected:
            self._is_connected, self._since = False, datetime.now(UTC)
        for unit in self._units.values():
            self._down(unit, "connection_lost", problem)

    # Polling

    async def _poll(self) -> None:
        """Read what is due, for ever; raises `LostConnection`."""
        while True:
            poll = min(self._polls, key=lambda poll: poll.due, default=None)
            now = monotonic()
            if poll is None or poll.due > now:
                self._tell_now_and_then(now)
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(poll.due - now, TELL_S) if poll else TELL_S):
                        await self._changed.wait()
                continue
            unit = self._units[poll.block.unit_id]
            if unit.next_try > now:
                poll.step(unit.next_try)
                continue
            if missed := poll.step(now):
                self._counts.overruns += missed
                self._overrun_at = datetime.now(UTC)
            await self._read(poll, unit)
            self._tell_now_and_then(monotonic())

    async def _read(self, poll: _Poll, unit: _Unit) -> None:
        may_divide = monotonic() >= poll.divide_at
        self._counts.reads += 1
        try:
            parts = await read(self._client, poll.block, may_divide)
        except NoAnswer as error:
            self._missed(poll, unit, error)
            return
        except LostConnection:
            poll.due -= poll.period_s  # due again as soon as there is a connection
            raise
        refusals = [cells for _, cells in parts if isinstance(cells, Refused)]
        self._counts.refusals += len(refusals)
        self._heard()
        if speechless := next((refusal for refusal in refusals if refusal.code in GATEWAY), None):
            self._silent(unit, f"unit {poll.block.unit_id}: {speechless}")
            return
        self._up(unit)
        self._answered(poll)
        self._keep_parts(poll, parts, may_divide)
        for block, cells in parts:
            self._take(block, cells)

    def _keep_parts(self, poll: _Poll, parts: Sequence[Part], may_divide: bool) -> None:
        """Read from now on in the parts that worked; where none did, as before, and divide again after a while."""
        again_at = monotonic() + self.options.retry_s
        if not any(isinstance(cells, list) for _, cells in parts):
            poll.divide_at = again_at if may_divide else poll.divide_at
            if all(cells.code in LASTING for _, cells in parts):
                poll.step(again_at)
        elif len(parts) > 1 and poll in self._polls:
            self._polls.remove(poll)
            for block, cells in parts:
                self._polls.append(part := _Poll(block, poll.due))
                if isinstance(cells, Refused) and cells.code in LASTING:
                    part.step(again_at)

    def _take(self, block: Block, cells: list[int] | Refused) -> None:
        """Hand on what a block holds, or why it cannot be read."""
        if isinstance(cells, Refused):
            self._take_bad(block, QUALITIES.get(cells.code, BAD_DEVICE_FAILURE), str(cells))
            return
        for register in self._refused.keys() & set(block.registers) if self._refused else ():
            del self._refused[register]
            self._told = 0.0
        self._take_values(block, block.values(cells))

    def _take_bad(self, block: Block, quality: int, reason: str) -> None:
        new = [r for r in block.registers if r in self._of_register and self._refused.get(r) != reason]
        if new:
            names = ", ".join(register.name for register in new[:3]) + (" …" if len(new) > 3 else "")
            log.warning("%s: %s (%s): %s", self.source.name, names, block.place, reason)
            self._refused |= dict.fromkeys(new, reason)
            self._told = 0.0
        self._take_values(block, ((register, None, quality) for register in block.registers))

    def _take_values(self, block: Block, found: Iterable[tuple[Register, Value, int]]) -> None:
        of_register = self._of_register
        self._put(
            ((tag, value, quality) for register, value, quality in found for tag in of_register.get(register, ())),
            block.poll_ms / 1000,
        )

    def _put(self, found: Iterable[tuple[Tag, Any, int]], period_s: float = 0.0) -> None:
        """Hand on those of some values that are news."""
        now, at = datetime.now(UTC), monotonic()
        samples = [
            sample
            for tag, value, quality in found
            if self._news.is_news(tag, sample := Sample(tag.tag_id, value, quality, None, None, now), at, period_s)
        ]
        if samples:
            self.sink.put(samples)

    # Silence

    def _heard(self) -> None:
        """The other side speaks Modbus."""
        self._has_answered = True
        if not self._is_connected:
            self._is_connected, self._since, self._last_error = True, datetime.now(UTC), None
            log.info("%s: connected to %s:%d, %d tags", self.source.name, self.host, self.port, len(self._tags))

    def _up(self, unit: _Unit) -> None:
        now = datetime.now(UTC)
        cause, unit.down, unit.problem, unit.is_silent = unit.down, None, None, False
        if cause or not self._is_told:
            self._tell()
        if cause:
            self._gaps.tell([*unit.tag_ids], unit.heard_at, now, cause)
        unit.heard_at, unit.wait_s, unit.misses = now, 0.0, 0

    def _down(self, unit: _Unit, cause: str, problem: str) -> None:
        if unit.down is None:
            self._put((self._tags[tag_id], None, BAD_NO_COMMUNICATION) for tag_id in unit.tag_ids)
        unit.down, unit.problem = unit.down or cause, problem

    def _missed(self, poll: _Poll, unit: _Unit, error: NoAnswer) -> None:
        """A block was not answered: it is that block, or its unit, or the connection."""
        self._counts.timeouts += 1
        unit.misses += 1
        others = any(other.block.unit_id == poll.block.unit_id for other in self._polls if other is not poll)
        if unit.down is None and unit.misses == 1 and others:
            self._take_bad(poll.block, BAD_TIMEOUT, str(error))
            poll.wait_s = min(max(FIRST_WAIT_S, poll.wait_s * 2), self.options.reconnect_max_s)
            poll.step(monotonic() + poll.wait_s)
            unit.next_try = monotonic() + FIRST_WAIT_S  # then another of its blocks tells whether it is the unit
            return
        self._silent(unit, str(error))
        unit.is_silent = True
        if all(unit.is_silent for unit in self._units.values()):
            self._has_answered = False  # who hears nobody has no connection
            raise LostConnection(str(error)) from error

    def _answered(self, poll: _Poll) -> None:
        now = datetime.now(UTC)
        if poll.wait_s:
            tag_ids = [tag.tag_id for r in poll.block.registers for tag in self._of_register.get(r, ())]
            self._gaps.tell(tag_ids, poll.heard_at or self._started_at, now, "no_response")
        poll.heard_at, poll.wait_s = now, 0.0

    def _silent(self, unit: _Unit, problem: str) -> None:
        """Leave a unit that does not answer alone for a while."""
        self._told = 0.0
        if unit.down is None:
            log.warning("%s: %s", self.source.name, problem)
        self._down(unit, "no_response", problem)
        unit.wait_s = min(max(FIRST_WAIT_S, unit.wait_s * 2), self.options.reconnect_max_s)
        unit.next_try = monotonic() + unit.wait_s

    # Telling

    def _tell_now_and_then(self, now: float) -> None:
        if now - self._told > TELL_S:
            self._tell()

    def _tell(self, **more: Any) -> None:
        self._told = monotonic()
        counts, now = self._counts, self._told
        refused = {
            tag.tag_id: f"{register.place}: {reason}"
            for register, reason in self._refused.items()
            for tag in self._of_register.get(register, ())
        }
        errors = self._errors | refused
        self._is_told = self._is_connected and any(unit.down is None for unit in self._units.values())
        self.sink.state(
            self._is_told,
            {
                "url": self.source.url,
                "since": self._since.isoformat(),
                "tags": len(self._tags),
                "bound": len(self._tags) - len(errors),
                "in_error": len(errors),
                "errors": dict(list(errors.items())[:SHOWN]),
                "notes": list(self.map.notes[:SHOWN]),
                "units": {
                    unit_id: {
                        "answers": unit.down is None,
                        "heard_at": unit.heard_at.isoformat(),
                        "problem": unit.problem,
                        "retry_in_s": round(max(0.0, unit.next_try - now), 1) if unit.down else None,
                    }
                    for unit_id, unit in sorted(self._units.items())
                },
                "blocks": len(self._polls),
                "reads": counts.reads,
                "overruns": counts.overruns,
                "overrun_at": self._overrun_at and self._overrun_at.isoformat(),
                "timeouts": counts.timeouts,
                "refusals": counts.refusals,
                "connections": counts.connections,
                "last_error": self._last_error,
                **more,
            },
        )


async def read(client: ReadOnlyClient, block: Block, may_divide: bool = True) -> list[Part]:
    """Read a block; one that is refused in ever smaller parts, down to single registers."""
    try:
        return [(block, await client.ask(block.function, block.unit_id, block.offset, block.count))]
    except Refused as error:
        parts = halves(block) if may_divide and error.code in DIVIDED else None
        if parts is None:
            return [(block, error)]
    return [part for half in parts for part in await read(client, half)]


async def read_once(source: Source, tags: Sequence[Tag]) -> list[Sample]:
    """The present value of each tag, by one connection. What cannot be read has a bad sample; the log says why."""
    registers = map_of(source)
    options = registers.options
    host, port = address_of(source)
    of_tag = {tag.tag_id: registers.registers.get(tag.address) for tag in tags}
    found: dict[Register | None, tuple[Value, int]] = {None: (None, BAD_CONFIGURATION_ERROR)}
    for tag in tags:
        if of_tag[tag.tag_id] is None:
            log.warning("%s: %s.yaml declares no register %r", tag.tag_id, source.name, tag.address)
    client = ReadOnlyClient(host, port, options.timeout_s)
    try:
        await client.open()
        silent = set()
        for block in registers.blocks((register, options.poll_ms) for register in of_tag.values() if register):
            if block.unit_id in silent:
                continue
            try:
                parts = await read(client, block)
            except NoAnswer as error:
                log.warning("%s", error)
                silent.add(block.unit_id)
                continue
            for part, cells in parts:
                if isinstance(cells, Refused):
                    log.warning("%s: %s", part.place, cells)
                    found |= dict.fromkeys(part.registers, (None, QUALITIES.get(cells.code, BAD_DEVICE_FAILURE)))
                else:
                    found |= {register: (value, quality) for register, value, quality in part.values(cells)}
    except LostConnection as error:
        raise LostConnection(f"{source.url}: {error}. Is the device on, and its port open to this host?") from error
    finally:
        client.close()
    now = datetime.now(UTC)
    nothing = (None, BAD_NO_COMMUNICATION)
    return [Sample(tag.tag_id, *found.get(of_tag[tag.tag_id], nothing), None, None, now) for tag in tags]


def address_of(source: Source) -> tuple[str, int]:
    """Host and port of a source's url: modbus://host:502."""
    try:
        url = urlsplit(source.url)
        host, port = url.hostname, url.port or PORT
    except ValueError as error:
        raise DeclarationError(f"{source.name}.yaml: url {source.url!r}: {error}") from error
    if url.scheme not in ("modbus", "tcp") or not host or url.path.strip("/"):
        raise DeclarationError(f"{source.name}.yaml: url {source.url!r} must be such as modbus://10.0.0.7:502")
    return host, port
