"""Client of Kafka Connect's REST API, which the embedded worker answers too; and how far a source is in.

`register_connector` is what the landing DAG calls before each run. It is safe to repeat: nothing is restarted
unless the connector's own configuration changed, and a table added to the declaration joins the running stream.
"""

import time
from typing import Any

import requests

from include import lakehouse
from include.catalog import Source
from include.catalog import source as declared
from include.errors import LandingError
from include.land import raw_table
from include.land.source_setup import (
    HEARTBEAT,
    Setup,
    address,
    captured_tables,
    connect_source,
    heartbeat_table,
    prepare,
    publication_name,
    static_config,
)
from include.settings import settings

TIMEOUT_S = 30


def connector_config(source: Source, setup: Setup) -> dict[str, str]:
    """The connector's configuration: the static file of its kind, and what the declaration and settings add.

    Secrets are references in the form of Kafka's DirectoryConfigProvider; the worker resolves them.
    """
    static, where = static_config(source), address(source)
    composed = {
        "database.hostname": where["host"],
        "database.port": where["port"],
        "database.dbname": where["dbname"],
        "database.user": where["user"],
        "database.password": f"${{dir:{settings.secrets_dir.resolve()}:postgres_{where['user']}}}",
        "topic.prefix": source.name,
        "slot.name": setup.slot,
        "publication.name": publication_name(source),
        "schema.include.list": ",".join(sorted({t.schema for t in captured_tables(source)})),
        "heartbeat.interval.ms": str(int(settings.landing.heartbeat_every_s * 1000)),
        "hnai.source": source.name,
        "hnai.epoch": str(setup.epoch),
    }
    return {"name": source.name, **composed, **static}


def register_connector(source: str) -> dict[str, Any]:
    """Make the source ready, and its connector run with the configuration that the declaration asks for.

    Gives what was done. Raises `LandingError` at the end, after everything else runs, where a table was refused.
    """
    found = declared(source)
    setup = prepare(found)
    config = connector_config(found, setup)
    _call("PUT", f"/connectors/{source}/config", json=config)
    if setup.refused:
        raise LandingError("; ".join(f"{table}: {why}" for table, why in setup.refused.items()))
    return {"slot": setup.slot, "epoch": setup.epoch, "added": setup.added, "warnings": setup.warnings}


def connectors() -> list[str]:
    return _call("GET", "/connectors")


def status(source: str) -> dict[str, Any]:
    """State of connector and tasks as Kafka Connect gives it; the embedded worker adds `hnai`."""
    return _call("GET", f"/connectors/{source}/status")


def pause(source: str) -> None:
    _call("PUT", f"/connectors/{source}/pause")


def resume(source: str) -> None:
    _call("PUT", f"/connectors/{source}/resume")


def restart(source: str) -> None:
    _call("POST", f"/connectors/{source}/restart", params={"includeTasks": "true"})


def delete(source: str) -> None:
    """Stop the connector and forget it. Slot and publication stay in the source, so the source keeps WAL for it."""
    _call("DELETE", f"/connectors/{source}")


def _call(method: str, path: str, **options: Any) -> Any:
    try:
        answer = requests.request(method, settings.connect_uri + path, timeout=TIMEOUT_S, **options)
    except requests.RequestException as error:
        raise LandingError(
            f"The Connect worker at {settings.connect_uri} does not answer. Look at: make status"
        ) from error
    if not answer.ok:
        try:
            message = answer.json().get("message", answer.text)
        except ValueError:
            message = answer.text
        raise LandingError(f"Connect answered {answer.status_code} to {method} {path}: {message}")
    return answer.json() if answer.content else None


def running(source: str) -> None:
    """Raise `LandingError` unless connector and tasks run; the message carries the trace of what failed."""
    state = status(source)
    parts = [("connector", state["connector"]), *((f"task {t['id']}", t) for t in state["tasks"])]
    bad = [
        f"{what} is {part['state']}: {part.get('trace', '').strip()[:2000]}"
        for what, part in parts
        if part["state"] != "RUNNING"
    ]
    if bad or not state["tasks"]:
        raise LandingError(f"Connector {source!r} does not run. " + "; ".join(bad or ["it has no task"]))


