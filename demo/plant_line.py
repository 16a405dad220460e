"""What the machines of the simulated plant do at any second, as a pure function of seed and time.

Three lines of four stations. A plant day runs from the calendar's contract hour to the next; each is drawn by itself
from its date, so every process sees the same plant. A second of a station is of one kind; what interrupts production is
painted over it in the order of `Kind`. Outside of shifts, and so on holidays, the plant stands. Counters are 16 bits
wide and begin at 0 with the first day of a month.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache

import numpy as np

from demo import plant_bearings, plant_calendar
from demo.plant_bearings import Bearing
from demo.plant_calendar import Span

SEED = 44
SECOND = 1_000_000  # microseconds
MODULUS = 65_536


class Kind(IntEnum):
    """What a station does in a second; a greater one hides a smaller one."""

    PRODUCE = 0
    WAIT = 1  # starved or blocked
    SHORT_STOP = 2
    FAULT = 3
    SETUP = 4
    NO_ORDER = 5
    UNAVAILABLE = 6  # the machine's controller does not answer
    MAINTENANCE = 7  # planned
    BREAK = 8
    FREE = 9  # outside of any shift


@dataclass(frozen=True)
class Line:
    line_id: str
    name: str
    vocabulary: str
    micro_stop_s: int
    cycles_s: dict[str, int]  # product -> ideal seconds of its slowest station
    faults: tuple[str, ...]
    short_stops: tuple[str, ...]

    @property
    def stations(self) -> tuple[str, ...]:
        return tuple(f"{self.line_id}-{n}0" for n in range(1, 5))

    @property
    def pacing(self) -> str:
        """The station whose states and counts stand for the line."""
        return self.stations[-1]


LINES = (
    Line("MCH", "Machining", "mtconnect", 180, {"HSG-A": 42, "HSG-B": 55}, ("T10", "T20", "Q10"), ("M20", "M30")),
    Line("ASM", "Assembly", "packml", 120, {"PMP-A": 110, "PMP-B": 140}, ("T40", "T50", "L10"), ("M10", "M20")),
    Line("PKG", "Packaging", "line", 60, {"BOX-A": 12, "BOX-B": 15}, ("T30", "T40", "L20"), ("M10",)),
)
STATIONS = {station: line for line in LINES for station in line.stations}

# Execution and mode of each kind, in the words of the line's controllers.
WORDS = {
    "mtconnect": {
        Kind.PRODUCE: ("ACTIVE", "AUTOMATIC"),
        Kind.WAIT: ("READY", "AUTOMATIC"),
        Kind.SHORT_STOP: ("FEED_HOLD", "AUTOMATIC"),
        Kind.FAULT: ("INTERRUPTED", "AUTOMATIC"),
        Kind.SETUP: ("ACTIVE", "MANUAL"),
        Kind.NO_ORDER: ("READY", "AUTOMATIC"),
        Kind.UNAVAILABLE: (None, None),
        Kind.MAINTENANCE: ("READY", "AUTOMATIC"),
        Kind.BREAK: ("READY", "AUTOMATIC"),
        Kind.FREE: ("READY", "AUTOMATIC"),
    },
    "packml": {
        Kind.PRODUCE: ("EXECUTE", "PRODUCTION"),
        Kind.WAIT: ("SUSPENDED", "PRODUCTION"),
        Kind.SHORT_STOP: ("HELD", "PRODUCTION"),
        Kind.FAULT: ("ABORTED", "PRODUCTION"),
        Kind.SETUP: ("STOPPED", "MANUAL"),
        Kind.NO_ORDER: ("IDLE", "PRODUCTION"),
        Kind.MAINTENANCE: ("IDLE", "MAINTENANCE"),
        Kind.BREAK: ("IDLE", "PRODUCTION"),
        Kind.FREE: ("IDLE", "PRODUCTION"),
    },
    "line": {
        Kind.PRODUCE: ("RUN", "PRODUCTION"),
        Kind.WAIT: ("IDLE", "PRODUCTION"),
        Kind.SHORT_STOP: ("STOP", "PRODUCTION"),
        Kind.FAULT: ("STOP", "PRODUCTION"),
        Kind.SETUP: ("IDLE", "SETUP"),
        Kind.NO_ORDER: ("IDLE", "PRODUCTION"),
        Kind.MAINTENANCE: ("IDLE", "PRODUCTION"),
        Kind.BREAK: ("IDLE", "PRODUCTION"),
        Kind.FREE: ("IDLE", "PRODUCTION"),
    },
}
SETUP_CODE = "S10"


@dataclass(frozen=True)
class Order:
    """A production order of a line; its set-up is part of it. Seconds count from the start of the plant day."""

    order_id: str
    product_id: str
    starts_s: int
    ends_s: int


@dataclass(frozen=True)
class LineDay:
    """What all stations of a line share on a plant day."""

    starts_at: datetime
    seconds: int
    orders: tuple[Order, ...]
    setups: tuple[Span, ...]
    maintenance: tuple[Span, ...]
    breaks: tuple[Span, ...]
    free: tuple[Span, ...]


@dataclass(frozen=True)
class StationDay:
    """A station second by second. `counted` has one value more than there are seconds: what was made before each."""

    starts_at: datetime
    kind: np.ndarray  # of Kind
    code: np.ndarray  # index into `codes`: what the controller raises
    codes: tuple[str, ...]
    order: np.ndarray  # index into the line's orders, -1 without
    counted: np.ndarray  # rows good, scrap, rework; since the day began


def line_day(line: str, day: date, seed: int = SEED) -> LineDay:
    return _line_day(line, day, seed, plant_calendar.calendar())


@lru_cache(maxsize=256)
def _line_day(line: str, day: date, seed: int, _calendar) -> LineDay:
    found = next(one for one in LINES if one.line_id == line)
    starts_at = plant_calendar.starts_at(day)
    seconds = int((plant_calendar.starts_at(day + plant_calendar.ONE_DAY) - starts_at).total_seconds())
    worked = plant_calendar.worked(day)
    if not worked:
        return LineDay(starts_at, seconds, (), (), (), (), ((0, seconds),))
    begun, ended = worked[0][0], worked[-1][1]
    length = ended - begun
    random = np.random.default_rng([seed, LINES.index(found), day.toordinal()])
    cuts = np.sort(random.uniform(0.15, 0.85, int(random.integers(1, 4))))
    edges = [begun, *(begun + int(cut * length) // 60 * 60 for cut in cuts), ended]
    products, orders, setups = list(found.cycles_s), [], []
    first = int(random.integers(0, len(products)))
    for n, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        if n and random.random() < 0.2:
            start += int(random.integers(20, 50)) * 60  # nobody had an order for the line
        setup_s = int(random.integers(5, 12) if n == 0 else random.integers(10, 28)) * 60
        if start + setup_s >= end:
            continue
        product = products[(first + n) % len(products)]
        orders.append(Order(f"{line}-{day:%y%m%d}-{n + 1}", product, start, end))
        setups.append((start, start + setup_s))
    maintenance = []
    if random.random() < 0.12:
        at = begun + int(random.uniform(0.1, 0.8) * length) // 900 * 900
        maintenance.append((at, at + int(random.integers(3, 7)) * 900))
    edges = [0, *(at for span in worked for at in span), seconds]
    free = tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)
    return LineDay(
        starts_at, seconds, tuple(orders), tuple(setups), tuple(maintenance), tuple(plant_calendar.breaks(day)), free
    )


def bearing_stops(station: str, day: date, seed: int = SEED) -> Iterator[tuple[Bearing, Span]]:
    """The bearings that fail or are replaced on a plant day, with the seconds for which the station stands for it."""
    begun, ended = plant_calendar.starts_at(day), plant_calendar.starts_at(day + plant_calendar.ONE_DAY)
    for one in plant_bearings.bearings(station, seed, ended):
        if begun <= one.stopped_at < ended:
            yield one, tuple(int((at - begun).total_seconds()) for at in (one.stopped_at, one.replaced_at))


def station_day(station: str, day: date, seed: int = SEED) -> StationDay:
    return _station_day(station, day, seed, plant_calendar.calendar())


@lru_cache(maxsize=64)
def _station_day(station: str, day: date, seed: int, _calendar) -> StationDay:
    line = STATIONS[station]
    shared = line_day(line.line_id, day, seed)
    random = np.random.default_rng([seed, 100 + list(STATIONS).index(station), day.toordinal()])
    kind = np.zeros(shared.seconds, dtype=np.int8)
    code = np.zeros(shared.seconds, dtype=np.int16)
    order = np.full(shared.seconds, -1, dtype=np.int16)
    drawn_codes = ("", SETUP_CODE, *line.faults, *line.short_stops)
    codes = (*drawn_codes, plant_bearings.CODE)

    def paint(what: Kind, spans, raised: int | np.ndarray = 0) -> None:
        for n, (start, end) in enumerate(spans):
            kind[start:end] = what
            code[start:end] = raised if isinstance(raised, int) else raised[n]

    def drawn(mean: float, lengths) -> list[tuple[int, int]]:
        number = int(random.poisson(mean))
        starts = random.integers(0, shared.seconds, number)
        return [(int(s), int(s + d)) for s, d in zip(starts, lengths(number), strict=True)]

    paint(Kind.WAIT, drawn(14, lambda n: random.integers(30, 240, n)))
    short = drawn(20, lambda n: random.integers(12, int(line.micro_stop_s * 0.9), n))
    paint(Kind.SHORT_STOP, short, random.integers(2 + len(line.faults), len(drawn_codes), len(short)))
    faults = drawn(5, lambda n: np.clip(random.exponential(700, n), line.micro_stop_s + 30, 4500).astype(int))
    paint(Kind.FAULT, faults, random.integers(2, 2 + len(line.faults), len(faults)))
    paint(Kind.SETUP, shared.setups, 1)
    repairs = list(bearing_stops(station, day, seed))
    paint(Kind.FAULT, [span for one, span in repairs if one.end == "failed"], len(drawn_codes))
    for n, one in enumerate(shared.orders):
        order[one.starts_s : one.ends_s] = n
    kind[order < 0], code[order < 0] = Kind.NO_ORDER, 0
    if line.vocabulary == "mtconnect":
        paint(Kind.UNAVAILABLE, drawn(0.06, lambda n: random.integers(600, 1500, n)))
    paint(Kind.MAINTENANCE, [*shared.maintenance, *(span for one, span in repairs if one.end != "failed")])
    paint(Kind.BREAK, shared.breaks)
    paint(Kind.FREE, shared.free)
    return StationDay(shared.starts_at, kind, code, codes, order, _counted(station, shared, kind, order, random))


def ideal_cycle_ms(station: str, product: str) -> int:
    """Ideal milliseconds per unit: the stations before the pacing one are a little faster."""
    line = STATIONS[station]
    return line.cycles_s[product] * (880 + 40 * line.stations.index(station))


def _counted(station: str, shared: LineDay, kind: np.ndarray, order: np.ndarray, random) -> np.ndarray:
    """A unit is made when the station has produced for one more cycle of its order; some are scrap, some to rework."""
    counted = np.zeros((3, shared.seconds + 1), dtype=np.int32)
    for n, one in enumerate(shared.orders):
        cycle_ms = ideal_cycle_ms(station, one.product_id) * int(random.integers(1010, 1090)) // 1000
        scrap, rework = (int(share) for share in random.integers((4, 3), (30, 20)))  # of a thousand
        running = np.concatenate([[0], np.cumsum((kind == Kind.PRODUCE) & (order == n))])
        made = running * 1000 // cycle_ms
        unit = np.arange(made[-1] + 1)
        is_scrap = np.diff(unit * scrap // 1000, prepend=0) > 0
        is_rework = (np.diff((unit * rework + 500) // 1000, prepend=0) > 0) & ~is_scrap
        is_good = ~(is_scrap | is_rework)
        is_good[0] = False
        for row, is_one in enumerate((is_good, is_scrap, is_rework)):
            counted[row] += np.cumsum(is_one).astype(np.int32)[made]
    return counted


def made_before(station: str, day: date, seed: int = SEED) -> tuple[int, int, int]:
    """Good, scrap and rework units since the counters began: with the first plant day of the month."""
    return _made_before(station, day, seed, plant_calendar.calendar())


@lru_cache(maxsize=4096)
def _made_before(station: str, day: date, seed: int, calendar) -> tuple[int, int, int]:
    if day.day == 1:
        return 0, 0, 0
    yesterday = day - timedelta(days=1)
    before, more = _made_before(station, yesterday, seed, calendar), station_day(station, yesterday, seed).counted
    return tuple(a + int(b) for a, b in zip(before, more[:, -1], strict=True))
