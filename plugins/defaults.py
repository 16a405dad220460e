"""What every task of ours has in common."""

from datetime import datetime, timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from include.errors import DeclarationError, GateFailed, Superseded
from include.settings import settings
from plugins.alerts import alert_on_call

START = datetime(2000, 1, 1)  # before any data; catchup is off everywhere, so nothing old is started
LANDING_POOL = "land_files"
ENGINE_POOL = "engine"
DRAIN_POOL, BACKFILL_POOL = "ot_drain", "ot_backfill"

NEVER_RETRIED = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[GateFailed, Superseded, DeclarationError],
            action=RetryAction.FAIL,
            reason="The same task would fail the same way again; read the message",
        )
    ]
)

DEFAULTS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=2),
    "retry_policy": NEVER_RETRIED,
    "on_failure_callback": alert_on_call,
}


def closes_start() -> datetime:
    """Closes run by schedule from the contract day on which the platform was first started.

    Nothing was landed before that day; earlier ones are closed by hand, once their data is in.
    """
    started = settings.first_started_at
    return started - timedelta(days=1) if started else START


def publish_pool(pack: str) -> str:
    """The pool in which all publishes of a pack queue."""
    return f"publish_{pack}"


def tags(verb: str, *more: str) -> list[str]:
    """The DAG's tags; `runbook:<verb>` names its file in docs/runbooks."""
    return [verb, *more, f"runbook:{verb}"]
