"""Real plants' records through the factory's models, against figures reckoned minute by minute in plain Python."""

import csv
import io
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from include.catalog import feeds
from include.errors import DeclarationError
from include.land.file_open import Opened
from include.land.file_read import read_cells
from include.land.file_rows import Parsed, parse
from include.ot.observations import Tags
from include.ot.reading import GOOD, Sample
from include.ot.shdr import Parser
from tests.dbt.factory_lake import READINGS, Lake
from tests.dbt.operator_lake import at_position
from tests.ot.listening import tag

CENTRAL = ZoneInfo("America/Chicago")
ARRIVED = datetime(2026, 12, 31, tzinfo=UTC)
CLOCK = (
    (6, 14, 10),
    (14, 22, 18),
    (22, 6, 2),
)  # start and end of shifts 1 to 3, and the start of a break of half an hour
CATEGORIES = {
    "production": "apt_s", "setup": "aust_s", "delay": "adet_s", "down": "adot_s", "no_data": "no_data_s",
    "unknown": "unknown_s", "planned": "planned_s",
}  # fmt: skip
BEFORE = timedelta(days=90)
DATA = Path(os.environ.get("HNAI_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def of_plant(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"the records of {name} are not here ({DATA / name}); set HNAI_TEST_DATA to the folder above them")
    return DATA / name


# The way in: files as the feeds take them ----------------------------------------------------------------------------


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def land(lake: Lake, name: str, content: bytes) -> Parsed:
    """The rows of a file into raw, read by the feed that its name fits."""
    (declared,) = [f for f in feeds() if f.source == "plant_files" and f.matches(name)]
    opened = Opened(name, content, "", name.endswith(".xlsx"))
    found = parse(read_cells(opened, declared), declared, {}, ARRIVED, feeds())
    lake.put(f"raw.{declared.identifier}", at_position(found.rows.drop_columns(["_seq"]), "r", 1000))
    return found


def empty_mes(lake: Lake, **tables: list[dict[str, Any]]) -> None:
    from demo.plant_mes import SCHEMAS, _schema

    lake.land({name: pa.Table.from_pylist(tables.get(name, []), _schema(name)) for name in SCHEMAS})


# The figures by hand --------------------------------------------------------------------------------------------------


class Shift(NamedTuple):
    shift_id: str
    starts_at: datetime
    ends_at: datetime
    pause: datetime  # half an hour from here


class Spell(NamedTuple):
    """A state from a file. Without an end it lasts until the next one starts."""

    station: str
    starts_at: datetime
    ends_at: datetime | None
    category: str


def local(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), CENTRAL).astimezone(UTC)


def shifts(first: date, days: int) -> list[Shift]:
    found = []
    for day in (first + timedelta(days=n) for n in range(days)):
        for n, (start, end, pause) in enumerate(CLOCK, start=1):
            is_night = end < start
            next_day = day + timedelta(days=is_night)
            found.append(Shift(f"{day}.{n}", local(day, start), local(next_day, end), local(next_day, pause)))
    return found


def by_minute(spells: Iterable[Spell], closed: list[Shift]) -> dict[str, list[str]]:
    """What each station was in, minute by minute, from long before the first shift, so that no stop is cut there.

    Of spells that overlap the one that started last counts.
    """
    first, last = closed[0].starts_at - BEFORE, closed[-1].ends_at

    def minute(at: datetime) -> int:
        whole, rest = divmod(at - first, timedelta(minutes=1))
        assert not rest
        return min(max(whole, 0), total)

    total = (last - first) // timedelta(minutes=1)
    of: dict[str, list[Spell]] = defaultdict(list)
    for spell in spells:
        of[spell.station].append(spell)
    painted = {}
    for station, mine in of.items():
        mine.sort(key=lambda spell: spell.starts_at)
        minutes = painted[station] = ["no_data"] * total
        for spell, following in zip(mine, [*mine[1:], None], strict=True):
            ends_at = spell.ends_at or (following.starts_at if following else last)
            start, end = minute(spell.starts_at), minute(ends_at)
            minutes[start:end] = [spell.category] * (end - start)
    return painted


def times_of(minutes: list[str], closed: list[Shift]) -> Iterator[tuple[str, Counter[str]]]:
    first = closed[0].starts_at - BEFORE
    for shift in closed:
        start, end, pause = ((at - first) // timedelta(minutes=1) for at in shift[1:])
        told = Counter(minutes[start:pause] + minutes[pause + 30 : end])
        yield shift.shift_id, Counter({c: 60 * n for c, n in told.items()} | {"planned": 1800})


def failures_of(minutes: list[str], closed: list[Shift], micro_stop_s: int) -> Counter[str]:
    """Delays that begin in a shift and are no micro-stops, whole; one that lies in a break alone is none."""
    edges = [n for n in range(len(minutes)) if not n or minutes[n] != minutes[n - 1]] + [len(minutes)]
    found: Counter[str] = Counter()
    first = closed[0].starts_at - BEFORE
    for shift in closed:
        start, end, pause = ((at - first) // timedelta(minutes=1) for at in shift[1:])
        for one, other in pairwise(edges):
            is_long = 60 * (other - one) >= micro_stop_s or other == len(minutes)
            if minutes[one] == "delay" and start <= one < end and is_long:
                found[shift.shift_id] += not (pause <= one and min(other, end) <= pause + 30)
    return found


def rounded(share: Fraction | None) -> Decimal | None:
    return None if share is None else Decimal((share * 2_000_000 + 1) // 2).scaleb(-6)


def figures(seconds: Counter[str], units: Counter, ideal_s: Fraction) -> dict[str, Decimal | None]:
    known = sum(n for c, n in seconds.items() if c not in ("planned", "no_data"))
    running, made = seconds["production"], units["good"] + units["scrap"] + units["rework"]
    oee = None
    if known:
        oee = ideal_s / known * Fraction(units["good"], made) if running and made else Fraction(0)
    return {
        "availability": rounded(Fraction(running, known) if known else None),
        "effectiveness": rounded(ideal_s / running if running else None),
        "quality": rounded(Fraction(units["good"], made) if made else None),
        "oee": rounded(oee),
    }


def same_as_by_hand(
    con: Any, painted: dict[str, list[str]], closed: list[Shift], counts: dict, ideal: dict, micro_stop_s: int
) -> dict[tuple[str, str], dict[str, Any]]:
    """Every figure of every shift and station. `counts` by shift, station and product: units by kind."""
    rows = con.sql("select * from fct_oee_station_shift").to_arrow_table().to_pylist()
    built = {(row["shift_id"], row["station_id"]): row for row in rows}
    assert set(built) == {(shift.shift_id, station) for shift in closed for station in painted}
    for station, minutes in painted.items():
        failures = failures_of(minutes, closed, micro_stop_s)
        for shift_id, seconds in times_of(minutes, closed):
            key = (shift_id, station)
            units: Counter = Counter()
            ideal_s = Fraction(0)
            for product, made in counts.get(key, {}).items():
                units += made
                ideal_s += ideal.get((product, station), ideal["*", station]) * sum(made.values())
            row = built[key]
            assert {c: row[name] for c, name in CATEGORIES.items()} == {c: seconds[c] for c in CATEGORIES}, key
            assert {n: row[f"{n}_units"] for n in ("good", "scrap", "rework")} == {
                n: units[n] for n in ("good", "scrap", "rework")
            }, key
            by_hand = figures(seconds, units, ideal_s)
            assert {name: row[name] for name in by_hand} == by_hand, key
            assert (row["failures"], row["pot_s"]) == (failures[shift_id], sum(seconds.values())), key
    return built


# A machine shop's work orders: set-up, production, breakdown; rejects and rework -------------------------------------


# Whole weeks from 2012 to a year that the calendar has: the clocks go forward on 11 March 2012 and on 8 March 2026.
SHOP_LATER = timedelta(weeks=730)
SHOP_MICRO_STOP_S = 600
MEANINGS = {"D": ("RUN", "production"), "S": ("SETUP", "setup"), "B": ("STOP", "delay")}


def shop_log() -> list[dict[str, Any]]:
    with (of_plant("production_event_log_4tu") / "production_event_log_restored.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["start_restored"] and "achine" in row["Resource"]]
    for row in rows:
        row["station"] = row["Resource"].split("achine ")[1].split("-")[0].strip().rjust(2, "0").join(("M", ""))
        row["start"] = datetime.fromisoformat(row["start_restored"]) + SHOP_LATER
        has_end = "end not in" not in row["restore_rule"]
        row["end"] = datetime.fromisoformat(row["complete_restored"]) + SHOP_LATER if has_end else None
    return rows


def taken(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The rows that land, and how many are held back: a key's with different values, a skipped hour's."""
    by_key: dict[tuple, list[dict]] = defaultdict(list)
    refused, skipped = 0, datetime(2026, 3, 8, 2)
    for row in rows:
        stated = [value for value in row.values() if isinstance(value, datetime)]
        if any(skipped <= at < skipped + timedelta(hours=1) for at in stated):
            refused += 1
        else:
            by_key[row["station_id"], row.get("started_at") or row.get("from_at"), row.get("order_id")].append(row)
    clear = [several[0] for several in by_key.values() if all(row == several[0] for row in several)]
    held = sum(len(several) for several in by_key.values() if any(row != several[0] for row in several))
    return clear, refused + held


def instant(at: datetime) -> datetime:
    return at.replace(tzinfo=CENTRAL).astimezone(UTC)


@pytest.mark.platform  # needs none, but it builds the pack
def test_a_machine_shop_of_23_machines_over_a_spring_night(tmp_path):
    log = shop_log()
    states = [
        {
            "station_id": row["station"],
            "started_at": row["start"],
            "ended_at": row["end"],
            "execution": MEANINGS[row["Report Type"]][0],
            "fault_code": "breakdown" if row["Report Type"] == "B" else None,
        }
        for row in log
    ]
    counted = [
        {
            "station_id": row["station"],
            "from_at": row["start"],
            "to_at": row["end"] or row["start"],
            "good_units": 0 if row["Rework"] else int(row["Qty Completed"]),
            "scrap_units": int(row["Qty Rejected"]),
            "rework_units": int(row["Qty Completed"]) if row["Rework"] else int(row["Qty for MRB"] or 0),
            "order_id": row["Case ID"],
            "product_id": row["Part Desc."],
        }
        for row in log
    ]
    stations = sorted({row["station"] for row in log})
    ideal = {("*", s): Fraction(60 + 5 * n) for n, s in enumerate(stations)} | {
        ("Cable Head", s): Fraction(95, 2) for s in stations
    }
    lake = Lake(tmp_path)
    empty_mes(lake)
    found = land(lake, "machine_states_shop.csv", csv_of(states))
    kept_states, held_back = taken(states)
    assert (found.rows.num_rows, len(found.rejected)) == (len(kept_states), held_back)
    found = land(lake, "machine_counts_shop.csv", csv_of(counted))
    kept_counts, held_back = taken(counted)
    assert (found.rows.num_rows, len(found.rejected)) == (len(kept_counts), held_back)
    land(
        lake,
        "stations_file_shop.csv",
        csv_of(
            [
                {"station_id": s, "line_id": f"L-{s}", "vocabulary": "line", "micro_stop_s": SHOP_MICRO_STOP_S}
                for s in stations
            ]
        ),
    )
    land(
        lake,
        "routings_file_shop.csv",
        csv_of([{"product_id": p, "station_id": s, "ideal_cycle_time_s": float(v)} for (p, s), v in ideal.items()]),
    )

    closed = shifts(date(2026, 2, 23), 21)
    con = lake.close("2026-02-23", "2026-03-15")

    meant = {word: category for word, category in MEANINGS.values()}
    spells = [
        Spell(
            row["station_id"],
            instant(row["started_at"]),
            row["ended_at"] and instant(row["ended_at"]),
            meant[row["execution"]],
        )
        for row in kept_states
    ]
    painted = by_minute(spells, closed)
    counts: dict = defaultdict(lambda: defaultdict(Counter))
    for row in kept_counts:
        at = instant(row["from_at"])
        for shift in closed:
            if shift.starts_at <= at < shift.ends_at:
                units = {kind: row[f"{kind}_units"] for kind in ("good", "scrap", "rework")}
                counts[shift.shift_id, row["station_id"]][row["product_id"]].update(units)
    built = same_as_by_hand(con, painted, closed, counts, ideal, SHOP_MICRO_STOP_S)
    assert built["2026-03-07.3", "M04"]["pot_s"] == 7 * 3600


# A bottling line's batches, from a workbook: stops by their factor, batches over midnight and edges of shifts ---


SODA_MICRO_STOP_S = 15 * 60
BATCH_CHANGE = "2"  # the factor that is set-up


def soda_spells() -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, int]]:
    """States and counts of the batches in local times, and the least minutes of a batch by product.

    The sheet says how long a stop was, not when: the stops of a batch are laid out one after the other from its start,
    what is left is production. The end of a batch is left out where the next one follows at once.
    """
    from openpyxl import load_workbook

    path = of_plant("line_downtime_soda") / "manufacturing_line_productivity.xlsx"
    sheets = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in load_workbook(path, data_only=True)}
    stops = {
        row[0]: dict(zip(sheets["Line downtime"][1][1:], row[1:], strict=True)) for row in sheets["Line downtime"][2:]
    }
    least = {row[0]: row[3] for row in sheets["Products"][1:]}
    batches = [
        (
            row[1],
            row[2],
            datetime.combine(row[0], row[4]),
            datetime.combine(row[0] + timedelta(days=row[5] < row[4]), row[5]),
        )
        for row in sheets["Line productivity"][1:]
    ]
    states, counts = [], []
    for (product, batch, start, end), following in zip(batches, [*batches[1:], None], strict=True):
        at = start
        for factor, minutes in stops[batch].items():
            if minutes:
                states.append({"started_at": at, "ended_at": None, "execution": "STOP", "fault_code": str(factor)})
                at += timedelta(minutes=minutes)
        is_last = following is None or following[2] > end
        states.append({"started_at": at, "ended_at": end if is_last else None, "execution": "RUN", "fault_code": None})
        made = {"good_units": 1, "product_id": product, "order_id": str(batch)}
        counts.append({"station_id": "SODA", "from_at": start, "to_at": end, **made})
    return [{"station_id": "SODA", **row} for row in states], counts, least


def workbook(rows: list[dict[str, Any]]) -> bytes:
    from openpyxl import Workbook

    book, content = Workbook(), io.BytesIO()
    for row in (list(rows[0]), *(list(row.values()) for row in rows)):
        book.active.append(row)
    book.save(content)
    return content.getvalue()


@pytest.mark.platform
def test_a_bottling_line_has_its_minutes_of_downtime_by_factor(tmp_path):
    states, counted, least = soda_spells()
    lake = Lake(tmp_path)
    reason = {"level_1": "line", "level_2": "line", "level_3": "line", "is_planned": False}
    empty_mes(
        lake, reasons=[{**reason, "reason_code": str(n), "is_setup": str(n) == BATCH_CHANGE} for n in range(1, 13)]
    )
    assert land(lake, "machine_states_soda.xlsx", workbook(states)).rejected == []
    assert land(lake, "machine_counts_soda.xlsx", workbook(counted)).rejected == []
    line = {"station_id": "SODA", "line_id": "SODA", "vocabulary": "line", "micro_stop_s": SODA_MICRO_STOP_S}
    land(lake, "stations_file_soda.csv", csv_of([line]))
    routings = [
        {"product_id": p, "station_id": "SODA", "ideal_cycle_time_s": 60 * m} for p, m in {**least, "*": 60}.items()
    ]
    land(lake, "routings_file_soda.csv", csv_of(routings))

    closed = shifts(date(2024, 8, 28), 7)
    con = lake.close("2024-08-28", "2024-09-03")

    def category(row: dict[str, Any]) -> str:
        return "production" if row["execution"] == "RUN" else "setup" if row["fault_code"] == BATCH_CHANGE else "delay"

    spells = [
        Spell("SODA", instant(row["started_at"]), row["ended_at"] and instant(row["ended_at"]), category(row))
        for row in states
    ]
    painted = by_minute(spells, closed)
    counts: dict = defaultdict(lambda: defaultdict(Counter))
    for row in counted:
        (shift,) = [s for s in closed if s.starts_at <= instant(row["from_at"]) < s.ends_at]
        counts[shift.shift_id, "SODA"][row["product_id"]].update(good=1)
    ideal = {(row["product_id"], "SODA"): Fraction(row["ideal_cycle_time_s"]) for row in routings}
    same_as_by_hand(con, painted, closed, counts, ideal, SODA_MICRO_STOP_S)

    told = con.sql("select reason_code, sum(downtime_s) from fct_downtime_shift group by all").fetchall()
    by_factor = by_minute(
        [spell._replace(category=row["fault_code"] or "run") for spell, row in zip(spells, states, strict=True)], closed
    )
    by_hand: Counter = Counter()
    for _, seconds in times_of(by_factor["SODA"], closed):
        by_hand += seconds
    assert dict(told) == {code: n for code, n in by_hand.items() if code.isdigit()}
    orders = con.sql(
        "select order_id, product_id, sum(good_units) from fct_oee_order_shift where good_units > 0 group by all"
    )
    assert sorted(orders.fetchall()) == sorted((row["order_id"], row["product_id"], 1) for row in counted)


# Machines of a small company, every five minutes: state, product and parts --------------------------------------------


SME_STEP = timedelta(minutes=5)
SME_MICRO_STOP_S = 600
SME_MEANINGS = {"2": ("RUN", "production"), "1": ("SETUP", "setup"), "3": ("STOP", "delay")}  # automatic, manual, alarm


@pytest.mark.platform
def test_three_machines_of_a_small_company_at_five_minutes(tmp_path):
    """Where a row is missing nothing is known; the instants say their own offset."""
    with (of_plant("sme_machine_states") / "company_a_labelled_subset.csv").open(newline="") as lines:
        log = [{**row, "at": datetime.fromisoformat(row["ts"])} for row in csv.DictReader(lines)]
    stations = sorted({f"SME-{row['asset']}" for row in log})
    states = [
        {
            "station_id": f"SME-{row['asset']}",
            "started_at": row["at"].isoformat(),
            "ended_at": (row["at"] + SME_STEP).isoformat(),
            "execution": SME_MEANINGS[row["status"][0]][0],
        }
        for row in log
    ]
    counted = [
        {
            "station_id": f"SME-{row['asset']}",
            "from_at": row["at"].isoformat(),
            "to_at": (row["at"] + SME_STEP).isoformat(),
            "good_units": int(float(row["items"])),
            "product_id": row["product"],
        }
        for row in log
    ]
    lake = Lake(tmp_path)
    empty_mes(lake)
    assert land(lake, "machine_states_sme.csv", csv_of(states)).rejected == []
    assert land(lake, "machine_counts_sme.csv", csv_of(counted)).rejected == []
    plant = [{"station_id": s, "line_id": s, "vocabulary": "line", "micro_stop_s": SME_MICRO_STOP_S} for s in stations]
    land(lake, "stations_file_sme.csv", csv_of(plant))
    ideal = {("*", s): Fraction(30) for s in stations} | {("3", s): Fraction(45, 2) for s in stations}
    routings = [{"product_id": p, "station_id": s, "ideal_cycle_time_s": float(v)} for (p, s), v in ideal.items()]
    land(lake, "routings_file_sme.csv", csv_of(routings))

    closed = shifts(date(2022, 9, 1), 7)
    con = lake.close("2022-09-01", "2022-09-07")

    rows = con.sql("select * from fct_oee_station_shift").to_arrow_table().to_pylist()
    built = {(row["shift_id"], row["station_id"]): row for row in rows}
    assert set(built) == {(shift.shift_id, station) for shift in closed for station in stations}
    for (shift_id, station), row in built.items():
        (shift,) = [one for one in closed if one.shift_id == shift_id]
        mine = sorted((one for one in log if f"SME-{one['asset']}" == station), key=lambda one: one["at"])
        seconds, made, ideal_s = by_second(mine, shift), Counter(), Fraction(0)
        for one in mine:
            if shift.starts_at <= one["at"] < shift.ends_at:
                units = int(float(one["items"]))
                made.update(good=units)
                ideal_s += units * ideal.get((one["product"], station), ideal["*", station])
        assert {c: row[name] for c, name in CATEGORIES.items()} == {c: seconds[c] for c in CATEGORIES}, (
            shift_id,
            station,
        )
        by_hand = figures(seconds, made, ideal_s)
        assert {name: row[name] for name in by_hand} == by_hand, (shift_id, station)
        assert row["good_units"] == made["good"]
    assert sum(row["good_units"] for row in rows) > 10_000


def by_second(log: list[dict[str, Any]], shift: Shift) -> Counter[str]:
    """Seconds of a shift by category; of rows that overlap the one that started last counts."""
    painted = ["no_data"] * ((shift.ends_at - shift.starts_at) // timedelta(seconds=1))

    def second(at: datetime) -> int:
        return min(max((at - shift.starts_at) // timedelta(seconds=1), 0), len(painted))

    for one in log:
        start, end = second(one["at"]), second(one["at"] + SME_STEP)
        painted[start:end] = [SME_MEANINGS[one["status"][0]][1]] * (end - start)
    pause = second(shift.pause)
    painted[pause : pause + 1800] = ["planned"] * 1800
    return Counter(painted)


# Machine tools by their adapters' logs -------------------------------------------------------------------------------


NIST_LATER = timedelta(weeks=364)  # from 2019 to a year that the calendar has, within daylight time
MACHINES = {"MCH-10": "mazak01", "MCH-20": "mazak03", "MCH-30": "gfagie01", "MCH-40": "hurco04"}
KEYS = {"execution": "execution", "mode": "mode", "good_count": "PartCountAct"}
HOLD = timedelta(hours=2)


def adapter_samples() -> list[Sample]:
    folder = of_plant("nist_mtconnect_raw")
    found = []
    for station, machine in MACHINES.items():
        tags = Tags(
            [tag(f"{station}.{name}", key, "long" if "count" in name else "text") for name, key in KEYS.items()]
        )
        for path in sorted((folder / machine).glob("*2019*.txt")):
            parser = Parser()
            for line in path.read_text().split("\n"):
                for observation in parser.feed(line):
                    found += tags.samples(observation, ARRIVED)
            assert not parser.refused
    return found


def as_readings(samples: list[Sample]) -> pa.Table:
    times: Counter = Counter()
    rows = []
    for sample in samples:
        at = sample.observed_at + NIST_LATER
        is_count = sample.tag_id.endswith("count")
        value = None if sample.value is None else str(sample.value)
        rows.append(
            {
                "tag_id": sample.tag_id, "observed_at": at, "sequence": times[sample.tag_id, at],
                "quality": sample.quality,
                "value_double": float(value) if is_count and value else None, "value_text": None if is_count else value,
                "clock": "source", "received_at": at, "_segment_id": "logs", "_ordinal": 1,
            }
        )  # fmt: skip
        times[sample.tag_id, at] += 1
    return pa.Table.from_pylist(rows, pa.schema(READINGS))


def meaning(execution: str | None, mode: str | None, is_open: bool) -> str:
    """What MTConnect's words mean for the time of an order, as `factorypack_states` has it; by hand."""
    if execution is None:
        return "no_data"
    if execution == "ACTIVE":
        return "setup" if mode in ("MANUAL", "MANUAL_DATA_INPUT") else "production"
    by_hand = mode == "MANUAL" or (mode == "MANUAL_DATA_INPUT" and execution in ("READY", "STOPPED"))
    if is_open and by_hand and execution in ("READY", "STOPPED", "INTERRUPTED", "FEED_HOLD"):
        return "setup"
    return "delay" if is_open and execution != "READY" else "down"


def milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@pytest.mark.platform
@pytest.mark.parametrize("is_open", [True, False], ids=["an open order", "no order"])
def test_machine_tools_by_their_adapters_logs(tmp_path, is_open):
    from demo.plant_mes import master

    samples = adapter_samples()
    lake = Lake(tmp_path)
    order = {
        "order_id": "O1",
        "line_id": "MCH",
        "product_id": "BOX-A",
        "status": "open",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    empty_mes(lake, **master(datetime(2026, 1, 31, tzinfo=UTC)), production_orders=[order] if is_open else [])
    lake.put("ot.readings", as_readings(samples))
    closed = shifts(date(2026, 6, 1), 3)
    assert {s.observed_at.date() + NIST_LATER for s in samples} & {date(2026, 6, 2), date(2026, 6, 3)}

    con = lake.close("2026-06-01", "2026-06-03")

    stations = "select * from fct_oee_station_shift where line_id = 'MCH'"
    built = {(row["shift_id"], row["station_id"]): row for row in con.sql(stations).to_arrow_table().to_pylist()}
    heard = sorted({milliseconds(s.observed_at + NIST_LATER) for s in samples})
    edges = {
        milliseconds(at)
        for shift in closed
        for at in (shift.starts_at, shift.ends_at, shift.pause, shift.pause + timedelta(minutes=30))
    }
    hold = HOLD // timedelta(milliseconds=1)
    edges |= {at + hold for at in heard}
    told = defaultdict(list)
    for sample in sorted(samples, key=lambda s: s.observed_at):
        told[sample.tag_id].append(
            (milliseconds(sample.observed_at + NIST_LATER), sample.value if sample.quality == GOOD else None)
        )
    total: Counter = Counter()
    for station in MACHINES:
        series = {name: told[f"{station}.{name}"] for name in ("execution", "mode")}
        moments = sorted(edges | {at for values in series.values() for at, _ in values} | set(heard))
        sums: dict[str, Counter] = {shift.shift_id: Counter() for shift in closed}
        places = dict.fromkeys(series, 0)
        value: dict[str, Any] = dict.fromkeys(series)
        last_heard, of_heard = -hold, 0
        for at, until in pairwise(moments):
            while of_heard < len(heard) and heard[of_heard] <= at:
                last_heard, of_heard = heard[of_heard], of_heard + 1
            for name, values in series.items():
                while places[name] < len(values) and values[places[name]][0] <= at:
                    value[name] = values[places[name]][1]
                    places[name] += 1
            for shift in closed:
                if milliseconds(shift.starts_at) <= at < milliseconds(shift.ends_at):
                    pause = milliseconds(shift.pause)
                    category = (
                        meaning(value["execution"], value["mode"], is_open) if at < last_heard + hold else "no_data"
                    )
                    sums[shift.shift_id]["planned" if pause <= at < pause + 1_800_000 else category] += until - at
        for shift_id, ms in sums.items():
            row = built[shift_id, station]
            assert {c: int(row[name] * 1000) for c, name in CATEGORIES.items()} == {c: ms[c] for c in CATEGORIES}, (
                shift_id,
                station,
            )
            known = sum(n for c, n in ms.items() if c not in ("planned", "no_data"))
            assert row["availability"] == rounded(Fraction(ms["production"], known) if known else None)
            assert (row["good_units"], row["is_doubtful"]) == (0, 20 * ms["no_data"] > sum(ms.values()) - ms["planned"])
            total += ms
    assert total["production"] > 3_600_000 and total["delay" if is_open else "down"] > 3_600_000


def test_a_shift_from_before_the_calendar_begins_is_refused_with_a_reason(tmp_path):
    with pytest.raises(DeclarationError, match="The calendar has no shift 2012-03-05.1; of 2012-03-05 it has none"):
        Lake(tmp_path).close("2012-03-05.1")
