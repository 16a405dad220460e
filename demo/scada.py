"""What the instruments of the demo operator's wells show at any instant: the truth that the mirror must repeat.

    python -m demo.scada show MES-01.oil_rate --at 2026-11-24T12:00:00Z
    python -m demo.scada compare --from 2026-11-24T11:00:00Z --to 2026-11-24T12:00:00Z

`truth(tag_id, at)` is a pure function of the operator's identity: the same in every process, in the past and in the
future, so nothing has to be remembered to check a reading. It follows the operator's own model: rates integrate to
the true volumes of the contract day, and a well that is down by the field database is down here to the second.
Only +, -, * and / of doubles and integers are used, which give the same bits everywhere.
"""

import argparse
import fcntl
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from demo.days import Days
from demo.decline import potential
from demo.downtime import draw_downtime
from demo.network import FIELDS, build_network
from demo.operator import WELLS, Config, history
from demo.scada_tags import line_rows, well_rows
from include.settings import settings

log = logging.getLogger("demo.scada")

GOOD = 0
UNCERTAIN_SENSOR = 0x40930000  # UncertainSensorNotAccurate
BAD_SENSOR = 0x808C0000  # BadSensorFailure

SECOND = 1_000_000  # all times are microseconds since 1970 UTC
QUARTER = 900 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
AHEAD = timedelta(days=3)  # how far past the asked time the operator is drawn, so that a day's edge costs nothing

PSI_TO_BAR = 0.0689476
DIGITS = {  # decimals of the transmitter: us, metric
    "tubing_head_pressure": (1, 2),
    "casing_pressure": (1, 2),
    "tubing_head_temperature": (1, 1),
    "choke_opening": (1, 1),
    "oil_rate": (1, 2),
    "gas_rate": (1, 1),
    "water_injection_rate": (1, 2),
}
# Instruments that misbehave. Spells of some minutes come once in four hours; a stuck one shows one value for 3 hours.
FAULTS = {
    "EAG-07.casing_pressure": "nan",
    "MES-09.oil_rate": "nan",
    "MES-11.tubing_head_temperature": "bad",
    "NOR-08.casing_pressure": "bad",
    "EAG-15.choke_opening": "uncertain",
    "NOR-03.tubing_head_pressure": "stuck",
}
SPELL_EVERY, SPELL_LONGEST = 4 * HOUR, 15 * 60 * SECOND
STUCK_FROM, STUCK_TO = 2 * HOUR, 5 * HOUR  # of each UTC day

Times = datetime | np.ndarray


