"""What the machines of the simulated plant do at any second, as a pure function of seed and time.

Three lines of four stations. A plant day runs from 06:00 to 06:00 by the site's clock; each is drawn by itself from its
date, so every process sees the same plant. A second of a station is of one kind; what interrupts production is painted
over it in the order of `Kind`. Counters are 16 bits wide and begin at 0 with the first day of a month.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

SEED = 44
ZONE = ZoneInfo("America/Chicago")
DAY_STARTS_H = 6
SECOND = 1_000_000  # microseconds
MODULUS = 65_536
BREAKS_AT_H = (10, 18, 26)  # by the site's clock, 26 is 02:00 after midnight
BREAK_S = 1800


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
        Kind.UNAVAILABLE: ("UNAVAILABLE", "UNAVAILABLE"),
        Kind.MAINTENANCE: ("READY", "AUTOMATIC"),
        Kind.BREAK: ("READY", "AUTOMATIC"),
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
    setups: tuple[tuple[int, int], ...]
    maintenance: tuple[tuple[int, int], ...]
    breaks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class StationDay:
    """A station second by second. `counted` has one value more than there are seconds: what was made before each."""

    starts_at: datetime
    kind: np.ndarray  # of Kind
    code: np.ndarray  # index into `codes`: what the controller raises
    codes: tuple[str, ...]
    order: np.ndarray  # index into the line's orders, -1 without
    counted: np.ndarray  # rows good, scrap, rework; since the day began


def plant_day(instant: datetime) -> date:
    """The plant day that runs at an instant."""
    return (instant.astimezone(ZONE) - timedelta(hours=DAY_STARTS_H)).date()


def at_clock(day: date, hour: float) -> datetime:
    """The instant, in UTC, of an hour by the site's clock; 26 is 02:00 on the next date."""
    on = day + timedelta(days=int(hour // 24))
    return datetime(on.year, on.month, on.day, int(hour % 24), tzinfo=ZONE).astimezone(UTC)


@lru_cache(maxsize=256)
def line_day(line: str, day: date, seed: int = SEED) -> LineDay:
    found = next(one for one in LINES if one.line_id == line)
    starts_at, ends_at = at_clock(day, DAY_STARTS_H), at_clock(day, DAY_STARTS_H + 24)
    seconds = int((ends_at - starts_at).total_seconds())
    random = np.random.default_rng([seed, LINES.index(found), day.toordinal()])
    cuts = np.sort(random.uniform(0.15, 0.85, int(random.integers(1, 4))))
    edges = [0, *(int(cut * seconds) // 60 * 60 for cut in cuts), seconds]
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
        at = int(random.uniform(0.1, 0.8) * seconds) // 900 * 900
        maintenance.append((at, at + int(random.integers(3, 7)) * 900))
    breaks = [int((at_clock(day, hour) - starts_at).total_seconds()) for hour in BREAKS_AT_H]
    return LineDay(
        starts_at,
        seconds,
        tuple(orders),
        tuple(setups),
        tuple(maintenance),
        tuple((at, at + BREAK_S) for at in breaks),
    )


@lru_cache(maxsize=64)
def station_day(station: str, day: date, seed: int = SEED) -> StationDay:
    line = STATIONS[station]
    shared = line_day(line.line_id, day, seed)
    random = np.random.default_rng([seed, 100 + list(STATIONS).index(station), day.toordinal()])
    kind = np.zeros(shared.seconds, dtype=np.int8)
    code = np.zeros(shared.seconds, dtype=np.int16)
    order = np.full(shared.seconds, -1, dtype=np.int16)
    codes = ("", SETUP_CODE, *line.faults, *line.short_stops)

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
    paint(Kind.SHORT_STOP, short, random.integers(2 + len(line.faults), len(codes), len(short)))
    faults = drawn(5, lambda n: np.clip(random.exponential(700, n), line.micro_stop_s + 30, 4500).astype(int))
    paint(Kind.FAULT, faults, random.integers(2, 2 + len(line.faults), len(faults)))
    paint(Kind.SETUP, shared.setups, 1)
    for n, one in enumerate(shared.orders):
        order[one.starts_s : one.ends_s] = n
    kind[order < 0], code[order < 0] = Kind.NO_ORDER, 0
    if line.vocabulary == "mtconnect":
        paint(Kind.UNAVAILABLE, drawn(0.06, lambda n: random.integers(600, 1500, n)))
    paint(Kind.MAINTENANCE, shared.maintenance)
    paint(Kind.BREAK, shared.breaks)
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


@lru_cache(maxsize=4096)
def made_on(station: str, day: date, seed: int = SEED) -> tuple[int, int, int]:
    """Good, scrap and rework units of a plant day."""
    return tuple(int(n) for n in station_day(station, day, seed).counted[:, -1])


@lru_cache(maxsize=4096)
def made_before(station: str, day: date, seed: int = SEED) -> tuple[int, int, int]:
    """Units since the counters began: with the first plant day of the month."""
    if day.day == 1:
        return 0, 0, 0
    yesterday = day - timedelta(days=1)
    before, more = made_before(station, yesterday, seed), made_on(station, yesterday, seed)
    return tuple(a + b for a, b in zip(before, more, strict=True))


@dataclass(frozen=True)
class Shown:
    """What the controller of a station shows."""

    execution: str
    mode: str
    fault_code: str
    good_count: int
    scrap_count: int
    rework_count: int


MEASUREMENTS = tuple(Shown.__dataclass_fields__)
COUNTS = ("good_count", "scrap_count", "rework_count")


def shown(station: str, at: datetime, seed: int = SEED) -> Shown:
    """What the station shows at a whole second."""
    day = plant_day(at)
    found = station_day(station, day, seed)
    n = int((at - found.starts_at).total_seconds())
    kind = Kind(found.kind[n])
    execution, mode = WORDS[STATIONS[station].vocabulary][kind]
    raised = found.codes[found.code[n]]
    counts = np.add(made_before(station, day, seed), found.counted[:, n + 1]) % MODULUS  # with what this second made
    return Shown(execution, mode, raised or "none", *(int(count) for count in counts))


def truth(tag_id: str, at: np.ndarray, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """What a tag showed at many times (microseconds): texts or whole numbers, and their qualities, which are good."""
    station, measurement = tag_id.split(".", 1)
    at = np.asarray(at, dtype=np.int64)
    values = np.empty(len(at), dtype=object if measurement in ("execution", "mode", "fault_code") else np.int64)
    hours = at // (3600 * SECOND)
    for hour in np.unique(hours):  # an hour lies in one plant day
        day = plant_day(datetime.fromtimestamp(int(hour) * 3600, UTC))
        rows = np.flatnonzero(hours == hour)
        found = station_day(station, day, seed)
        n = at[rows] // SECOND - int(found.starts_at.timestamp())
        if measurement in COUNTS:
            row = COUNTS.index(measurement)
            values[rows] = (made_before(station, day, seed)[row] + found.counted[row][n + 1]) % MODULUS
        elif measurement == "fault_code":
            values[rows] = np.array([code or "none" for code in found.codes], dtype=object)[found.code[n]]
        else:
            values[rows] = words_of(station)[found.kind[n], ("execution", "mode").index(measurement)]
    return values, np.zeros(len(at), dtype=np.int64)


def words_of(station: str) -> np.ndarray:
    """Execution and mode by kind, as an array of texts."""
    words = WORDS[STATIONS[station].vocabulary]
    return np.array([words.get(kind, ("", "")) for kind in Kind], dtype=object)
