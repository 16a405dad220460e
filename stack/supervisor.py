"""Our supervisord: its configuration, and the few calls that the commands make to it over its unix socket."""

import os
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path

from include.settings import ROOT, settings
from stack.layout import BIN, LOGS, RUN, child_environment, socket_path
from stack.services import SERVICES, Service

CONFIG = RUN / "supervisord.conf"
PIDFILE = RUN / "supervisord.pid"
START_S = 15.0

HEAD = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=10MB
logfile_backups=2
pidfile={pidfile}
childlogdir={logs}
umask=077
environment=HNAI_PROFILE="{profile}"
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={python} -m stack.run {name}
directory={root}
autostart=false
autorestart=true
startsecs=1
startretries=1000
stopsignal={stop_signal}
stopwaitsecs={grace_s}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


def configuration() -> str:
    head = HEAD.format(
        socket=socket_path("supervisor.sock"),
        logs=LOGS,
        pidfile=PIDFILE,
        profile=settings.profile,
        user="user=root\n" if os.geteuid() == 0 else "",
    )
    return head + "".join(_program(service) for service in SERVICES.values())


def _program(service: Service) -> str:
    return PROGRAM.format(
        name=service.name,
        python=BIN / "python",
        root=ROOT,
        stop_signal=service.stop_signal.name.removeprefix("SIG"),
        grace_s=service.grace_s,
        log=service.log,
    ).replace("%", "%%")


def rpc() -> xmlrpc.client.ServerProxy:
    """The supervisor's own calls; see supervisord.org/api.html."""
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{socket_path('supervisor.sock')}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)


def is_running() -> bool:
    try:
        return rpc().supervisor.getState()["statename"] == "RUNNING"
    except (OSError, HTTPException, xmlrpc.client.Error):
        return False


def launch() -> None:
    """Start supervisord in the background. It keeps the services alive, and starts none by itself."""
    CONFIG.write_text(configuration())
    socket_path("supervisor.sock").unlink(missing_ok=True)
    PIDFILE.unlink(missing_ok=True)
    ended = subprocess.run(
        [str(BIN / "supervisord"), "-c", str(CONFIG)],
        env=child_environment(),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"The supervisor does not start: {(ended.stdout + ended.stderr).strip()}")
    deadline = time.monotonic() + START_S
    while not is_running():
        if time.monotonic() > deadline:
            raise RuntimeError(f"The supervisor does not answer. Read {LOGS / 'supervisord.log'}")
        time.sleep(0.05)


def configuration_changed() -> bool:
    return not CONFIG.exists() or CONFIG.read_text() != configuration()


def states() -> dict[str, dict]:
    """What supervisord knows of each service: `statename`, `pid`, `start`, `now`, `spawnerr`."""
    try:
        return {process["name"]: process for process in rpc().supervisor.getAllProcessInfo()}
    except (OSError, HTTPException, xmlrpc.client.Error):
        return {}


def start(names: Iterable[str]) -> None:
    """Ask for services to be started, without waiting until they are healthy."""
    known = states()
    for name in names:
        if known[name]["statename"] not in ("RUNNING", "STARTING", "BACKOFF"):
            rpc().supervisor.startProcess(name, False)


def stop(names: Iterable[str]) -> None:
    """Ask services to stop, without waiting for their end; none is restarted."""
    known = states()
    for name in names:
        if known.get(name, {}).get("statename") in ("RUNNING", "STARTING", "BACKOFF"):
            rpc().supervisor.stopProcess(name, False)


def shut_down() -> None:
    """End supervisord itself; every service should be stopped before."""
    pid = int(PIDFILE.read_text()) if PIDFILE.exists() else None
    rpc().supervisor.shutdown()
    deadline = time.monotonic() + START_S
    while pid and Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
