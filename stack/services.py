"""Every service of the platform: how it starts, what it listens on, and how one knows that it works."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from include.settings import settings
from stack import postgres, seaweed
from stack.layout import BIN, LOGS, RUN


def _nothing() -> None:
    """What a service without preparations does before it starts."""


@dataclass(frozen=True)
class Service:
    name: str
    command: Callable[[], list[str]]
    is_healthy: Callable[[], str | None]  # None, or what is wrong
    ports: Callable[[], dict[str, int]] = dict  # by the setting that moves them
    environment: Callable[[], dict[str, str]] = dict
    prepare: Callable[[], None] = _nothing
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: int = 10  # how long it may take to stop by itself
    leaves_tasks: bool = False  # what outlives it would run twice beside its next life: kill at once
    start_timeout_s: int = field(default=120)

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"


def _python(*arguments: str) -> Callable[[], list[str]]:
    return lambda: [str(BIN / "python"), *arguments]


def _airflow(*arguments: str) -> Callable[[], list[str]]:
    return lambda: [str(BIN / "airflow"), *arguments]


def _airflow_environment() -> dict[str, str]:
    from stack.airflow_env import airflow_environment

    return airflow_environment()


def _airflow_part(part: str) -> Callable[[], str | None]:
    def is_healthy() -> str | None:
        try:
            health = _get_json(f"{settings.airflow_uri}/api/v2/monitor/health")
        except (OSError, ValueError) as error:
            return f"Airflow does not answer at {settings.airflow_uri}: {error}"
        status = "healthy" if part == "api_server" else (health.get(part) or {}).get("status")
        return None if status == "healthy" else f"Airflow reports its {part} as {status or 'unknown'}"

    return is_healthy


def _connect_is_healthy() -> str | None:
    try:
        _get_json(f"{settings.connect_uri}/connectors")
    except (OSError, ValueError) as error:
        return f"the Connect worker does not answer at {settings.connect_uri}: {error}"
    return None


def _recovered() -> str | None:
    """The publisher's recovery must have run since the catalog last came up."""
    from stack.leftovers import recorded

    catalog = recorded("seaweedfs")
    marker = RUN / "recovered"
    if catalog and marker.exists() and marker.read_text().strip() == str(catalog):
        return None
    return "unfinished publishes are not recovered yet"


def _airflow_port() -> dict[str, int]:
    return {"airflow": settings.port("airflow")}


def _get_json(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


_SERVICES = (
    Service(
        "seaweedfs",
        command=seaweed.command,
        is_healthy=seaweed.is_healthy,
        ports=seaweed.ports,
        environment=seaweed.environment,
        prepare=seaweed.prepare,
        grace_s=20,
    ),
    Service(
        "postgres",
        command=postgres.command,
        is_healthy=postgres.is_healthy,
        ports=postgres.ports,
        prepare=postgres.prepare,
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
        grace_s=30,
    ),
    Service("recover", command=_python("-m", "stack.recover"), is_healthy=_recovered),
    Service(
        "connect",
        command=_python("-m", "include.land.worker"),
        is_healthy=_connect_is_healthy,
        ports=lambda: {"connect": settings.port("connect")},
    ),
    Service(
        "airflow-api-server",
        command=_airflow("api-server"),
        is_healthy=_airflow_part("api_server"),
        ports=_airflow_port,
        environment=_airflow_environment,
        grace_s=3,  # it waits for open browser connections otherwise
        start_timeout_s=240,
    ),
    Service(
        "airflow-scheduler",
        command=_python("-m", "stack.warm_scheduler", "scheduler", "--skip-serve-logs"),
        is_healthy=_airflow_part("scheduler"),
        environment=_airflow_environment,
        leaves_tasks=True,
        grace_s=3,  # it waits for running tasks otherwise; they are cleared and run again
        start_timeout_s=240,
    ),
    Service(
        "airflow-dag-processor",
        command=_airflow("dag-processor"),
        is_healthy=_airflow_part("dag_processor"),
        environment=_airflow_environment,
        start_timeout_s=240,
    ),
    Service(
        "airflow-triggerer",
        command=_airflow("triggerer", "--skip-serve-logs"),
        is_healthy=_airflow_part("triggerer"),
        environment=_airflow_environment,
        start_timeout_s=240,
    ),
    Service("simulate", command=_python("-m", "demo.simulate"), is_healthy=lambda: None),
)

SERVICES: dict[str, Service] = {service.name: service for service in _SERVICES}
AIRFLOW = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
LAKE = ("seaweedfs", "postgres", "recover")
PLATFORM = (*LAKE, "connect", *AIRFLOW)


def environment_of(service: Service) -> dict[str, str]:
    """The full environment of a service's process."""
    return {**os.environ, **service.environment()}
