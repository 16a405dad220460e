"""The SCADA hours of wells in plain Python, straight from their definition: what is known of a tag at one instant.

Slow and simple on purpose: every time at which anything may change is a cut, and between two cuts the definition
is asked once. The models must agree with it to the last digit.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext

from include.contract_day import ContractDay
from include.ot.reading import BAD_NO_COMMUNICATION, UNCERTAIN, is_bad

HOUR = timedelta(hours=1)
MAX_HOLD, LOOK_BACK = 2 * HOUR, 840 * HOUR
ABSURD = 1_000_000_000
LOSES_READINGS = ("outbox_full", "spool_corrupt")
RATES = {"oil_rate": "oil", "gas_rate": "gas", "water_rate": "water", "water_injection_rate": "water_injected"}
OTHERS = {
    "tubing_head_pressure": "tubing_head_pressure_kpa",
    "casing_pressure": "casing_pressure_kpa",
    "tubing_head_temperature": "tubing_head_temperature_degc",
    "choke_opening": "choke_opening_ratio",
}
SM3 = {"sm3": Decimal(1), "bbl": Decimal("0.158987294928"), "mcf": Decimal("28.328")}
KPA = {"kpa": Decimal(1), "psi": Decimal("6.894757293168"), "bar": Decimal(100)}


@dataclass(frozen=True)
class Row:
    """One row of ot.readings, as far as figures depend on it."""

    tag_id: str
    observed_at: datetime
    sequence: int
    value: float | bool | None
    quality: int
    clock: str
    unit: str
    ordinal: int


@dataclass(frozen=True)
class Missing:
    """The latest state of one gap of one tag."""

    tag_id: str
    from_at: datetime
    to_at: datetime
    cause: str
    state: str


@dataclass(frozen=True)
class Point:
    tag_id: str
    well_id: str
    measurement: str
    source: str


def ms(at: datetime) -> int:
    """Whole milliseconds since 1970; what is finer is cut off."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def to(value: Decimal, places: int, rounding: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), rounding)


def hours_of(day: ContractDay, first: date, last: date) -> list[tuple[date, datetime, datetime]]:
    """Contract day, start and end of each hour."""
    found = []
    for n in range((last - first).days + 1):
        at, ends_at = day.starts_at(first + timedelta(days=n)), day.ends_at(first + timedelta(days=n))
        while at < ends_at:
            found.append((first + timedelta(days=n), at, min(at + HOUR, ends_at)))
            at += HOUR
    return found


class Tag:
    """What is known of one tag at an instant (in ms)."""

    def __init__(self, rows: Iterable[Row], gaps: Sequence[Missing], source_ms: list[int], starts_ms: int) -> None:
        first: dict[tuple[datetime, int], Row] = {}
        for row in sorted(rows, key=lambda r: r.ordinal):
            first.setdefault((row.observed_at, row.sequence), row)
        self.rows = [
            row
            for _, row in sorted(first.items())
            if ms(row.observed_at) >= starts_ms - LOOK_BACK // timedelta(milliseconds=1)
            and not (
                row.quality == BAD_NO_COMMUNICATION
                and row.clock == "bridge"
                and any(g.state == "backfilled" and g.from_at <= row.observed_at <= g.to_at for g in gaps)
            )
        ]
        self.times = [ms(row.observed_at) for row in self.rows]
        self.gaps = [g for g in gaps if g.state in ("open", "lost")]
        self.source_ms = source_ms

    def at(self, t: int) -> tuple[Decimal, str] | None:
        """Value and unit that are known at `t`, or None."""
        n = bisect_right(self.times, t) - 1
        if n < 0 or (value := usable(self.rows[n])) is None:
            return None
        heard = bisect_right(self.source_ms, t) - 1
        if heard < 0 or t - self.source_ms[heard] >= MAX_HOLD // timedelta(milliseconds=1):
            return None
        for gap in self.gaps:
            if ms(gap.from_at) <= t < ms(gap.to_at):
                return None
            if gap.cause in LOSES_READINGS and self.times[n] < ms(gap.to_at) <= t:
                return None
        return value, self.rows[n].unit

    def cuts(self) -> set[int]:
        hold = MAX_HOLD // timedelta(milliseconds=1)
        return {
            *self.times,
            *(t for gap in self.gaps for t in (ms(gap.from_at), ms(gap.to_at))),
            *self.source_ms,
            *(t + hold for t in self.source_ms),
        }


def usable(row: Row) -> Decimal | None:
    if is_bad(row.quality) or row.value is None:
        return None
    if isinstance(row.value, bool):
        return Decimal(int(row.value))
    return to(Decimal(repr(row.value)), 6, ROUND_HALF_UP) if abs(row.value) < ABSURD else None


