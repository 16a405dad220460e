"""Land the partner files that lie in the inbox, one task a file, in order of arrival.

Feeds the raw tables of every declared file feed. A file lands once; one that cannot be read goes to quarantine
whole, a row that cannot be parsed goes there alone, each with its reason in `ops.file_transfers`.

**Clear** a task when the work failed: what is in raw already is recognised. **Trigger** a run to land a file
before the next look at the inbox. A bad file is not an error of this DAG: it stays green, and says so.

When it is red, or a feed is late: docs/runbooks/land_files.md
"""

from airflow.sdk import MultipleCronTriggerTimetable, dag

from include.catalog import feeds
from plugins.defaults import DEFAULTS, LANDING_POOL, START, tags
from plugins.operators.files import LANDED_FILES, DiscoverFilesOperator, FileSummaryOperator, LandFilesOperator

declared = feeds()


@dag(
    dag_id="land_files",
    schedule=MultipleCronTriggerTimetable(*sorted({f.every for f in declared}), timezone="UTC") if declared else None,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULTS, "owner": declared[0].owner if declared else "data-platform"},
    tags=tags("land_files", *sorted({f.pack for f in declared})),
    doc_md=__doc__,
)
def land_files():
    found = DiscoverFilesOperator(task_id="discover")
    landed = LandFilesOperator.partial(
        task_id="land_file", pool=LANDING_POOL, outlets=[LANDED_FILES], map_index_template="{{ file_names }}"
    ).expand(files=found.output)
    FileSummaryOperator(task_id="summary", transfers=landed.output, trigger_rule="none_failed")


land_files()
