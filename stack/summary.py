"""A published day in a few lines, read from the marts as any reader would."""

from datetime import date

from include.lakehouse import LAKEHOUSE, connect

FIELDS = """
    select field_code, wells_reported, wells_on_stream, oil_sm3, gas_sm3, water_sm3
    from {lakehouse}.{pack}.fct_field_production_daily
    where calendar = ? and production_date = ?
    order by field_code
"""
GATES = """
    select
        count(*),
        count(*) filter (where success),
        count(*) filter (where not success and severity = 'warning'),
        count(*) filter (where not success and severity = 'critical')
    from (
        select * from {lakehouse}.ops.gate_results
        where pack = ? and calendar = ?
            and run_id = (
                select arg_max(run_id, version) from (
                    select * from {lakehouse}.ops.closes where close_key = ?
                    qualify row_number() over (partition by version order by recorded_at desc) = 1
                )
                where state = 'published'
            )
        qualify row_number() over (
            partition by layer, suite, table_name, expectation, column_name, bound order by recorded_at desc
        ) = 1
    )
"""


def published_day(pack: str, days: dict[str, date]) -> str:
    """Wells, oil, gas and water of each calendar's day, and what the gates said."""
    lines = [f"{'Published':<22} {'wells':>7} {'oil Sm3':>14} {'gas Sm3':>16} {'water Sm3':>14}"]
    with connect() as engine:
        for calendar, day in days.items():
            fields = engine.execute(FIELDS.format(lakehouse=LAKEHOUSE, pack=pack), [calendar, day]).fetchall()
            for field, wells, on_stream, oil, gas, water in fields:
                name = f"{day} {field}"
                lines.append(f"{name:<22} {on_stream:>3}/{wells:<3} {oil:>14,.1f} {gas:>16,.0f} {water:>14,.1f}")
            checked, passed, warned, stopped = engine.execute(
                GATES.format(lakehouse=LAKEHOUSE), [pack, calendar, f"{day}@{calendar}"]
            ).fetchone()
            lines.append(
                f"  gates of {calendar}: {checked} checks, {passed} passed, {warned} warnings, {stopped} accepted"
            )
    return "\n".join(lines)