def scada_hours(
    points: Sequence[Point],
    rows: Sequence[Row],
    gaps: Sequence[Missing],
    hours: Sequence[tuple[date, datetime, datetime]],
    calendar: str,
    field_of: dict[str, str],
) -> dict[tuple[str, datetime], dict]:
    """The rows of fct_well_scada_hourly by well and hour. `points` are all tags of the pack."""
    by_tag: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_tag[row.tag_id].append(row)
    window = ms(hours[0][1]), ms(hours[-1][2])
    heard: dict[str, set[int]] = defaultdict(set)
    for point in points:
        for row in by_tag[point.tag_id]:
            if row.observed_at < hours[-1][2] and not (row.quality == BAD_NO_COMMUNICATION and row.clock == "bridge"):
                heard[point.source].add(ms(row.observed_at))
    found: dict[tuple[str, datetime], dict] = {}
    parts: dict[tuple[str, datetime], dict] = defaultdict(lambda: defaultdict(lambda: defaultdict(Decimal)))
    counts: dict[tuple[str, datetime], list[int]] = defaultdict(lambda: [0, 0, 0])
    days = {started_at: (day, ended_at) for day, started_at, ended_at in hours}
    for point in points:
        if point.well_id not in field_of:
            continue
        mine = [g for g in gaps if g.tag_id == point.tag_id]
        tag = Tag(by_tag[point.tag_id], mine, sorted(heard[point.source]), window[0])
        cuts = sorted(c for c in tag.cuts() if window[0] < c < window[1])
        for _, started_at, ended_at in hours:
            start, end, key = ms(started_at), ms(ended_at), (point.well_id, started_at)
            inside = [start, *cuts[bisect_right(cuts, start) : bisect_right(cuts, end - 1)], end]
            for a, b in zip(inside, inside[1:], strict=False):
                if known := tag.at(a):
                    part = parts[key][point.measurement][known[1]]
                    part_ms = parts[key][point.measurement][f"{known[1]} ms"]
                    parts[key][point.measurement][known[1]] = part + known[0] * (b - a)
                    parts[key][point.measurement][f"{known[1]} ms"] = part_ms + (b - a)
                    if known[0] != 0:
                        parts[key][point.measurement]["not zero"] += b - a
        for row in tag.rows:
            at = ms(row.observed_at)
            if window[0] <= at < window[1]:
                started_at = max(s for s in days if ms(s) <= at)
                value = usable(row)
                count = counts[point.well_id, started_at]
                count[0] += 1
                count[1] += value is not None and row.quality >= UNCERTAIN
                count[2] += value is None
    with localcontext(Context(prec=60)):
        for key in parts.keys() | counts.keys():
            day, ended_at = days[key[1]]
            found[key] = {
                "calendar": calendar,
                "production_date": day,
                "well_id": key[0],
                "field_code": field_of[key[0]],
                "started_at": key[1],
                "ended_at": ended_at,
                **_figures(parts[key]),
                **dict(zip(("readings", "uncertain_readings", "bad_readings"), counts[key], strict=True)),
            }
    return found


def _figures(by_measurement: dict[str, dict[str, Decimal]]) -> dict[str, Decimal | None]:
    said: dict[str, Decimal | None] = {}
    for measurement in [*OTHERS, *RATES]:
        part = by_measurement.get(measurement, {})
        units = [u for u in part if not u.endswith(" ms") and u != "not zero"]
        covered = sum((part[f"{u} ms"] for u in units), Decimal(0))
        means = {u: to(part[u] / part[f"{u} ms"], 12, ROUND_HALF_UP) for u in units}
        weighted = sum((converted(measurement, m, u) * part[f"{u} ms"] for u, m in means.items()), Decimal(0))
        said[OTHERS.get(measurement, f"{measurement}_sm3_per_d")] = (
            to(weighted / covered, 6, ROUND_HALF_UP) if covered else None
        )
        said[f"{measurement}_covered_s"] = to(covered / 1000, 3, ROUND_HALF_UP)
        if measurement in RATES:
            volumes = [volume(part[u], u) for u in units]
            said[f"{RATES[measurement]}_sm3"] = sum(volumes, Decimal(0)) if volumes else None
    part = by_measurement.get("is_running", {})
    covered = sum((v for k, v in part.items() if k.endswith(" ms")), Decimal(0))
    said["uptime_s"] = to(part.get("not zero", Decimal(0)) / 1000, 3, ROUND_HALF_UP) if covered else None
    said["uptime_covered_s"] = to(covered / 1000, 3, ROUND_HALF_UP)
    return said


def converted(measurement: str, mean: Decimal, unit: str) -> Decimal:
    if measurement.endswith("_pressure"):
        return to(mean * KPA[unit], 6, ROUND_HALF_EVEN)
    if measurement == "tubing_head_temperature":
        if unit == "degc":
            return to(mean, 6, ROUND_HALF_EVEN)
        return to(to((mean - 32) * 5, 6, ROUND_HALF_UP) / 9, 6, ROUND_HALF_UP)
    if measurement == "choke_opening":
        return to(mean / 100 if unit == "pct" else mean, 6, ROUND_HALF_EVEN)
    product, per_day = rate(unit)
    return to(mean * per_day * SM3[product], 6, ROUND_HALF_EVEN)


def volume(rate_ms: Decimal, unit: str) -> Decimal:
    product, per_day = rate(unit)
    return to(to(rate_ms / 86_400_000, 12, ROUND_HALF_UP) * per_day * SM3[product], 6, ROUND_HALF_EVEN)


def rate(unit: str) -> tuple[str, int]:
    product, _, per = unit.partition("_per_")
    return product, {"d": 1, "h": 24}[per]