class World:
    """The wells of one operator. Everything is drawn from its `Config`; a later time only adds to what was drawn."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.network = build_network(config.seed, config.start, config.days, config.wells)
        self.well = {well_id: n for n, well_id in enumerate(self.network.well_ids)}
        self._is_metric = np.array([FIELDS[f].unit_system == "metric" for f in self.network.field])
        self._until = 0

    def _draw(self, until: int) -> None:
        if until < self._until:
            return
        config, network = self.config, self.network
        told = datetime.combine(config.start, datetime.min.time(), UTC) + timedelta(days=config.days + 4)
        days = Days(config.start, max(moment(until), told) + AHEAD)
        self._potential = potential(network, days.count)
        down = draw_downtime(network, days, config.days).grid
        for well in np.flatnonzero(network.born > 0):
            down[well, : days.edges[network.field[well], min(network.born[well], days.count)]] = 1
        self._down = down
        self._zero = microseconds(days.zero)
        self._day = np.stack([np.searchsorted(edges, np.arange(down.shape[1]), "right") - 1 for edges in days.edges])
        self._day = np.clip(self._day, 0, days.count - 1)
        self._day_start = self._zero + days.edges * QUARTER
        self._until = int(self._day_start.min(axis=0)[-1])

    def at(self, measurement: str, wells: np.ndarray, at: np.ndarray) -> np.ndarray:
        """What sound instruments show, as doubles (flags as 0 and 1). `wells` and `at` broadcast."""
        self._draw(int(np.max(at)))
        return _Look(self, wells, at).show(measurement)


class _Look:
    """One look at the world: the same wells and times for several quantities."""

    def __init__(self, world: World, wells: np.ndarray, at: np.ndarray) -> None:
        self.world, (self.w, self.at) = world, np.broadcast_arrays(wells, at)
        since = np.maximum(self.at - world._zero, 0)
        self.quarter, self.within = since // QUARTER, since % QUARTER
        field = world.network.field[self.w]
        self.day = world._day[field, self.quarter]
        self.into_day = self.at - world._day_start[field, self.day]

    def show(self, measurement: str) -> np.ndarray:
        if measurement == "is_running":
            return (self.opening() > 0).astype(float)
        exact = getattr(self, measurement)()
        us, metric = (10.0**digits for digits in DIGITS[measurement])
        steps = np.where(self.world._is_metric[self.w], metric, us)
        shown = np.rint(exact * steps) / steps
        if measurement.endswith("_rate"):  # the terminal units of the US fields hold single floats
            return np.where(self.world._is_metric[self.w], shown, shown.astype(np.float32).astype(float))
        return shown

    def opening(self, back: int = 0) -> np.ndarray:
        """How far the well is open, 0 to 1, `back` quarter hours ago: by the downtime events."""
        return 1.0 - self.world._down[self.w, np.maximum(self.quarter - back, 0)].astype(float)

    def followed(self, ramp_s: int, of=lambda opening: opening) -> np.ndarray:
        """A quantity that follows the opening and needs `ramp_s` seconds to do so."""
        ramp = ramp_s * SECOND
        newer = of(self.opening())
        value = newer
        for k in range(-(-ramp // QUARTER)):
            older = of(self.opening(k + 1))
            value = value + (older - newer) * (1 - smooth((self.within + k * QUARTER) / ramp))
            newer = older
        return value

    def level(self, quantity: str) -> np.ndarray:
        """The potential of the contract day, entered within half an hour of its start."""
        table = getattr(self.world._potential, quantity)
        now, before = table[self.day, self.w], table[np.maximum(self.day - 1, 0), self.w]
        return before + (now - before) * smooth(self.into_day / (1800 * SECOND))

    def noise(self, name: str, period_s: int) -> np.ndarray:
        """-1 to 1, smooth, a new direction about every `period_s` seconds."""
        period = period_s * SECOND
        key = hashed(self.w, self.world.config.seed, crc32(name.encode()), period_s)
        knot, part = self.at // period, smooth((self.at % period) / period)
        a, b = unit(key, knot), unit(key, knot + 1)
        return a + (b - a) * part

    def tubing_psi(self) -> np.ndarray:
        flowing = self.level("tubing_pressure") * (0.4 + 0.6 * self.followed(900))
        return flowing * (1 + 0.012 * self.noise("tubing", 600) + 0.0015 * self.noise("tubing", 45))

    def tubing_head_pressure(self) -> np.ndarray:
        return self._pressure(self.tubing_psi() + 0.3 * self.noise("tubing", 5))

    def casing_pressure(self) -> np.ndarray:
        behind = self.level("tubing_pressure") * (0.4 + 0.6 * self.followed(1800))
        slow = 110 + 14 * self.noise("casing", 3600) + 1.5 * self.noise("casing", 60)
        return self._pressure(behind * 1.12 + slow + 0.3 * self.noise("casing", 7))

    def _pressure(self, psi: np.ndarray) -> np.ndarray:
        return np.where(self.world._is_metric[self.w], psi * PSI_TO_BAR, psi)

    def tubing_head_temperature(self) -> np.ndarray:
        is_metric = self.world._is_metric[self.w]
        afternoon = 1 - abs((self.at + 3 * HOUR) % DAY - DAY // 2) / (DAY // 2)  # 0 to 1, highest at 21:00 UTC
        outside = np.where(is_metric, 46 + 2 * smooth(afternoon), 66 + 14 * smooth(afternoon))
        flowing = 118.0 + 9 * (self.w % 6)
        near = self.followed(5400, lambda opening: opening * (2 - opening))
        degf = outside + (flowing - outside) * near + 0.9 * self.noise("temp", 900) + 0.08 * self.noise("temp", 20)
        return np.where(is_metric, (degf - 32) / 1.8, degf)

    def choke_opening(self) -> np.ndarray:
        open_pct = (18 + 4 * (self.w % 9)) * 100 / 64
        place = self.followed(60, lambda opening: np.where(opening > 0, 0.4 + 0.6 * opening, 0.0))
        return np.maximum(open_pct * place + 0.06 * self.noise("choke", 20) * (place > 0), 0)

    def _rate(self, quantity: str) -> np.ndarray:
        """A stop is at once; coming back takes three minutes. The contract day adds up to the true volume."""
        per_day = self.level(quantity) * np.minimum(self.followed(180), self.opening())
        rate = per_day * (
            1 + 0.015 * self.noise(quantity, 600) + 0.004 * self.noise(quantity, 30) + 0.001 * self.noise(quantity, 4)
        )
        return np.where(self.world._is_metric[self.w], rate / 24, rate)

    def oil_rate(self) -> np.ndarray:
        return self._rate("oil")

    def gas_rate(self) -> np.ndarray:
        return self._rate("gas")

    def water_injection_rate(self) -> np.ndarray:
        return self._rate("water_injected")


def smooth(x: np.ndarray) -> np.ndarray:
    """0 up to 0, 1 from 1 on, and without a corner between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def hashed(*parts: Any) -> np.ndarray:
    """64 well mixed bits of integers or integer arrays (splitmix64)."""
    found = np.zeros(1, dtype=np.uint64)
    for part in parts:
        found = found * np.uint64(0x9E3779B97F4A7C15) + np.asarray(part).astype(np.uint64) + np.uint64(1)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found = found ^ (found >> np.uint64(31))
    return found


