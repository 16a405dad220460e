"""Raw of both packs in the lakehouse, small but with everything that a model reads, enough to be built twice."""

import csv
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

from include import lakehouse
from include.catalog import DBT, calendar
from include.contract_day import ContractDay
from tests.dbt.operator_lake import DAYS, LOADED_AT, NOW, WELLS, at_position, land_operator
from tests.dbt.scada_by_hand import Point
from tests.dbt.test_partner_file import HEADER, line
from tests.dbt.test_scada import irregular
from tests.dbt.test_scada import land as land_readings

PERMIAN = date(2024, 2, 10), date(2024, 2, 11)
NORTH_SEA = date(2024, 2, 11), date(2024, 2, 11)
SHIFTS = date(2026, 10, 31), date(2026, 11, 1)  # the clocks go back in the night between them, the counters to 0 after


def land_energy(folder: Path) -> None:
    """The operator's database, a partner's daily file, and readings of the wells' tags: bad, late, twice, absurd."""
    from demo.operator import history, operate
    from demo.partner_files import partner_files
    from include.land import files
    from include.settings import settings

    land_operator()
    arrival = settings.inbox_dir / "npd" / "trollheim_production.csv"
    arrival.parent.mkdir(parents=True, exist_ok=True)
    figures = ("631.47,90439.09,-457.84,", "production,OP"), (",,,0.008047083333333333", "injection,WI")
    days = [line(str(NORTH_SEA[0]), well, "24.0", *said) for well, said in zip("AB", figures, strict=True)]
    arrival.write_text("\n".join([HEADER, *days]) + "\n")
    operator = operate(*history(DAYS, WELLS, as_of=NOW))
    for day in PERMIAN:
        start = (day - operator.days.date(0)).days
        for file in partner_files(operator, start, start + 1):
            file.drop(settings.inbox_dir / "flow_computer")
    transfers = files.land(files.discover())
    assert {t.state for t in transfers} == {"landed"}, transfers
    stand_at("fieldops", LOADED_AT)
    with (DBT / "seeds" / "energypack" / "energypack_tags.csv").open(newline="") as lines:
        tags = list(csv.DictReader(lines))
    points = [Point(t["tag_id"], t["asset_id"], t["measurement"], t["source"]) for t in tags]
    units = {t["tag_id"]: t["unit"] for t in tags}
    for name, wells, (first, last) in (
        ("permian", ("EAG-01", "EAG-02"), PERMIAN),
        ("north_sea", ("NOR-01",), NORTH_SEA),
    ):
        site = calendar(name)
        day = ContractDay(site.zone, site.contract_hour)
        mine = [p for p in points if p.well_id in wells]
        land_readings(irregular(mine, units, day.starts_at(first), day.ends_at(last)))


_stands: dict[str, int] = {}  # source -> the commit up to which it has landed


def position(source: str) -> dict[str, int]:
    """How far a source has landed; in place of what Kafka Connect's sink would say, since rows are appended here."""
    return {"epoch": 1, "commit_lsn": _stands[source]}


def stand_at(source: str, commit: int) -> None:
    """Let the source's stream have landed everything up to a commit, as its heartbeat says."""
    _stands[source] = commit
    beat = at_position(pa.table({"id": pa.array([1], pa.int32())}), "u", commit)
    lakehouse.ensure_table(f"raw.{source}__heartbeat", beat.schema)
    lakehouse.append(f"raw.{source}__heartbeat", beat, {"hnai.epoch": "1", "hnai.commit_lsn": str(commit)})


def correct_a_reading(commit: int, oil: Decimal) -> dict:
    """The source corrects the oil of one Permian well on the first closed day; gives the reading as it was."""
    raw = lakehouse.table("raw.fieldops__daily_readings")
    rows = raw.scan(row_filter=f"production_date == '{PERMIAN[0]}' and oil_volume > 0").to_arrow()
    before = next(r for r in rows.to_pylist() if r["well_id"].startswith("EAG"))
    own = [name for name in rows.column_names if not name.startswith("_")]
    after = pa.Table.from_pylist([{**before, "oil_volume": oil}], rows.schema).select(own)
    lakehouse.append("raw.fieldops__daily_readings", at_position(after, "u", commit))
    stand_at("fieldops", commit)
    return before


def land_factory(folder: Path) -> None:
    """The simulated plant's MES, machines and camera."""
    from demo import plant_history, plant_vision
    from demo.plant_line import SEED
    from demo.plant_mes import Plant, tables
    from include.land import files
    from include.ot.tables import ensure
    from include.settings import settings

    simulated = Plant(SEED, SHIFTS[0] - timedelta(days=1))
    until = datetime.combine(SHIFTS[1] + timedelta(days=1), time(13), UTC)
    for name, rows in tables(simulated, until).items():
        landed = at_position(rows, "r", LOADED_AT)
        lakehouse.ensure_table(f"raw.mes__{name}", landed.schema)
        lakehouse.append(f"raw.mes__{name}", landed)
    export = folder / "history.parquet"
    plant_history.write(export, simulated, until)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        read = con.execute(
            f"""
            select
                tag_id, observed_at, 0::integer as sequence,
                case when data_type <> 'text' then value::double end as value_double,
                case when data_type = 'text' then value end as value_text, 0::bigint as quality,
                'source' as clock, observed_at as received_at, 'file' as _segment_id, 1::bigint as _ordinal
            from '{export}'
            inner join '{DBT / "seeds" / "factorypack" / "factorypack_tags.csv"}' using (tag_id)
            """
        ).to_arrow_table()
    ensure()
    lakehouse.append("ot.readings", lakehouse.conform(read, lakehouse.table("ot.readings")))
    files.prepare()
    plant_vision.drop(datetime.combine(SHIFTS[0], time(), UTC), until, simulated, settings.inbox_dir)
    transfers = files.land(files.discover())
    assert {t.state for t in transfers} == {"landed"}, transfers
    stand_at("mes", LOADED_AT)
