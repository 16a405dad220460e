"""A small operator's raw tables in a real lakehouse, as a full load leaves them."""

from datetime import UTC, datetime

import pyarrow as pa

LOADED_AT = 1000  # the commit at which the full load of every table stands
CORRECTED_AT = 2000
NOW = datetime(2024, 3, 1, 15, tzinfo=UTC)
DAYS, WELLS = 40, 12


def at_position(rows: pa.Table, op: str, commit_lsn: int) -> pa.Table:
    """`rows` with the columns that landing adds, in the order they have."""
    n, instant = rows.num_rows, pa.timestamp("us", "UTC")
    added = {
        "_op": pa.array([op] * n),
        "_epoch": pa.array([1] * n, pa.int64()),
        "_commit_lsn": pa.array([commit_lsn] * n, pa.int64()),
        "_lsn": pa.array([commit_lsn] * n, pa.int64()),
        "_seq": pa.array(range(n), pa.int64()),
        "_unchanged": pa.nulls(n, pa.string()),
        "_source_at": pa.nulls(n, instant),
        "_landed_at": pa.array([NOW] * n, instant),
        "_batch_id": pa.nulls(n, pa.string()),
    }
    for name, values in added.items():
        rows = rows.append_column(name, values)
    return rows


def with_instants(rows: pa.Table, local_times: tuple[str, ...], zones: list[str]) -> pa.Table:
    from include.land.local_time import to_utc

    for name in local_times:
        local = rows[name].cast(pa.timestamp("us")).combine_chunks()
        rows = rows.set_column(rows.column_names.index(name), name, local)
        rows = rows.append_column(f"{name}_utc", to_utc(local, zones))
    return rows


def land_operator(days: int = DAYS, wells: int = WELLS) -> dict[str, pa.Table]:
    """Load the operator's tables into raw at commit 1000, and give them."""
    from demo.operator import generate
    from include import lakehouse
    from include.catalog import source

    tables = generate(days=days, wells=wells, as_of=NOW)
    zone_of_field = {r["field_code"]: r["zone"] for r in tables["fields"].to_pylist()}
    zone_of = {
        r[key]: zone_of_field[r["field_code"]]
        for name, key in (("wells", "well_id"), ("facilities", "facility_id"))
        for r in tables[name].to_pylist()
    }
    for table in source("fieldops").tables:
        if table.schema != "public":
            continue
        rows = tables[table.name]
        zones = [zone_of[v] for v in rows[table.zone_lookup["column"]].to_pylist()] if table.local_times else []
        rows = at_position(with_instants(rows, table.local_times, zones), "r", LOADED_AT)
        lakehouse.ensure_table(f"raw.{table.identifier}", rows.schema)
        lakehouse.append(f"raw.{table.identifier}", rows)
    return tables
