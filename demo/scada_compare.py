"""Compare what the mirror has stored with what the instruments showed: `python -m demo.scada compare`.

Two questions a tag. Was each reading true? And, in each second in which the simulator was up, was the last reading
still the truth, to the deadband? The second finds what was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from demo import plant_shown
from demo.plant_line import STATIONS
from demo.scada import GOOD, SECOND, moment, truth
from demo.scada_tags import AGENT_SOURCE, PLANT_SOURCE, Row, line_rows, well_rows
from demo.simulators import read_runs, simulator_dir

SIMULATORS = {  # by source
    "field_scada": "opcua",
    "field_rtu": "modbus",
    PLANT_SOURCE: "line",
    AGENT_SOURCE: "mtconnect",
}
OUT_OF_RANGE, NO_COMMUNICATION, NOT_CONNECTED = 0x803C0000, 0x80310000, 0x808A0000
POLL_S = 2  # a polled value may be this much older than its time, which is the reader's


@dataclass(frozen=True)
class Stored:
    """The readings of one tag in order of key: times, values (doubles, or texts), status codes, whose clock."""

    at: np.ndarray
    value: np.ndarray
    quality: np.ndarray
    is_source_clock: np.ndarray


@dataclass
class Compared:
    """One tag: readings, how many of them were never true, and for how long the last reading was not the truth."""

    tag_id: str
    readings: int = 0
    different: int = 0
    off_s: int = 0  # seconds in which the truth was further from the last reading than the deadband
    excused_s: int = 0  # such seconds within a gap that the mirror has recorded
    away_s: int = 0  # seconds in which the mirror says that it has no communication
    example: str = ""


def compare_tag(
    row: Row,
    stored: Stored,
    spans: Sequence[tuple[int, int]],
    gaps: Sequence[tuple[int, int]],
    first: int,
    last: int,
    slack_s: int,
) -> Compared:
    """Hold each reading against the truth, and in each second in which the simulator was up (`spans`) the last one.

    A reading with the source's own time must be the truth of that time, a polled one that of a moment before.
    `slack_s`: how long a polled tag may lag.
    """
    found = Compared(row.tag_id, len(stored.at))
    if not len(stored.at):
        return found
    is_told = np.isin(stored.quality & 0xFFFF0000, (NO_COMMUNICATION, NOT_CONNECTED)) & ~stored.is_source_clock
    is_true = is_told | _is_true(row.tag_id, stored, stored.at)
    for back in range(POLL_S + 1):
        before = stored.at // SECOND * SECOND - back * SECOND
        is_true |= ~stored.is_source_clock & _is_true(row.tag_id, stored, before)
    found.different = int((~is_true).sum())
    if found.different:
        n = np.flatnonzero(~is_true)[0]
        value, quality = true_at(row.tag_id, stored.at[n : n + 1])
        found.example = (
            f"{moment(stored.at[n]).isoformat()} stored {stored.value[n]} ({stored.quality[n]:#x}), "
            f"true {value[0]} ({quality[0]:#x})"
        )
    _hold(row, stored, is_told, spans, gaps, (max(first, int(stored.at[0])), last), slack_s, found)
    return found


def _hold(row, stored, is_told, spans, gaps, window, slack_s, found: Compared) -> None:
    band = _deadband(row)
    for begin, end in spans:
        begin, end = -(-max(begin, window[0]) // SECOND) * SECOND, min(end, window[1] - 1)
        if begin > end:
            continue
        at = np.arange(begin, end + 1, SECOND)
        held = np.searchsorted(stored.at, at, "right") - 1
        value, quality = true_at(row.tag_id, at)
        is_off = (stored.quality[held] ^ quality) & 0xFFFF0000 != 0
        if row.data_type == "text":
            is_off |= stored.value[held] != value
        else:
            both = ~np.isnan(value) & ~np.isnan(stored.value[held])
            is_off |= both & (abs(value - stored.value[held]) > band) | (both ^ (quality >> 31 == 0))
        is_away = is_told[held]
        is_off &= ~is_away
        if not stored.is_source_clock[held].any():
            is_off &= _lasts(is_off, slack_s)
        is_excused = np.zeros(len(at), dtype=bool)
        for gap_from, gap_to in gaps:
            is_excused |= (at >= gap_from) & (at <= gap_to)
        found.away_s += int(is_away.sum())
        found.excused_s += int((is_off & is_excused).sum())
        found.off_s += int((is_off & ~is_excused).sum())
        if found.off_s and not found.example:
            n = np.flatnonzero(is_off & ~is_excused)[0]
            found.example = (
                f"{moment(at[n]).isoformat()} true {value[n]} ({quality[n]:#x}), last reading "
                f"{stored.value[held[n]]} of {moment(stored.at[held[n]]).isoformat()}"
            )


def _lasts(flags: np.ndarray, longer_than: int) -> np.ndarray:
    """Where a flag belongs to a chain of more than `longer_than`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    found = np.zeros(len(flags), dtype=bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        found[start:end] = end - start > longer_than
    return found


def _is_true(tag_id: str, stored: Stored, at: np.ndarray) -> np.ndarray:
    value, quality = true_at(tag_id, at)
    same = (stored.quality ^ quality) & 0xFFFF0000 == 0
    if value.dtype == object:
        return same & (stored.value == value)
    is_none = np.isnan(stored.value)
    return same & ((is_none & np.isnan(value)) | np.isclose(stored.value, value, rtol=1e-9, atol=1e-9))


def true_at(tag_id: str, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The truth of any tag of the demo as the mirror stores it: a NaN is a bad quality there."""
    if tag_id.split(".", 1)[0] in STATIONS:
        return plant_shown.truth(tag_id, at)
    values, quality = truth(tag_id, at)
    return values, np.where(np.isnan(values) & (quality == GOOD), OUT_OF_RANGE, quality)


def _deadband(row: Row) -> float:
    """In the tag's unit, with a hair for the last digit."""
    if not row.deadband:
        return 1e-9
    width = float(row.deadband)
    if row.deadband_type == "percent":
        width *= (float(row.range_high) - float(row.range_low)) / 100
    return width * (1 + 1e-9) + 1e-9


def compare(
    first: int, last: int, only: str | None = None, slack_s: int = 5
) -> tuple[list[Compared], dict[str, float]]:
    """Compare `ot.readings` of a time with the truth; and how old its readings were when they landed, in seconds."""
    from include.lakehouse import connect, exists

    rows = [r for r in (*well_rows(), *line_rows()) if only is None or only in (r.source, r.tag_id)]
    if not rows:
        raise SystemExit(f"{only!r} is neither a source nor a tag of the demo; sources: {', '.join(SIMULATORS)}")
    if not exists("ot.readings"):
        raise SystemExit("ot.readings does not exist yet: the mirror has stored nothing")
    window = f"between make_timestamptz({first}) and make_timestamptz({last - 1})"
    with connect() as con:
        readings = con.execute(
            f"""
            select tag_id, epoch_us(observed_at), coalesce(value_double, value_bool::double) as value, value_text,
                quality, clock = 'source' from lakehouse.ot.readings where observed_at {window}
            order by tag_id, observed_at, sequence
            """
        ).fetchnumpy()
        age = con.execute(
            f"""
            select quantile_cont(epoch(landed_at - observed_at), [0.5, 0.95, 0.99, 1]) from lakehouse.ot.readings
            where observed_at {window} and _segment_id not like 'backfill%'
            """
        ).fetchone()[0]
        gaps = con.execute(
            "select distinct tag_id, epoch_us(from_at), epoch_us(to_at) from lakehouse.ot.gaps "
            f"where to_at >= make_timestamptz({first}) and from_at < make_timestamptz({last})"
        ).fetchall()
    columns = [np.ma.filled(column, np.nan if column.dtype.kind == "f" else None) for column in readings.values()]
    ids, at, values, texts, quality, is_source = columns
    spans = {s: list(read_runs(simulator_dir() / f"{name}_runs.txt")) for s, name in SIMULATORS.items()}
    found = []
    for row in rows:
        of = slice(np.searchsorted(ids, row.tag_id), np.searchsorted(ids, row.tag_id, "right"))
        value = texts[of] if row.data_type == "text" else values[of].astype(float)
        stored = Stored(at[of], value, quality[of], is_source[of].astype(bool))
        told = [(gap_from, gap_to) for tag_id, gap_from, gap_to in gaps if tag_id == row.tag_id]
        found.append(compare_tag(row, stored, spans[row.source], told, first, last, slack_s))
    return found, dict(zip(("p50", "p95", "p99", "max"), age or (), strict=False))


def tell(found: list[Compared], age: dict[str, float], first: datetime, last: datetime) -> int:
    print(f"{first.isoformat()} to {last.isoformat()}: {len(found)} tags")
    for what in ("readings", "different", "off_s", "excused_s", "away_s"):
        print(f"  {what:10} {sum(getattr(c, what) for c in found):>10,}")
    silent = [c.tag_id for c in found if not c.readings]
    if silent:
        print(f"  without a reading: {len(silent)}: {', '.join(silent[:10])}{' …' if len(silent) > 10 else ''}")
    if age:
        print("  age when landed, s: " + "  ".join(f"{name} {seconds:.1f}" for name, seconds in age.items()))
    wrong = sorted((c for c in found if c.different or c.off_s), key=lambda c: (-c.different, -c.off_s))
    for c in wrong[:20]:
        print(f"  {c.tag_id}: {c.different} of {c.readings} readings differ, off for {c.off_s} s; {c.example}")
    return 1 if wrong else 0
