"""Score the condition of a pack's assets whenever its hours are published, and raise, confirm and end alerts.

Reads the published mart of asset hours; feeds `ops.asset_models`, `condition.asset_scores` and `ops.asset_alerts`. A
model is trained once on the first hours of a baseline and keeps its training window; a work order that renews an asset
starts a new baseline. The tables follow from what is published and from what people said, whichever run writes them.

**Clear** any task at any time: each adds what is missing, and nothing twice. Published hours that were restated are
scored again.

**Trigger** a run to score at once; or, with `alert_id` and `reason`, to acknowledge, close or label an alert under your
own name.

When it is red: docs/runbooks/score.md
"""

from airflow.sdk import Asset, Param, dag

from include.catalog import calendars, marts
from include.condition import scored_packs
from plugins.defaults import DEFAULTS, START, tags
from plugins.operators.score import AlertOperator, ScoreOperator, TellOperator, TrainOperator


def params(pack: str) -> dict[str, Param]:
    sites = [calendar.name for calendar in calendars(pack)]
    return {
        "alert_id": Param("", type="string", title="Alert", description="As the report names it. Empty: score alone."),
        "word": Param("acknowledged", enum=["acknowledged", "closed", "labelled"], title="What you say of it"),
        "label": Param(
            None, type=["null", "string"], enum=[None, "true_fault", "false_alarm", "unclear"], title="Label"
        ),
        "reason": Param("", type="string", title="Reason", description="Why; kept with your name."),
        "calendar": Param(sites[0], enum=sites, title="Site of the alert"),
    }


def score(pack: str, mart: str) -> None:
    owner = next((m.owner for m in marts(pack) if m.name == mart), pack)

    @dag(
        dag_id=f"{pack}_score",
        schedule=Asset(f"iceberg://{pack}/{mart}"),
        start_date=START,
        catchup=False,
        max_active_runs=1,
        params=params(pack),
        default_args={**DEFAULTS, "owner": owner, "pack": pack, "mart": mart},
        tags=tags("score", pack),
        doc_md=__doc__,
    )
    def steps():
        told = TellOperator(task_id="tell")
        told >> TrainOperator(task_id="train") >> ScoreOperator(task_id="score") >> AlertOperator(task_id="alert")

    steps()


for pack, mart in scored_packs():
    score(pack, mart)
