"""Every service of the platform: how it starts, what it listens on, and how one knows that it works."""

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from include.ot.sources import sources
from include.settings import settings
from stack import nats, postgres, seaweed
from stack.cluster import airflow, connect, kafka, nessie, trino
from stack.cluster.fetch import KAFKA, NESSIE, PLUGINS, TRINO, Server
from stack.cluster.java import java17, java25
from stack.layout import BIN, LOGS, RUN

HEALTH_FRESH_S = 15


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
    servers: tuple[Server, ...] = ()  # what must have been fetched
    runs_on: Callable[[], object] = _nothing  # raises where the machine lacks what it runs on
    leaves_tasks: bool = False  # what outlives it would run twice beside its next life: kill at once
    start_timeout_s: int = field(default=120)

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"


def _if(condition: bool, *names: str) -> tuple[str, ...]:
    return names if condition else ()


def _python(*arguments: str) -> Callable[[], list[str]]:
    return lambda: [str(BIN / "python"), *arguments]


def _airflow(*arguments: str) -> Callable[[], list[str]]:
    return lambda: [str(airflow.programs() / "airflow"), *arguments]


def _scheduler() -> list[str]:
    """Tasks fork from the scheduler, unless they run in workers: what it has imported then serves nobody."""
    arguments = ("scheduler", "--skip-serve-logs")
    if settings.airflow.executor == "CeleryExecutor":
        return _airflow(*arguments)()
    return [str(airflow.programs() / "python"), "-m", "stack.warm_scheduler", *arguments]


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

    catalog = recorded(CATALOG)
    marker = RUN / "recovered"
    if catalog and marker.exists() and marker.read_text().strip() == str(catalog):
        return None
    return "unfinished publishes are not recovered yet"


def _airflow_port() -> dict[str, int]:
    return {"airflow": settings.port("airflow")}


def _ot_is_healthy(folder: str) -> Callable[[], str | None]:
    """Healthy while it tells its state, reaches the broker and can write. An OT server may be away all the same."""

    def is_healthy() -> str | None:
        path = settings.ot_dir / folder / "health.json"
        try:
            health, age_s = json.loads(path.read_bytes()), time.time() - path.stat().st_mtime
        except (OSError, ValueError) as error:
            return f"it has not told its state yet ({error})"
        if age_s > HEALTH_FRESH_S:
            return f"it told its state last {age_s:.0f} s ago, in {path}"
        if not Path(f"/proc/{health.get('pid', 'self')}").exists():
            return "the process that told its state last has ended"
        own = health.get("problems", {}).get("outbox") or health.get("spool", {}).get("problem")
        return health["broker"]["problem"] or own

    return is_healthy


def _answers(port: str) -> Callable[[], str | None]:
    def is_healthy() -> str | None:
        try:
            socket.create_connection((settings.host, settings.port(port)), timeout=5).close()
        except OSError as error:
            return f"nothing answers at port {settings.port(port)}: {error}"
        return None

    return is_healthy


def _bridge(source: str) -> Service:
    return Service(
        f"bridge-{source}", command=_python("-m", "include.ot.bridge", source), is_healthy=_ot_is_healthy(source)
    )


_CAMERAS = Service(
    "cameras",
    command=_python("-m", "include.packs.factorypack.camera_messages"),
    is_healthy=_ot_is_healthy("cameras"),
    grace_s=20,
)


