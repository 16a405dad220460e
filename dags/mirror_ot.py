"""Commit SCADA and machine data to `ot.readings` while it comes, fill its gaps from history, and say how the tags are.

Woken by sealed segments in the recorder's spool, a run drains them for some minutes, committing every few seconds; then
the next one is woken. Once an hour a run comes by itself, so that silence is noticed and open gaps are tried. Feeds
`ot.readings`, `ot.gaps` and `ot.tag_health`, which closes read up to their cut-off.

**Clear** any task at any time: a reading is in the table once, whatever is killed, cleared or run beside another.
**Trigger** a run to drain at once; it is never needed to catch up, since a drain takes all that waits.

When it is red: docs/runbooks/mirror_ot.md
"""

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag

from plugins.defaults import BACKFILL_POOL, DEFAULTS, DRAIN_POOL, START, tags
from plugins.operators.ot import (
    READINGS,
    SEGMENTS,
    BackfillOperator,
    DrainOperator,
    OpenGapsOperator,
    TagHealthOperator,
)
from plugins.triggers.sealed_segments import SealedSegmentsTrigger

SEALED = Asset(SEGMENTS, watchers=[AssetWatcher(name="sealed_segments", trigger=SealedSegmentsTrigger())])


@dag(
    dag_id="mirror_ot",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("7 * * * *", timezone="UTC"), assets=[SEALED]),
    start_date=START,
    catchup=False,
    max_active_runs=3,  # the gaps and tags of a run do not hold up the next one's drain; drains share one slot
    default_args={**DEFAULTS, "owner": "field-automation"},
    tags=tags("mirror_ot"),
    doc_md=__doc__,
)
def mirror_ot():
    drain = DrainOperator(task_id="drain", pool=DRAIN_POOL, outlets=[Asset(READINGS)])
    found = OpenGapsOperator(task_id="open_gaps")
    BackfillOperator.partial(task_id="backfill", pool=BACKFILL_POOL, map_index_template="{{ gap_name }}").expand(
        gap=found.output
    )
    drain >> [found, TagHealthOperator(task_id="tag_health")]


mirror_ot()
