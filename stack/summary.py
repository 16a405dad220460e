"""What was published last in a few lines, read from the marts as any reader would."""

import importlib
import importlib.util

from include.catalog import calendar
from include.lakehouse import LAKEHOUSE, connect

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


def published(last: dict[str, str]) -> str:
    """The figures of each calendar's period, in the words of its pack, and what the gates said."""
    said, heading = [], ""
    with connect() as engine:
        for name, period in last.items():
            pack = calendar(name).pack
            words = _words(pack)
            if words and heading != words.HEADING:
                heading = words.HEADING
                said.append(heading)
            said += words.lines(engine, name, period) if words else []
            checked, passed, warned, stopped = engine.execute(
                GATES.format(lakehouse=LAKEHOUSE), [pack, name, f"{period}@{name}"]
            ).fetchone()
            said.append(f"  gates of {name}: {checked} checks, {passed} passed, {warned} warnings, {stopped} accepted")
    return "\n".join(said)


def _words(pack: str):
    """The pack's `include/packs/<pack>/summary.py`, or None where it has none."""
    if not importlib.util.find_spec(f"include.packs.{pack}"):
        return None
    name = f"include.packs.{pack}.summary"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