def unit(*parts: Any) -> np.ndarray:
    """-1 to 1, without a pattern."""
    return (hashed(*parts) >> np.uint64(11)).astype(float) * (2.0 / (1 << 53)) - 1


def microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at))


# Who the operator is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Since:
    """From `since` on, the instruments are those of the operator of `config`."""

    since: int
    config: Config


def journal_path() -> Path:
    return settings.state_dir / "demo" / "scada.json"


def remember_operator() -> None:
    """Note whose wells are simulated: the operator in the field database, or a new one while there is none.

    A simulator calls it at its start. A database that was filled anew makes another operator, whose instruments
    take over some seconds later; what was shown before stays true for its time.
    """
    loaded, path = _loaded(), journal_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = list(_journal(path, _stamp(path)))
        if told and loaded in (None, told[-1].config):
            return
        since = microseconds(datetime.now(UTC).replace(microsecond=0)) + 10 * SECOND if told else 0
        told.append(Since(since, loaded or history()[0]))
        new = path.with_suffix(".new")
        new.write_text(
            json.dumps([{"since": s.since, **asdict(s.config), "start": s.config.start.isoformat()} for s in told])
        )
        new.replace(path)


def _loaded() -> Config | None:
    import psycopg

    from demo.load import fieldops_dsn, remembered
    from include.errors import MissingSecret

    try:
        known = remembered(fieldops_dsn())
    except (psycopg.Error, MissingSecret):
        return None
    return replace(known[0], wells=WELLS) if known else None


def operators() -> tuple[Since, ...]:
    """Whose instruments were shown since when, the earliest first; one is chosen where nobody did yet."""
    path = journal_path()
    if not path.exists():
        remember_operator()
    return _journal(path, _stamp(path))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


@cache
def _journal(path: Path, stamp: tuple[int, int] | None) -> tuple[Since, ...]:
    if stamp is None:
        return ()
    return tuple(
        Since(e.pop("since"), Config(**{**e, "start": date.fromisoformat(e["start"])}))
        for e in json.loads(path.read_text())
    )


@cache
def world(config: Config) -> World:
    return World(config)


# The truth ----------------------------------------------------------------------------------------------------------


