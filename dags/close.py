"""Close one contract day (or a range of days) of a pack: build it at a fixed cut-off, gate it, publish it as a whole.

Reads `raw`, feeds the pack's marts. Until `publish` succeeds, readers keep the close that they have.

**Clear** a task when the *work* failed: a service was down, a model or a rule had to be mended. The run keeps
its version and its cut-off, so whatever was right comes out the same to the last digit.

**Trigger** a new run when the *data* changed: a late correction, a partner file that came after the close.
It becomes version n+1 with a new cut-off, and `ops.restatements` lists every figure that it changed. Give
`from_date` and `to_date` for a range (one run, one publish); without dates it closes the day that ended last.

**Accept** a failed gate for one close: trigger with `accept` and `reason`, or use the command line.

When it is red: docs/runbooks/close.md
"""

from datetime import timedelta

from airflow.sdk import Asset, DeadlineAlert, DeadlineReference, Param, SyncCallback, dag

from include.catalog import Calendar, calendars, marts
from plugins.alerts import tell_late_close
from plugins.defaults import DEFAULTS, closes_start, publish_pool, tags
from plugins.operators.close import BuildOperator, FreezeOperator, GateOperator, PublishOperator, ReportOperator
from plugins.timetables.contract_day import ContractDayTimetable

DAY = {"type": ["null", "string"], "format": "date"}
PARAMS = {
    "from_date": Param(
        None, **DAY, title="First production date", description="Empty: the contract day that ended last."
    ),
    "to_date": Param(None, **DAY, title="Last production date", description="Empty: the same day."),
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


def close(calendar: Calendar) -> None:
    pack, published = calendar.pack, marts(calendar.pack)

    @dag(
        dag_id=f"{pack}_daily_close_{calendar.name}",
        schedule=ContractDayTimetable(
            zone=calendar.zone, contract_hour=calendar.contract_hour, grace_minutes=calendar.grace_minutes
        ),
        start_date=closes_start(),
        catchup=False,
        max_active_runs=4,
        params=PARAMS,
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
    def daily_close():
        freeze = FreezeOperator(task_id="freeze")
        gate_landing = GateOperator(task_id="gate_landing", layer="landing")
        stage = BuildOperator(task_id="stage", layer="stage")
        gate_stage = GateOperator(task_id="gate_stage", layer="stage")
        mart = BuildOperator(task_id="mart", layer="mart")
        gate_mart = GateOperator(task_id="gate_mart", layer="mart")
        publish = PublishOperator(
            task_id="publish", pool=publish_pool(pack), outlets=[Asset(f"iceberg://{pack}/{m.name}") for m in published]
        )
        report = ReportOperator(task_id="report")
        freeze >> gate_landing >> stage >> gate_stage >> mart >> gate_mart >> publish >> report

    daily_close()


for calendar in calendars():
    close(calendar)
