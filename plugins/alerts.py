"""The callback that tells on-call what failed, what was seen, and which task to clear."""

from typing import Any

from airflow.sdk import Context

FAILING_ROWS_SHOWN = 5


def alert_on_call(context: Context) -> None:
    """On a task's final failure: log it and record it in `ops.alerts`.

    Runs in the task's own process, or in the dag processor where that process was killed; the latter knows
    no exception, only Airflow's reason.
    """
    from include.ops.alerts import Alert, raise_alert

    ti, error = context["ti"], context.get("exception")
    task = context.get("task") or getattr(ti, "task", None)
    raise_alert(
        Alert(
            dag_id=ti.dag_id,
            task_id=ti.task_id if ti.map_index in (None, -1) else f"{ti.task_id}[{ti.map_index}]",
            run_id=ti.run_id,
            try_number=ti.try_number,
            what=_what(error, context.get("reason")),
            detail=_detail(error),
            clear_hint=clear_hint(ti.dag_id, ti.task_id, ti.run_id, task),
        )
    )


def tell_late_close(context: dict[str, Any]) -> None:
    """On a close that is not published in time: tell on-call, before readers ask. Airflow calls it at the deadline."""
    from include.ops.alerts import Alert, raise_alert

    run, deadline = context["dag_run"], context["deadline"]["deadline_time"]
    raise_alert(
        Alert(
            dag_id=run["dag_id"],
            task_id="",
            run_id=run["dag_run_id"],
            try_number=0,
            what=f"The close was not done by {deadline}",
            detail={"state": run["state"], "queued_at": run["queued_at"]},
            clear_hint="Look at the run: clear the task that is red, or see what holds up the one that runs. "
            "See docs/runbooks/close.md",
        )
    )


def clear_hint(dag_id: str, task_id: str, run_id: str, task: Any) -> str:
    """Which task to clear in which run, and the runbook."""
    advice = getattr(task, "clear_hint", None) or f"Clear `{task_id}` once the cause is gone."
    runbook = next(
        (
            t.removeprefix("runbook:")
            for t in getattr(getattr(task, "dag", None), "tags", ())
            if t.startswith("runbook:")
        ),
        None,
    )
    where = f"{dag_id}, run {run_id}, task {task_id}. {advice}"
    return f"{where} See docs/runbooks/{runbook}.md" if runbook else where


def _what(error: BaseException | str | None, reason: str | None) -> str:
    if error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return reason or "The task's process was lost (killed, or the machine restarted)"


def _detail(error: BaseException | str | None) -> dict[str, Any]:
    """What a gate attached to its failure, at most five failing rows each; else the error in full."""
    found = getattr(error, "detail", None)
    if found is not None:
        return {"expectations": [_shortened(e) for e in found]}
    return {"error": type(error).__name__, "message": str(error)} if isinstance(error, BaseException) else {}


def _shortened(expectation: dict[str, Any]) -> dict[str, Any]:
    return {k: v[:FAILING_ROWS_SHOWN] if isinstance(v, list | tuple) else v for k, v in expectation.items()}
