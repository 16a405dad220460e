"""What must be right before anything starts; each failure says what to do."""

import contextlib
import shutil
import socket
import sys
import time
from collections.abc import Iterable

from include.settings import settings
from stack.cluster.java import NoJava
from stack.layout import STATE
from stack.services import SERVICES

FREE_GB = 5
SETTLE_S = 3.0
PYTHON = (3, 11)


class NotReady(RuntimeError):
    """The machine is not ready for the platform."""


def check_system(free_gb_needed: float = FREE_GB) -> None:
    """Python, operating system and free disk."""
    if sys.version_info < PYTHON:
        raise NotReady(
            f"Python {sys.version.split()[0]} is too old: run `make PYTHON=/path/to/python3.11` or a later one."
        )
    if not sys.platform.startswith("linux"):
        raise NotReady("The embedded platform runs on Linux. Elsewhere run it in a container or a virtual machine.")
    folder = next(path for path in (STATE, *STATE.parents) if path.exists())
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < free_gb_needed:
        raise NotReady(
            f"Only {free_gb:.1f} GB are free where {STATE} lies; {free_gb_needed} GB are needed. "
            f"Free some, or move the state with HNAI_STATE_DIR=/other/disk/hnai."
        )


def check_ports(names: Iterable[str]) -> None:
    """Refuse to start where somebody else listens already."""
    for name in names:
        for setting, port in SERVICES[name].ports().items():
            if _stays_taken(port):
                plain = setting.removesuffix(" (gRPC)")
                raise NotReady(
                    f"Port {port} of {name} is taken by {_owner(port)}. Stop that process, or move the port: "
                    f"HNAI_PORTS__{plain.upper()}=<port>, or all ports at once: HNAI_PORT_SHIFT=1000."
                )


def check_installed(names: Iterable[str]) -> None:
    """Refuse to start where the Java of a service is missing."""
    for name in names:
        try:
            SERVICES[name].runs_on()
        except NoJava as error:
            raise NotReady(f"{name} cannot run here. {error}") from error


def _stays_taken(port: int) -> bool:
    """Whether the port is taken and stays so: the threads of a service just killed hold theirs for a moment more."""
    deadline = time.monotonic() + SETTLE_S
    while _is_taken(port):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.1)
    return False


def _is_taken(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, port))
        except OSError:
            return True
    return False


def _owner(port: int) -> str:
    """The process that listens on a port, as far as we may know it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            is_it = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if is_it and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process that this user may not see"
