"""The mirror of SCADA and machine data: from sealed segments to the lake, gaps, and how the tags are."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from plugins.operators.lineage import LineageOperator

SEGMENTS = "spool://ot/segments"
READINGS, GAPS, TAG_HEALTH = "iceberg://ot/readings", "iceberg://ot/gaps", "iceberg://ot/tag_health"


class DrainOperator(LineageOperator):
    """Commit what the recorder seals to `ot.readings`, every few seconds for some minutes; end where nothing comes.

    The table says which segments are in, and a lease keeps a lost copy of this task from committing beside its retry.
    """

    ui_color = "#e8f1ee"
    clear_hint = "Clear `drain`, or wait: the next run goes on where the table stands. The spool keeps what is not in."

    def execute(self, context: Context) -> dict[str, Any]:
        from include.ot.mirror import drain

        self.read(SEGMENTS)
        self.wrote(READINGS, of=[SEGMENTS])
        self.wrote(GAPS, of=[SEGMENTS])
        done = drain(run_name(context), context["ti"].try_number)
        self.wrote(READINGS, of=[SEGMENTS], rows=done.rows)
        return done.figures()


class OpenGapsOperator(LineageOperator):
    """List the gaps that this run tries to fill; those of sources without a history are lost, and recorded so."""

    clear_hint = "Clear `open_gaps`: it lists what is open now."

    def execute(self, context: Context) -> list[dict[str, Any]]:
        from include.ot import gaps
        from include.ot.backfill import A_RUN

        self.read(GAPS)
        self.wrote(GAPS, of=[GAPS])
        found = gaps.due(datetime.now(UTC), A_RUN)
        for gap in found:
            self.log.info("%s: %s, %d tags", gap.gap_id, gap, len(gap.tag_ids))
        return [{**gaps.to_dict(gap), "tag_ids": len(gap.tag_ids), "name": str(gap)} for gap in found]


class BackfillOperator(LineageOperator):
    """Fill one gap from its source's history, as far as time allows; what is left is the next run's."""

    ui_color = "#e8f1ee"
    clear_hint = (
        "Nothing has to be cleared: the gap stays open and later runs try it again. To have it now, mend the "
        "connection and clear `backfill`; to settle it: python -m include.ot.gaps dismiss."
    )

    def __init__(self, *, gap: dict[str, Any], **kwargs) -> None:
        super().__init__(**kwargs)
        self.gap = gap

    def execute(self, context: Context) -> dict[str, int] | None:
        from include.ot.backfill import backfill, budget_s

        context["gap_name"] = self.gap["name"]
        history = f"opcua://{self.gap['source']}/history"
        self.read(history)
        self.wrote(READINGS, of=[history])
        self.wrote(GAPS, of=[history])
        done = backfill(self.gap["gap_id"], run_name(context), context["ti"].try_number, lasts_s=budget_s())
        if done is None:
            self.log.info("%s is settled already", self.gap["name"])
            return None
        self.wrote(READINGS, of=[history], rows=done.recovered)
        return {"recovered": done.recovered, "filled": done.filled, "lost": done.lost, "left": done.left}


class TagHealthOperator(LineageOperator):
    """Count readings, qualities, silence and gaps by tag and hour; late data counts in the hour that it is of."""

    clear_hint = "Clear `tag_health`: each hour that something came for is counted again, whole."

    def execute(self, context: Context) -> dict[str, int]:
        from include.ot.health import update

        self.read(READINGS, GAPS)
        found = update(context["dag_run"].run_after)
        self.wrote(TAG_HEALTH)
        (self.log.warning if found.undeclared else self.log.info)("%s", found)
        return {"tags": found.tags, "hours": found.hours, "stale": found.stale, "undeclared": len(found.undeclared)}


def run_name(context: Context) -> str:
    """The holder of the leases: this run, by its DAG."""
    run = context["dag_run"]
    return f"{run.dag_id}.{run.run_id}"
