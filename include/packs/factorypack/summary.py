"""A closed shift of the pack in a line per line of the plant."""

from duckdb import DuckDBPyConnection

HEADING = f"{'Published':<22} {'OEE':>7} {'avail.':>7} {'effect.':>7} {'quality':>7} {'good units':>14}"
_LINES = """
    select line_id, oee, availability, effectiveness, quality, good_units
    from lakehouse.factorypack.fct_oee_line_shift
    where calendar = ? and shift_id = ?
    order by line_id
"""


def lines(engine: DuckDBPyConnection, calendar: str, period: str) -> list[str]:
    return [
        f"{f'{period} {line}':<22} " + " ".join(_percent(f) for f in factors) + f" {units or 0:>14,.0f}"
        for line, *factors, units in engine.execute(_LINES, [calendar, period]).fetchall()
    ]


def _percent(share) -> str:
    return f"{'–' if share is None else f'{100 * share:.1f} %':>7}"
