"""Scoring of assets' condition: what people say of an alert, then train, score and alert on what is published."""

from typing import Any

from airflow.sdk import Context

from include.lineage.naming import mart_uri
from plugins.operators.close import triggered_by
from plugins.operators.lineage import LineageOperator
from plugins.operators.ot import run_name

MODELS, SCORES, ALERTS = "iceberg://ops/asset_models", "iceberg://condition/asset_scores", "iceberg://ops/asset_alerts"


class ConditionOperator(LineageOperator):
    """Base of the steps: knows the pack and the mart of its asset hours."""

    ui_color = "#efe6f5"

    def __init__(self, *, pack: str, mart: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.pack, self.mart = pack, mart

    @property
    def steps(self):
        from include.condition import steps_of

        return steps_of(self.pack)


class TellOperator(ConditionOperator):
    """Record what the person who triggered the run says of an alert; without an alert there is nothing to say.

    By Airflow's user, at the run's own time, so that a cleared task says it once.
    """

    clear_hint = "Wrong alert, or no reason given: trigger a run with the right ones. Clear `tell` after an outage."

    def execute(self, context: Context) -> str | None:
        run, params = context["dag_run"], context["params"]
        if not params.get("alert_id"):
            return None
        who, label = triggered_by(run), params.get("label")
        told = self.steps.tell(
            params["calendar"], params["alert_id"], params["word"], who, params["reason"], run.run_after, label
        )
        self.wrote(ALERTS, of=[], rows=1)
        self.log.info("%s, by %s: %s", told, who, params["reason"])
        return told


class TrainOperator(ConditionOperator):
    """Train the models that the published hours ask for; one that is known is never trained again."""

    clear_hint = "Clear `train`: models that are in are kept, the others are trained."

    def execute(self, context: Context) -> int:
        trained = self.steps.train(run_name(context), context["ti"].try_number)
        self.read(mart_uri(self.pack, self.mart))
        self.wrote(MODELS, rows=trained)
        self.log.info("%d models trained", trained)
        return trained


class ScoreOperator(ConditionOperator):
    """Score the published hours; what has not changed is not written again."""

    clear_hint = "Clear `score`: it writes the hours that are new or were restated, and nothing twice."

    def execute(self, context: Context) -> int:
        written = self.steps.score(run_name(context), context["ti"].try_number)
        self.read(mart_uri(self.pack, self.mart), MODELS)
        self.wrote(SCORES, rows=written)
        self.log.info("%d scores written", written)
        return written


class AlertOperator(ConditionOperator):
    """Tell what the scores say of alerts; a confirmed one stands in the task's log and in the next shift report."""

    clear_hint = "Clear `alert`: an event that was told is not told again."

    def execute(self, context: Context) -> list[str]:
        told: list[dict[str, Any]] = self.steps.alert(run_name(context), context["ti"].try_number)
        self.read(SCORES)
        self.wrote(ALERTS, rows=len(told))
        for event in told:
            log = self.log.warning if event["event"] == "confirmed" else self.log.info
            log("%s %s at %s: %s", event["alert_id"], event["event"], event["at"], event["why"])
        return [event["event_id"] for event in told]
