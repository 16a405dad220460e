"""Where the platform keeps its state: one folder, made with the right modes before anything starts."""

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from include.settings import ROOT, settings

STATE = settings.state_dir
RUN = STATE / "run"
LOGS = STATE / "logs"
BIN = Path(sys.executable).parent  # the environment's own programs, whatever PATH says

PRIVATE = (
    *("secrets", "run", "logs", "tmp", "seaweed", "airflow", "connect", "workspaces", "lineage", "nats", "ot"),
    *("kafka", "trino", "nessie", "broker"),
)
SHARED = ("inbox", "archive", "quarantine", "reports", "data_docs")
SOCKET_PATH_LIMIT = 100  # a unix socket's path may have 107 bytes on Linux


def make_folders() -> None:
    """Create the state folder. Others may pass through it (PostgreSQL is not root) but not list it."""
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o711)
    for name in PRIVATE:
        (STATE / name).mkdir(exist_ok=True)
        (STATE / name).chmod(0o700)
    for name in SHARED:
        (STATE / name).mkdir(exist_ok=True)
    first_start = STATE / "first_start"  # scheduled closes begin with the day of this instant
    if not first_start.exists():
        first_start.write_text(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n")


def socket_path(name: str) -> Path:
    """Path of a unix socket in `run/`, or in a private folder of the system's where that path is too long."""
    path = RUN / name
    if len(str(path)) <= SOCKET_PATH_LIMIT:
        return path
    folder = Path("/tmp") / f"hnai-{os.getuid()}-{hashlib.sha256(str(STATE).encode()).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(f"{folder} belongs to somebody else. Set HNAI_STATE_DIR to a shorter path.")
    return folder / name


def child_environment() -> dict[str, str]:
    """The environment of every process of the platform: this one's, with the platform named in full."""
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "HNAI_STATE_DIR": str(STATE.resolve()),
        "HNAI_PORT_SHIFT": str(settings.port_shift),
        "HNAI_PROFILE": settings.profile,
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "SCARF_ANALYTICS": "false",
    }
