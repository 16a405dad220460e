"""Keep a source system's change stream running, watched and reconciled.

The Connect worker writes raw all the time; this DAG registers the declared tables with it, loads what is new or
changed without an event, watches lag, and compares source and lake to the last digit. Feeds the raw tables of
the source.

**Clear** any task at any time: nothing here moves a row twice. **Trigger** a run to have a new declaration
registered at once. When it is red: docs/runbooks/land.md
"""

from airflow.sdk import Asset, dag

from include.catalog import Source, sources
from plugins.defaults import DEFAULTS, START, tags
from plugins.operators.landing import ReconcileOperator, RegisterOperator, SchemaCheckOperator, WatchOperator


def land(source: Source) -> None:
    @dag(
        dag_id=f"land_{source.name}",
        schedule=source.every,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        default_args={**DEFAULTS, "owner": source.owner, "source": source.name},
        tags=tags("land", source.pack, source.name),
        doc_md=__doc__,
    )
    def land_source():
        register = RegisterOperator(task_id="register")
        check_schema = SchemaCheckOperator(task_id="check_schema")
        watch = WatchOperator(task_id="watch")
        reconcile = ReconcileOperator(task_id="reconcile", outlets=[Asset(t.uri) for t in source.tables])
        register >> check_schema >> watch >> reconcile

    land_source()


for source in sources():
    land(source)
