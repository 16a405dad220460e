"""From which production day on a calendar has anything, so that nobody closes the years before its first well."""

import csv
from datetime import date

from include import lakehouse
from include.catalog import DBT, feeds

READINGS = """
    select min(r.production_date)
    from lakehouse.raw.fieldops__daily_readings as r
    inner join lakehouse.raw.fieldops__wells as w on r.well_id = w.well_id
    where w.field_code in (select unnest(?))
"""


def first_day(calendar: str) -> date | None:
    """The earliest production date landed for the calendar, from readings and partner files; None without any."""
    with (DBT / "seeds" / "energypack" / "field_calendars.csv").open(newline="") as lines:
        field_codes = [row["field_code"] for row in csv.DictReader(lines) if row["calendar"] == calendar]
    found = []
    with lakehouse.connect() as con:
        if lakehouse.exists("raw.fieldops__daily_readings") and lakehouse.exists("raw.fieldops__wells"):
            found.append(con.execute(READINGS, [field_codes]).fetchone()[0])
        for feed in feeds():
            dates = [c.name for c in feed.columns if c.name in feed.key and c.type == "date"]
            if feed.calendar == calendar and dates and lakehouse.exists(f"raw.{feed.identifier}"):
                found.append(
                    con.execute(f'select min("{dates[0]}") from lakehouse.raw."{feed.identifier}"').fetchone()[0]
                )
    return min((day for day in found if day is not None), default=None)
