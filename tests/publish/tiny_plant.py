"""A plant small enough to check by eye: a calendar of three shifts, two lines, good units by shift."""

import itertools

import duckdb

from include import catalog, lakehouse
from include.publish.freeze import Close, freeze

PACK = "tinyplant"
DAY = "2026-01-31"
MARTS = """
models:
  - name: fct_line_shift
    config: {meta: {publish: {window: shift_id, key: [shift_id, line_id]}}}
    columns:
      - {name: calendar, data_type: varchar}
      - {name: shift_id, data_type: varchar}
      - {name: production_date, data_type: date}
      - {name: line_id, data_type: varchar}
      - {name: good_units, data_type: "decimal(18, 0)"}
  - name: dim_line
    config: {meta: {publish: {window: all, key: [line_id]}}}
    columns:
      - {name: calendar, data_type: varchar}
      - {name: line_id, data_type: varchar}
"""
SHIFTS = """calendar,valid_from,valid_to,weekdays,shift,shift_name,starts,ends
{0},2020-01-01,,Mon-Sun,1,Early,06:00,14:00
{0},2020-01-01,,Mon-Sun,2,Late,14:00,22:00
{0},2020-01-01,,Mon-Sun,3,Night,22:00,06:00
"""
_numbers = itertools.count(1)


def declare() -> str:
    """Write the declarations of the pack, with a calendar that no other test closes; give its name."""
    name = f"plant_{next(_numbers)}"
    models, seeds = catalog.MODELS / PACK / "marts", catalog.DBT / "seeds" / PACK
    for folder in (models, catalog.MODELS / PACK / "staging", seeds):
        folder.mkdir(parents=True, exist_ok=True)
    (models / "_marts.yml").write_text(MARTS)
    (seeds / f"{PACK}_calendars.csv").write_text(
        f"calendar,zone,contract_hour,grace_minutes,label\n{name},America/Chicago,6,1,Plant\n"
    )
    (seeds / f"{PACK}_shifts.csv").write_text(SHIFTS.format(name))
    return name


def build(
    calendar: str, first: str, units: dict[str, int], last: str | None = None, run_id: str | None = None
) -> Close:
    """Freeze, and build a workspace that holds the given good units by shift, as many of line L1 as of L2."""
    close = freeze(PACK, calendar, first, last or first, run_id or f"{calendar}.{next(_numbers)}", "test")
    close.workspace.parent.mkdir(parents=True, exist_ok=True)
    close.workspace.unlink(missing_ok=True)
    with duckdb.connect(str(close.workspace)) as con:
        con.execute(
            "create table fct_line_shift (calendar varchar, shift_id varchar, production_date date, line_id varchar, "
            "good_units decimal(18, 0))"
        )
        for shift_id, good in units.items():
            for line in ("L1", "L2"):
                con.execute(
                    "insert into fct_line_shift values (?, ?, ?, ?, ?)", [calendar, shift_id, shift_id[:10], line, good]
                )
        con.execute("create table dim_line as select ? as calendar, unnest(['L1', 'L2']) as line_id", [calendar])
    return close


def published(calendar: str) -> dict[str, int]:
    """Shift -> good units of both lines, as readers see them."""
    rows = lakehouse.table(f"{PACK}.fct_line_shift").scan(row_filter=f"calendar == '{calendar}'").to_arrow().to_pylist()
    found: dict[str, int] = {}
    for row in rows:
        found[row["shift_id"]] = found.get(row["shift_id"], 0) + int(row["good_units"])
    return dict(sorted(found.items()))
