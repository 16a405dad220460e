"""Close one contract day or shift of a pack (or a range): build it at a fixed cut-off, gate it, publish it as a whole.

Reads `raw`, feeds the pack's marts. Until `publish` succeeds, readers keep the close that they have.

**Clear** a task when the *work* failed: a service was down, a model or a rule had to be mended. The run keeps
its version and its cut-off, so whatever was right comes out the same to the last digit.

**Trigger** a new run when the *data* changed: a late correction, a partner file that came after the close.
It becomes version n+1 with a new cut-off, and `ops.restatements` lists every figure that it changed. Give
`from_date` and `to_date` (`from_shift` and `to_shift`) for a range: one run, one publish. Without them it closes the
day or shift that ended last.

**Accept** a failed gate for one close: trigger with `accept` and `reason`, or use the command line.

When it is red: docs/runbooks/close.md
"""

from datetime import timedelta

from airflow.sdk import Asset, DeadlineAlert, DeadlineReference, Param, SyncCallback, dag

from include.catalog import Calendar, calendars, marts
from plugins.alerts import tell_late_close
from plugins.defaults import DEFAULTS, ENGINE_POOL, closes_start, publish_pool, tags
from plugins.operators.close import BuildOperator, FreezeOperator, GateOperator, PublishOperator, ReportOperator
from plugins.timetables.period import timetable_of

PERIOD = {
    "daily": {"type": ["null", "string"], "format": "date"},
    "shift": {"type": ["null", "string"], "pattern": r"^\d{4}-\d{2}-\d{2}(\.[1-9])?$"},
}
WHAT = {
    "daily": ("date", "production date", "Empty: the contract day that ended last."),
    "shift": ("shift", "shift", "2026-11-23.3, or a date for all shifts of that date. Empty: the one that ended last."),
}
PARAMS = {
    "reason": Param("", type="string", title="Reason", description="Why this close is made; kept with its seal."),
    "accept": Param(
        [],
        type="array",
        items={"type": "string"},
        title="Accept failing expectations",
        description="Patterns as in the gate's message, e.g. fct_gas_measurement_hourly.*; needs a reason.",
    ),
}

# Not DAGRUN_QUEUED_AT: in Airflow 3.3.2 a failed run with such a deadline cannot be cleared before it has passed.
LATE = DeadlineAlert(
    reference=DeadlineReference.AVERAGE_RUNTIME(max_runs=10, min_runs=1),
    interval=timedelta(hours=1),
    callback=SyncCallback(tell_late_close),
)


def window_params(grain: str) -> dict[str, Param]:
    name, what, empty = WHAT[grain]
    return {
        f"from_{name}": Param(None, **PERIOD[grain], title=f"First {what}", description=empty),
        f"to_{name}": Param(None, **PERIOD[grain], title=f"Last {what}", description="Empty: the same."),
    }


def close(calendar: Calendar) -> None:
    pack, published = calendar.pack, marts(calendar.pack)

    @dag(
        dag_id=calendar.dag_id,
        schedule=timetable_of(calendar),
        start_date=closes_start(),
        catchup=False,
        max_active_runs=4,
        params={**window_params(calendar.grain), **PARAMS},
        deadline=LATE,
        default_args={
            **DEFAULTS,
            "owner": published[0].owner if published else pack,
            "pack": pack,
            "calendar": calendar.name,
        },
        tags=tags("close", pack, calendar.name),
        doc_md=__doc__,
    )
    def steps():
        freeze = FreezeOperator(task_id="freeze")
        gate_landing = GateOperator(task_id="gate_landing", layer="landing")
        stage = BuildOperator(task_id="stage", layer="stage", pool=ENGINE_POOL)
        gate_stage = GateOperator(task_id="gate_stage", layer="stage")
        mart = BuildOperator(task_id="mart", layer="mart", pool=ENGINE_POOL)
        gate_mart = GateOperator(task_id="gate_mart", layer="mart")
        publish = PublishOperator(
            task_id="publish", pool=publish_pool(pack), outlets=[Asset(f"iceberg://{pack}/{m.name}") for m in published]
        )
        report = ReportOperator(task_id="report")
        freeze >> gate_landing >> stage >> gate_stage >> mart >> gate_mart >> publish >> report

    steps()


for calendar in calendars():
    close(calendar)
