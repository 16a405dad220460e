"""From which production date on a calendar has anything, so that nobody closes the shifts before its first reading."""

from datetime import date
from zoneinfo import ZoneInfo

from include import catalog, lakehouse
from include.ot.tags import SEEDS, read

_READINGS = "select min(observed_at) from lakehouse.ot.readings where tag_id in (select unnest(?))"
_STATES = "select min(started_at_utc) from lakehouse.raw.plant_files__machine_states"


def first_day(calendar: str) -> date | None:
    """The local date of the earliest reading of a machine, or of the earliest state from a file; None without any."""
    tag_ids = [tag.tag_id for tag in read(SEEDS / "factorypack" / "factorypack_tags.csv")]
    found = []
    with lakehouse.connect() as con:
        if lakehouse.exists("ot.readings"):
            found.append(con.execute(_READINGS, [tag_ids]).fetchone()[0])
        if lakehouse.exists("raw.plant_files__machine_states"):
            found.append(con.execute(_STATES).fetchone()[0])
    zone = ZoneInfo(catalog.calendar(calendar).zone)
    return min((at.astimezone(zone).date() for at in found if at is not None), default=None)