def _get_json(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


_EMBEDDED_CONNECT = Service(
    "connect",
    command=_python("-m", "include.land.worker"),
    is_healthy=_connect_is_healthy,
    ports=lambda: {"connect": settings.port("connect")},
)
_KAFKA_CONNECT = Service(
    "connect",
    command=connect.command,
    servers=(KAFKA, *PLUGINS),
    runs_on=java17,
    is_healthy=_connect_is_healthy,
    ports=lambda: {"connect": settings.port("connect")},
    environment=connect.environment,
    grace_s=30,
    start_timeout_s=240,
)
_DISTRIBUTED = (
    Service(
        "kafka",
        command=kafka.command,
        servers=(KAFKA,),
        runs_on=java17,
        is_healthy=kafka.is_healthy,
        ports=kafka.ports,
        environment=kafka.environment,
        grace_s=30,
    ),
    Service(
        "nessie",
        command=nessie.command,
        servers=(NESSIE,),
        runs_on=java25,
        is_healthy=nessie.is_healthy,
        ports=nessie.ports,
        environment=nessie.environment,
        grace_s=20,
        start_timeout_s=240,
    ),
    Service(
        "trino",
        command=trino.command,
        servers=(TRINO,),
        runs_on=java25,
        is_healthy=trino.is_healthy,
        ports=trino.ports,
        environment=trino.environment,
        grace_s=20,
        start_timeout_s=600,
    ),
)

_WORKERS = (
    Service(
        "broker",
        command=airflow.broker_command,
        servers=airflow.servers(),
        is_healthy=airflow.broker_is_healthy,
        ports=airflow.broker_ports,
        environment=airflow.broker_environment,
    ),
    Service(
        "airflow-worker",
        command=airflow.worker_command,
        servers=airflow.servers(),
        is_healthy=airflow.worker_is_healthy,
        environment=_airflow_environment,
        leaves_tasks=True,
        grace_s=3,  # it waits for running tasks otherwise; they are cleared and run again
        start_timeout_s=240,
    ),
)

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
    _KAFKA_CONNECT if settings.is_distributed else _EMBEDDED_CONNECT,
    *_DISTRIBUTED,
    Service("mqtt", command=nats.command, is_healthy=nats.is_healthy, ports=nats.ports, prepare=nats.prepare),
    Service("recorder", command=_python("-m", "include.ot.recorder"), is_healthy=_ot_is_healthy("spool"), grace_s=20),
    *((_CAMERAS,) if settings.ot.camera_messages else ()),
    *(_bridge(source.name) for source in sources() if source.has_bridge),
    Service(
        "airflow-api-server",
        command=_airflow("api-server"),
        servers=airflow.servers(),
        is_healthy=_airflow_part("api_server"),
        ports=_airflow_port,
        environment=_airflow_environment,
        grace_s=3,  # it waits for open browser connections otherwise
        start_timeout_s=240,
    ),
    Service(
        "airflow-scheduler",
        command=_scheduler,
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
    *_WORKERS,
    Service("simulate", command=_python("-m", "demo.simulate"), is_healthy=lambda: None),
    Service("simulate-plant", command=_python("-m", "demo.plant", "simulate"), is_healthy=lambda: None),
    Service(
        "simulate-opcua",
        command=_python("-m", "demo.opcua_simulator"),
        is_healthy=_answers("opcua_simulator"),
        ports=lambda: {"opcua_simulator": settings.port("opcua_simulator")},
    ),
    Service(
        "simulate-modbus",
        command=_python("-m", "demo.modbus_simulator"),
        is_healthy=_answers("modbus_simulator"),
        ports=lambda: {"modbus_simulator": settings.port("modbus_simulator")},
    ),
    Service(
        "simulate-mtconnect",
        command=_python("-m", "demo.mtconnect_simulator"),
        is_healthy=_answers("mtconnect_simulator"),
        ports=lambda: {"mtconnect_simulator": settings.port("mtconnect_simulator")},
    ),
    Service("simulate-line", command=_python("-m", "demo.line_simulator"), is_healthy=_ot_is_healthy("plant_lines")),
)

SERVICES: dict[str, Service] = {service.name: service for service in _SERVICES}
_has_celery = settings.airflow.executor == "CeleryExecutor"
AIRFLOW = (
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
    *_if(_has_celery, "airflow-worker"),
)

_cluster = settings.cluster
_has_own_catalog = _cluster.catalog_url is None and _cluster.catalog != "rest"
_has_nessie = settings.is_distributed and _has_own_catalog and _cluster.catalog == "nessie"
_has_seaweed = not settings.is_distributed or _cluster.s3_url is None or (_has_own_catalog and not _has_nessie)
# Whose life recovery follows; of a catalog elsewhere nothing is known, so it runs once with each start of ours.
CATALOG = "nessie" if _has_nessie else "seaweedfs" if _has_own_catalog and _has_seaweed else "recover"
LAKE = (
    *_if(_has_seaweed, "seaweedfs"),
    *_if(_cluster.postgres_host is None, "postgres"),
    *_if(_has_nessie, "nessie"),
    "recover",
)
OT = (
    "mqtt",
    "recorder",
    *_if(settings.ot.camera_messages, "cameras"),
    *(name for name in SERVICES if name.startswith("bridge-")),
)
DISTRIBUTED = (
    *_if(_cluster.kafka_brokers is None and _cluster.connect_url is None, "kafka"),
    *_if(_cluster.connect_url is None, "connect"),
    *_if(_cluster.trino_url is None, "trino"),
)
PLATFORM = (
    *LAKE,
    *(DISTRIBUTED if settings.is_distributed else ("connect",)),
    *OT,
    *_if(_has_celery and settings.cluster.broker_host is None, "broker"),
    *AIRFLOW,
)
BROKERS = ("mqtt", "kafka", "broker")  # others start once these are healthy
EARLY = (*BROKERS, "trino") if settings.is_distributed else (*BROKERS, "connect")  # they need the stores alone
LATE = ("kafka", "broker")  # they stop after their clients: Connect hangs without Kafka
SIMULATORS = tuple(name for name in SERVICES if name.startswith("simulate"))  # for the demo


def environment_of(service: Service) -> dict[str, str]:
    """The full environment of a service's process."""
    return {**os.environ, **service.environment()}
