"""Keep the lakehouse small and fast: compaction every hour; once a day old snapshots, orphans, workspaces and old runs.

Reads and rewrites files of every table, changes no row. Figures before and after are in the logs and in
`ops.maintenance`.

**Clear** a task whenever it is red: each does only what is left to do. **Trigger** a run to have the daily steps
at once, when a disk fills up. When it is red: docs/runbooks/maintain.md
"""

from airflow.sdk import dag

from plugins.defaults import DEFAULTS, START, tags
from plugins.operators.maintain import ForgetOldRunsOperator, OnceADayOperator, StoreLineageOperator, UpkeepOperator


@dag(
    dag_id="maintain_lakehouse",
    schedule="20 * * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULTS, "owner": "data-platform"},
    tags=tags("maintain"),
    doc_md=__doc__,
)
def maintain_lakehouse():
    compact = UpkeepOperator(task_id="compact_raw", step="compact_raw")
    lineage = StoreLineageOperator(task_id="store_lineage")
    once_a_day = OnceADayOperator(task_id="once_a_day")
    expire = UpkeepOperator(task_id="expire", step="expire")
    orphans = UpkeepOperator(task_id="orphans", step="remove_orphans")
    workspaces = UpkeepOperator(task_id="workspaces", step="drop_workspaces")
    old_runs = ForgetOldRunsOperator(task_id="forget_old_runs")
    compact >> lineage >> once_a_day >> expire >> orphans >> workspaces >> old_runs


maintain_lakehouse()
