"""A closed day of the pack in a line per field."""

from duckdb import DuckDBPyConnection

HEADING = f"{'Published':<22} {'wells':>7} {'oil Sm3':>14} {'gas Sm3':>16} {'water Sm3':>14}"
_FIELDS = """
    select field_code, wells_reported, wells_on_stream, oil_sm3, gas_sm3, water_sm3
    from lakehouse.energypack.fct_field_production_daily
    where calendar = ? and production_date = ?
    order by field_code
"""


def lines(engine: DuckDBPyConnection, calendar: str, period: str) -> list[str]:
    return [
        f"{f'{period} {field}':<22} {f'{on_stream}/{wells}':>7} {oil:>14,.1f} {gas:>16,.0f} {water:>14,.1f}"
        for field, wells, on_stream, oil, gas, water in engine.execute(_FIELDS, [calendar, period]).fetchall()
    ]