def snapshot(tag_ids: Sequence[str], at: np.ndarray, of: World | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Values and qualities of many tags at many times (microseconds): arrays of times by tags.

    A flag is 0 or 1. A value is NaN where the instrument says NaN (quality good) and where its quality is bad.
    """
    at = np.asarray(at, dtype=np.int64)
    values, quality = np.empty((len(at), len(tag_ids))), np.zeros((len(at), len(tag_ids)), dtype=np.int64)
    if of is not None:
        spans = [(np.ones(len(at), dtype=bool), of)]
    else:
        told = operators()
        which = np.searchsorted([s.since for s in told], at, "right") - 1
        spans = [(which == n, world(told[n].config)) for n in np.unique(np.maximum(which, 0))]
    for rows, there in spans:
        values[rows], quality[rows] = _shown(there, tag_ids, at[rows])
    return values, quality


def _shown(there: World, tag_ids: Sequence[str], at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, quality = np.empty((len(at), len(tag_ids))), np.zeros((len(at), len(tag_ids)), dtype=np.int64)
    columns: dict[str, list[int]] = {}
    for n, tag_id in enumerate(tag_ids):
        columns.setdefault(tag_id.split(".", 1)[1], []).append(n)
    for measurement, places in columns.items():
        wells = np.array([there.well[tag_ids[n].split(".", 1)[0]] for n in places])
        values[:, places] = there.at(measurement, wells, at[:, None])
    for n, tag_id in enumerate(tag_ids):
        if kind := FAULTS.get(tag_id):
            _misbehave(there, tag_id, kind, at, values[:, n], quality[:, n])
    return values, quality


def _misbehave(there: World, tag_id: str, kind: str, at: np.ndarray, values: np.ndarray, quality: np.ndarray) -> None:
    """Change values and qualities in place as the fault of the instrument does."""
    if kind == "stuck":
        of_day = at % DAY
        is_stuck = (of_day >= STUCK_FROM) & (of_day < STUCK_TO)
        if is_stuck.any():
            well_id, measurement = tag_id.split(".", 1)
            since = (at - of_day + STUCK_FROM)[is_stuck]
            values[is_stuck] = there.at(measurement, np.array(there.well[well_id]), since)
        return
    spell = at // SPELL_EVERY
    key = crc32(tag_id.encode())
    length = SPELL_LONGEST * (0.6 + 0.4 * unit(key, 1, spell))
    start = (SPELL_EVERY - SPELL_LONGEST) * (0.5 + 0.5 * unit(key, 2, spell))
    into = at % SPELL_EVERY
    is_ill = (into >= start) & (into < start + length)
    if kind != "uncertain":
        values[is_ill] = np.nan
    if kind != "nan":
        quality[is_ill] = BAD_SENSOR if kind == "bad" else UNCERTAIN_SENSOR


def truth(tag_id: str, at: Times, of: World | None = None) -> tuple[Any, Any]:
    """What the instrument behind a tag shows at an instant, or at an array of datetime64 or microseconds.

    One instant gives (value, quality): a float (NaN if the instrument says so), a bool, or None where the quality
    is bad. An array gives two arrays, doubles and status codes.
    """
    if isinstance(at, datetime):
        values, quality = snapshot([tag_id], np.array([microseconds(at)]), of)
        code = int(quality[0, 0])
        if code >> 31:
            return None, code
        return (bool(values[0, 0]) if tag_id.endswith(".is_running") else float(values[0, 0])), code
    at = np.asarray(at)
    if at.dtype.kind == "M":
        at = at.astype("datetime64[us]").astype(np.int64)
    values, quality = snapshot([tag_id], at, of)
    return values[:, 0], quality[:, 0]


@cache
def well_tags(source: str | None = None) -> tuple[str, ...]:
    return tuple(row.tag_id for row in well_rows() if source in (None, row.source))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.scada", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    shown = verbs.add_parser("show", help="the truth of one tag")
    shown.add_argument("tag", metavar="TAG")
    shown.add_argument("--at", type=_moment, default=datetime.now(UTC), help="instant with a zone; default now")
    compared = verbs.add_parser("compare", help="ot.readings against the truth; exit 1 where they differ")
    compared.add_argument("--from", dest="first", type=_moment, help="default: an hour before --to")
    compared.add_argument("--to", type=_moment, help="default: a minute ago, so that all has landed")
    compared.add_argument("--only", metavar="SOURCE|TAG", help="one source or one tag")
    compared.add_argument("--slack-s", type=int, default=5, help="how long a polled tag may lag (default 5)")
    chosen = parser.parse_args(arguments)
    from demo.scada_compare import compare, tell, true_at

    if chosen.verb == "show":
        if chosen.tag not in {row.tag_id for row in (*well_rows(), *line_rows())}:
            parser.error(f"{chosen.tag!r} is no tag of the demo; they stand in dbt/seeds/*/*_tags.csv")
        values, quality = true_at(chosen.tag, np.array([microseconds(chosen.at)]))
        print(f"{chosen.tag} at {chosen.at.isoformat()}: {values[0]} (quality {quality[0]:#x})")
        return 0
    last = chosen.to or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    first = chosen.first or last - timedelta(hours=1)
    found, age = compare(microseconds(first), microseconds(last), chosen.only, chosen.slack_s)
    return tell(found, age, first, last)


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no zone; write 2026-11-24T12:00:00Z")
    return at.astimezone(UTC)


if __name__ == "__main__":
    sys.exit(main())
