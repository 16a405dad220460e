"""What on-call is told: one row in `ops.alerts` and one line in the log for every failure.

An alert says what failed, what was observed, and which task to clear. Recording must never hide the failure
that it reports, so a lakehouse that does not answer costs the row but not the log line.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alert:
    dag_id: str
    task_id: str
    run_id: str
    try_number: int
    what: str  # one sentence: what is wrong
    detail: Mapping[str, Any] = field(default_factory=dict)  # observed, bound, failing rows …
    clear_hint: str = ""  # which task to clear, or what to trigger, and after which fix

    def __str__(self) -> str:
        hint = f" {self.clear_hint}" if self.clear_hint else ""
        what = self.what.removesuffix(".")
        return f"ALERT {self.dag_id}.{self.task_id} (run {self.run_id}, try {self.try_number}): {what}.{hint}"


def raise_alert(alert: Alert) -> bool:
    """Log the alert and record it in `ops.alerts`; give whether the row was recorded."""
    log.error("%s", alert)
    for name, value in alert.detail.items():
        log.error("  %s: %s", name, value)
    try:
        from include.ops.store import record

        record("alerts", [{**asdict(alert), "detail": dict(alert.detail)}])
    except Exception as error:  # whatever is wrong there must not replace the failure being told
        log.error("The alert could not be recorded in ops.alerts: %s", error)
        return False
    return True


def alerts_of(run_id: str) -> list[dict[str, Any]]:
    """The alerts of one run, oldest first."""
    from include.ops.store import read

    return read("alerts", run_id=run_id)
