"""What runs: each service's state, port, uptime and log file."""

import time

from include.settings import settings
from stack import supervisor
from stack.cluster.java import NoJava
from stack.services import PLATFORM, SERVICES, SIMULATORS, Service

COLUMNS = "{:<22} {:<10} {:>6} {:>10}  {}"


def table() -> tuple[str, bool]:
    """The status as text, and whether every service that should run is healthy."""
    states = supervisor.states()
    if not states:
        return f"The platform is not running (state: {settings.state_dir}). Start it: make up", False
    lines, troubles = [COLUMNS.format("service", "state", "port", "uptime", "log")], []
    for service in SERVICES.values():
        state, trouble = _state(service, states.get(service.name, {}))
        if state == "stopped" and service.name not in (*PLATFORM, *SIMULATORS):
            continue  # the other profile's
        if trouble and (service.name in PLATFORM or state != "stopped"):
            troubles.append(f"{service.name}: {trouble}")
        port = next(iter(service.ports().values()), "")
        lines.append(COLUMNS.format(service.name, state, port, _uptime(states.get(service.name, {})), service.log))
    return "\n".join([*lines, *(f"  {trouble}" for trouble in troubles)]), not troubles


def _state(service: Service, process: dict) -> tuple[str, str | None]:
    name = process.get("statename", "UNKNOWN")
    if name == "RUNNING":
        trouble = service.is_healthy()
        return ("unhealthy" if trouble else "healthy"), trouble
    if name in ("STOPPED", "EXITED"):
        return "stopped", "is stopped; start it: make up"
    try:
        service.runs_on()
    except NoJava as error:
        return "starting", str(error)
    if name in ("STARTING", "BACKOFF"):
        return "starting", f"starts again and again; read {service.log}" if name == "BACKOFF" else "is starting"
    return name.lower(), process.get("spawnerr") or f"read {service.log}"


def _uptime(process: dict) -> str:
    if process.get("statename") != "RUNNING":
        return "-"
    seconds = int(time.time()) - process["start"]
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds % 60:02d}s"