def landed_position(source: str) -> dict[str, int] | None:
    """How far all tables of the source are in, proved by the heartbeat that lands last. None before the first."""
    beat = heartbeat_table(declared(source))
    if not lakehouse.exists(f"raw.{beat.identifier}"):
        return None
    mark = raw_table.mark(lakehouse.table(f"raw.{beat.identifier}"))
    return {"epoch": mark.epoch, "commit_lsn": mark.commit_lsn} if mark.epoch else None


def source_position(source: str) -> dict[str, int]:
    """Where the source stands now: everything committed before this call lies at or below it."""
    with connect_source(source) as connection:
        lsn = connection.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()[0]
        row = connection.execute(
            "select max(substring(slot_name from '_([0-9]+)$')::int) from pg_replication_slots "
            "where database = current_database() and slot_name ~ %s",
            [f"^{publication_name(source)}_[0-9]+$"],
        ).fetchone()
    if row[0] is None:
        raise LandingError(
            f"Source {source!r} has no replication slot yet. Run its landing DAG: register_connector comes first."
        )
    return {"epoch": row[0], "commit_lsn": lsn}


def beat(source: str) -> None:
    """Write a heartbeat now, so that a wait need not sit out the interval."""
    schema, table = HEARTBEAT
    with connect_source(source) as connection:
        connection.execute(
            f"insert into {schema}.{table} (id, beat_at) values (2, now()) "
            "on conflict (id) do update set beat_at = excluded.beat_at"
        )


def wait_until(source: str, position: dict[str, int], timeout: float | None = None) -> dict[str, int]:
    """Wait until everything up to `position` is in raw; give the position reached.

    Raises `LandingError` after `timeout` seconds (else the setting `landing.catch_up_timeout_s`), and says why.
    """
    limit = settings.landing.catch_up_timeout_s if timeout is None else timeout
    deadline = time.monotonic() + limit
    wanted = (position["epoch"], position["commit_lsn"])
    pause_s = 0.1
    beat(source)
    while True:
        reached = landed_position(source)
        if reached and (reached["epoch"], reached["commit_lsn"]) >= wanted:
            return reached
        if time.monotonic() > deadline:
            raise LandingError(
                f"Raw did not reach {position} of {source!r} within {limit:.0f} s; it is at {reached}. {_why(source)}"
            )
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 1.0)


def _why(source: str) -> str:
    try:
        running(source)
        return f"The stream runs and lags: {lag(source)}"
    except LandingError as error:
        return str(error)


def lag(source: str) -> dict[str, Any]:
    """How much WAL the source holds back for the stream, and how far raw is behind, in bytes.

    `is_over` says that the bound `landing.retained_wal_mb` is passed: the DAG alarms.
    """
    with connect_source(source) as connection:
        row = connection.execute(
            """
            select slot_name, active, coalesce(wal_status, ''),
                   (pg_current_wal_insert_lsn() - restart_lsn)::bigint,
                   (pg_current_wal_insert_lsn() - confirmed_flush_lsn)::bigint
            from pg_replication_slots where database = current_database() and slot_name ~ %s
            order by length(slot_name) desc, slot_name desc limit 1
            """,
            [f"^{publication_name(source)}_[0-9]+$"],
        ).fetchone()
    if row is None:
        raise LandingError(
            f"Source {source!r} has no replication slot yet. Run its landing DAG: register_connector comes first."
        )
    slot, active, wal_status, retained, behind = row
    bound = settings.landing.retained_wal_mb * 1024 * 1024
    return {
        "slot": slot,
        "is_active": active,
        "wal_status": wal_status,
        "retained_bytes": retained,
        "behind_bytes": behind,
        "bound_bytes": bound,
        "is_over": retained is None or retained > bound or wal_status == "lost",
    }
