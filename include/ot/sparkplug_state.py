"""What is remembered of Sparkplug edge nodes, of their devices, and of messages that wait."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from include.ot.reading import AHEAD, EARLIEST, Value, microseconds
from include.ot.sparkplug_payload import Metric, Payload

MS = 1_000
RECENT = 2048  # messages of a node that are known again; more are not on their way unacknowledged
_EARLIEST, _AHEAD = microseconds(EARLIEST), AHEAD // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Known:
    """A metric as its birth describes it."""

    datatype: int
    alias: int | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    description: str = ""


@dataclass(slots=True)
class Last:
    """What a metric last was, not counting history that came late."""

    value: Value
    quality: int
    us: int


@dataclass(slots=True)
class Scope:
    """The metrics of a node itself, or of one of its devices."""

    metrics: dict[str, Known] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # by alias, of the birth in force
    born_us: int | None = None  # the latest birth, whether or not it is still in force
    is_alive: bool = False
    bad_us: int | None = None  # when its tags were told as bad: it died, or the line to the broker was cut
    gap_us: int | None = None  # it is dead: from when on samples may be missing
    unresolved_us: int | None = None  # since when a birth is needed
    awaited_us: int | None = None  # its node was born again and it was not yet; our clock
    before: tuple[int, dict[int, str], dict[str, Known]] | None = None  # the birth before: when, names, metrics

    def end(self) -> None:
        """Its birth is in force no longer; what comes late still finds it."""
        if self.names and self.born_us is not None:
            self.before = (self.born_us, self.names, self.metrics)
        self.names = {}

    def of_alias(self, alias: int, at_us: int | None) -> tuple[str, Known | None]:
        """Name and description of an alias: by the birth in force, or where `at_us` is given, the one in force then."""
        names, metrics = self.names, self.metrics
        if at_us is not None and not (names and self.born_us is not None and at_us >= self.born_us):
            _, names, metrics = self.before if self.before and at_us >= self.before[0] else (0, {}, {})
        name = names.get(alias, "")
        return name, metrics.get(name)

    @property
    def is_dead(self) -> bool:
        return self.gap_us is not None


@dataclass(slots=True)
class Incoming:
    """One message."""

    kind: str
    node: str
    device: str
    payload: Payload
    digest: str  # of the whole message; empty where nobody keeps it
    sent_us: int | None  # the sender's time, unless its clock was never set
    received_us: int
    received_at: datetime
    ack: Callable[[], None]

    @property
    def is_kept(self) -> bool:
        return bool(self.digest)

    @property
    def scope(self) -> str:
        return f"{self.node}/{self.device}" if self.device else self.node

    @property
    def at_us(self) -> int:
        return self.received_us if self.sent_us is None else self.sent_us

    def time_of(self, metric: Metric) -> int | None:
        return metric.at_us if is_sane(metric.at_us, self.received_us) else self.sent_us


@dataclass(slots=True)
class Node:
    name: str
    bd: int | None = None
    expected: int | None = None  # the next number
    last_us: int | None = None  # time of the latest message
    heard_us: int | None = None  # and when it came, by our clock
    in_doubt: bool = False  # a birth may have been lost
    is_cut: bool = False  # the line to the broker was cut, and not all tags are told as they are since
    is_kept: bool = True  # the broker keeps its messages for us; since its birth, every one
    taken: int = 0  # messages that the broker keeps, counted
    is_settled: bool = False  # since the line was made
    recent: dict[str, int] = field(default_factory=dict)  # the latest of them: digest, and which it was
    held: list[Incoming] = field(default_factory=list)  # in order of time
    held_until: float = math.inf  # our clock, microseconds

    def take(self, digest: str) -> int:
        """Note a message that the broker keeps; returns which one it is."""
        self.recent[digest] = number = self.taken
        self.taken += 1
        if len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]
        return number

    def is_next(self, message: Incoming) -> bool:
        return self.expected is None or message.payload.seq in (None, self.expected)

    def clock(self, now_us: int) -> int:
        """A moment of ours on the node's clock: later than all that it has said."""
        if self.last_us is None or self.heard_us is None:
            return now_us
        return max(self.last_us + MS, self.last_us + now_us - self.heard_us)


def scope_of(address: str) -> tuple[str, str]:
    """The scope and the metric of a tag's address, `group/edge[/device]:metric`. Raises `ValueError`."""
    scope, found, metric = address.partition(":")
    levels = scope.split("/")
    if not (found and metric and len(levels) in (2, 3) and all(levels)):
        raise ValueError(f"the address {address!r} is not group/edge:metric or group/edge/device:metric")
    return scope, metric


def node_of(scope: str) -> str:
    """The node of a scope, `group/edge`."""
    return "/".join(scope.split("/")[:2])


def described(metric: Metric) -> Known:
    """A metric of a birth."""
    text = metric.description or metric.properties.get("documentation", "")
    ends = [metric.properties.get(key) for key in ("engLow", "engHigh")]
    low, high = (float(end) if isinstance(end, int | float) else None for end in ends)
    return Known(metric.datatype, metric.alias, metric.unit, low, high, text if isinstance(text, str) else "")


def is_sane(us: int | None, now_us: int) -> bool:
    """Whether a time can be meant: a clock that was never set stands before 2000, a wrong one far ahead."""
    return us is not None and _EARLIEST <= us <= now_us + _AHEAD
