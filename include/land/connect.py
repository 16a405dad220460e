"""Client of Kafka Connect's REST API, which the embedded worker answers too; and how far a source is in.

`register_connector` is what the landing DAG calls before each run. It is safe to repeat: nothing is restarted
unless the connector's own configuration changed, and a table added to the declaration joins the running stream.

In the distributed profile a source has two connectors: Debezium's, which writes to Kafka, and `<source>__sink`, which
writes raw. Both are registered, watched, paused and restarted together, under the source's name.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import requests
from pyiceberg.table import Table as IcebergTable

from include import lakehouse
from include.catalog import Source, Table
from include.catalog import source as declared
from include.errors import LandingError
from include.land import kafka, raw_table, sink
from include.land.source_schema import Column, read_columns
from include.land.source_setup import (
    HEARTBEAT,
    Setup,
    address,
    captured_tables,
    connect_source,
    give_up_slot,
    heartbeat_table,
    prepare,
    publication_name,
    static_config,
)
from include.settings import settings

TIMEOUT_S = 30
RESTARTS, RESTART_AFTER_S = 4, 5.0  # of failed tasks while somebody waits for them; each time after twice as long
_NOBODYS = {"state": "UNASSIGNED"}
_LOST = (  # signs in a task's trace that its place is gone
    "The stream began anew within its topic",
    "NoOffsetForPartitionException",
    "OffsetOutOfRangeException",
    "but this is no longer available on the server",  # the slot was dropped, and made again by somebody else
)


def connector_config(source: Source, setup: Setup) -> dict[str, str]:
    """The connector's configuration: the static file of its kind, and what the declaration and settings add.

    Secrets are references in the form of Kafka's DirectoryConfigProvider; the worker resolves them.
    """
    static, where = static_config(source), address(source)
    secret_of_user = f"postgres_{where['user']}"
    composed = {
        "database.hostname": where["host"],
        "database.port": where["port"],
        "database.dbname": where["dbname"],
        "database.user": where["user"],
        "database.password": f"${{dir:{settings.secrets_dir.resolve()}:{secret_of_user}}}",
        "topic.prefix": source.name,
        "slot.name": setup.slot,
        "publication.name": publication_name(source),
        "schema.include.list": ",".join(sorted({t.schema for t in captured_tables(source)})),
        "heartbeat.interval.ms": str(int(settings.landing.heartbeat_every_s * 1000)),
        "hnai.source": source.name,
        "hnai.epoch": str(setup.epoch),
    }
    if settings.is_distributed:
        composed |= sink.source_overrides(source.name, setup.epoch) | {
            "database.password": sink.reference(secret_of_user)
        }
    return {"name": source.name, **composed, **static}


def register_connector(source: str) -> dict[str, Any]:
    """Make the source ready, and its connector run with the configuration that the declaration asks for.

    Gives what was done. Raises `LandingError` at the end, after everything else runs, where a table was refused.
    """
    found = declared(source)
    if settings.is_distributed:
        setup = _register_both(found)
    else:
        setup = prepare(found)
        _call("PUT", f"/connectors/{source}/config", json=connector_config(found, setup))
    if setup.refused:
        raise LandingError("; ".join(f"{table}: {why}" for table, why in setup.refused.items()))
    return {"slot": setup.slot, "epoch": setup.epoch, "added": setup.added, "warnings": setup.warnings}


def _register_both(source: Source) -> Setup:
    """Register Debezium's connector and the sink, and wait until what they land is of this configuration.

    Only then does a load begin: what it does not see has to come by a sink that knows the table as it is now.
    """
    before = _call("GET", f"/connectors/{source.name}/config", absent={}).get("hnai.epoch")
    if any(sign in task.get("trace", "") for task in _states(source.name)["tasks"] for sign in _LOST):
        _give_up_place(source)
    setup = _prepare_on_kafka(source)
    if not kafka.ensure_topics(source.name, setup.epoch):
        _give_up_place(source)
        setup = _prepare_on_kafka(source)
        kafka.ensure_topics(source.name, setup.epoch)
    configs = (connector_config(source, setup), sink.config(source, setup, *sink.describe(source, setup)))
    for config in configs:
        _validate(config)
    for config in configs:
        _call("PUT", f"/connectors/{config['name']}/config", json=config)
        if before not in (None, str(setup.epoch)):
            _call("PUT", f"/connectors/{config['name']}/resume")
    restart_failed(source.name)
    _wait_for_version(source, setup.epoch, configs[1]["transforms.row.version"])
    return setup


def _give_up_place(source: Source) -> None:
    """Begin anew: the sink's or the source connector's place in its stream was lost."""
    give_up_slot(source)
    for name in _connectors_of(source.name):
        _call("PUT", f"/connectors/{name}/stop", absent={})


def _prepare_on_kafka(source: Source) -> Setup:
    cluster = _call("GET", "/")["kafka_cluster_id"]
    return prepare(source, runtime=cluster, above=kafka.highest_epoch(source.name))


def _validate(config: dict[str, str]) -> None:
    """Have Connect look at a configuration before it takes it. Raises `LandingError` with what it finds wrong."""
    plugin = config["connector.class"].rpartition(".")[2]
    answer = _call("PUT", f"/connector-plugins/{plugin}/config/validate", json=config)
    wrong = [
        f"{item['value']['name']}: {'; '.join(item['value']['errors'])}"
        for item in answer["configs"]
        if item["value"]["errors"]
    ]
    if wrong:
        raise LandingError(f"Connect refuses the configuration of {config['name']!r}: " + "; ".join(wrong))


def _wait_for_version(source: Source, epoch: int, version: str) -> None:
    def is_in() -> bool:
        found = sink.landed(source)
        return found is not None and found.epoch == epoch and version in found.versions

    if not is_in():
        _wait(source.name, is_in, "No row came by the new configuration")


def ensure_known(source: Source, table: Table, columns: tuple[Column, ...], target: IcebergTable) -> None:
    """Have the sink know the table as the source has it now, before it is loaded. See `_register_both`."""
    config = _call("GET", f"/connectors/{sink.name(source.name)}/config")
    said = json.loads(config["transforms.row.tables"]).get(f"{table.schema}.{table.name}", {})
    if said.get("columns") != sink.columns_of(table, columns, target):
        register_connector(source.name)


def _connectors_of(source: str) -> tuple[str, ...]:
    return (source, sink.name(source)) if settings.is_distributed else (source,)


def connectors() -> list[str]:
    return _call("GET", "/connectors")


def status(source: str) -> dict[str, Any]:
    """State of connector and tasks as Kafka Connect gives it; what only we know stands under `hnai`.

    In the distributed profile the tasks are those of both connectors, and the state is that of the one that is worse.
    """
    state = _states(source)
    return {**state, "hnai": _reported(source)} if settings.is_distributed else state


def _states(source: str) -> dict[str, Any]:
    if not settings.is_distributed:
        return _call("GET", f"/connectors/{source}/status")
    states = [_state_of(name) for name in _connectors_of(source)]
    worse = next((s["connector"] for s in states if s["connector"]["state"] != "RUNNING"), states[0]["connector"])
    tasks = [{"connector": s["name"], **task} for s in states for task in s["tasks"]]
    missing = [{"connector": s["name"], "id": 0, "state": "UNASSIGNED"} for s in states if not s["tasks"]]
    return {**states[0], "connector": worse, "tasks": tasks + missing}


def _state_of(name: str) -> dict[str, Any]:
    """What Kafka Connect says of one connector, or that nobody runs it: just after a PUT it knows of none."""
    return _call("GET", f"/connectors/{name}/status", absent={"name": name, "connector": _NOBODYS, "tasks": []})


def _reported(source: str) -> dict[str, Any]:
    found = declared(source)
    reached = landed_position(source)
    config = _call("GET", f"/connectors/{sink.name(source)}/config")
    known = json.loads(config["transforms.row.tables"])
    with connect_source(found) as connection:
        columns = read_columns(connection, [tuple(table.split(".", 1)) for table in known])
    ignored = {}
    for table in captured_tables(found):
        said = known.get(f"{table.schema}.{table.name}", {"columns": []})
        names = {c["name"] for c in said["columns"]}
        if extra := [c.name for c in columns.get((table.schema, table.name), ()) if c.name not in names]:
            ignored[table.name] = sorted(extra)
    return {"landed": reached, "ignored_columns": ignored}


def pause(source: str) -> None:
    """Have the source read no further. Its slot is free then, and the source keeps WAL for it."""
    if not settings.is_distributed:
        _call("PUT", f"/connectors/{source}/pause")
        return
    for name in _connectors_of(source):  # a paused task of Kafka Connect would keep the slot to itself
        _call("PUT", f"/connectors/{name}/stop")
    deadline = time.monotonic() + TIMEOUT_S
    while lag(source)["is_active"]:
        if time.monotonic() > deadline:
            raise LandingError(f"Connector {source!r} did not let go of its slot within {TIMEOUT_S} s.")
        time.sleep(0.2)


def resume(source: str) -> None:
    for name in _connectors_of(source):
        _call("PUT", f"/connectors/{name}/resume")


def restart(source: str) -> None:
    for name in _connectors_of(source):
        _call("POST", f"/connectors/{name}/restart", params={"includeTasks": "true"})


def restart_failed(source: str) -> list[str]:
    """Start again what has failed; give its names. Kafka Connect leaves a failed task as it is; our worker does not."""
    restarted = []
    for name in _connectors_of(source):
        state = _state_of(name)
        if "FAILED" in (state["connector"]["state"], *(task["state"] for task in state["tasks"])):
            _call("POST", f"/connectors/{name}/restart", params={"includeTasks": "true", "onlyFailed": "true"})
            restarted.append(name)
    return restarted


def delete(source: str) -> None:
    """Stop the connector and forget it. Slot and publication stay in the source, so the source keeps WAL for it."""
    for name in _connectors_of(source):
        _call("DELETE", f"/connectors/{name}")


def _call(method: str, path: str, absent: Any = None, **options: Any) -> Any:
    """The answer of Connect. Raises `LandingError` for a refusal; `absent`, if given, stands for a 404."""
    try:
        answer = requests.request(method, settings.connect_uri + path, timeout=TIMEOUT_S, **options)
    except requests.RequestException as error:
        raise LandingError(
            f"The Connect worker at {settings.connect_uri} does not answer. Look at: make status"
        ) from error
    if answer.status_code == 404 and absent is not None:
        return absent
    if not answer.ok:
        try:
            message = answer.json().get("message", answer.text)
        except ValueError:
            message = answer.text
        raise LandingError(f"Connect answered {answer.status_code} to {method} {path}: {message}")
    return answer.json() if answer.content else None


def running(source: str) -> None:
    """Raise `LandingError` unless connector and tasks run; the message carries the trace of what failed."""
    state = _states(source)
    parts = [("connector", state["connector"])]
    parts += [(f"task {t['id']}" + (f" of {t['connector']}" if "connector" in t else ""), t) for t in state["tasks"]]
    bad = [
        f"{what} is {part['state']}: {_told(part.get('trace', ''))}"
        for what, part in parts
        if part["state"] != "RUNNING"
    ]
    if bad or not state["tasks"]:
        raise LandingError(f"Connector {source!r} does not run. " + "; ".join(bad or ["it has no task"]))


def _told(trace: str) -> str:
    """What a trace says, without the places in Java that it passed."""
    return "\n".join(line for line in trace.strip().splitlines() if not line.startswith("\t"))[:2000]


def landed_position(source: str) -> dict[str, int] | None:
    """How far all tables of the source are in, proved by the heartbeat that lands last. None before the first."""
    if settings.is_distributed:
        found = sink.landed(declared(source))
        return {"epoch": found.epoch, "commit_lsn": found.commit_lsn} if found else None
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
    wanted = (position["epoch"], position["commit_lsn"])
    reached: dict[str, int] | None = None

    def is_reached() -> bool:
        nonlocal reached
        reached = landed_position(source)
        return reached is not None and (reached["epoch"], reached["commit_lsn"]) >= wanted

    _wait(source, is_reached, lambda: f"Raw did not reach {position} of {source!r}; it is at {reached}", timeout)
    assert reached is not None
    return reached


def _wait(
    source: str, is_done: Callable[[], bool], what: str | Callable[[], str], timeout: float | None = None
) -> None:
    """Wait until `is_done`, with a heartbeat to hurry it. What fails meanwhile is started again a few times."""
    limit = settings.landing.catch_up_timeout_s if timeout is None else timeout
    started = looked_at = time.monotonic()
    pause_s, restarts = 0.1, 0
    beat(source)
    while True:
        now = time.monotonic()
        try:
            if is_done():
                return
            if settings.is_distributed and restarts < RESTARTS and now - looked_at > RESTART_AFTER_S * 2**restarts:
                looked_at = now
                restarts += bool(restart_failed(source))
        except LandingError:
            if not settings.is_distributed or now - started > limit:
                raise  # else Kafka or Connect is away for a moment
        if now - started > limit:
            said = what if isinstance(what, str) else what()
            raise LandingError(f"{said}, not within {limit:.0f} s. {_why(source)}")
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

    `is_over` says that the bound `landing.retained_wal_mb` is passed: the DAG alarms. With Kafka between them the
    source is soon rid of its WAL, so there the bound also holds for what is not in raw yet.
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
    unlanded = _unlanded(source) if settings.is_distributed else 0
    return {
        "slot": slot,
        "is_active": active,
        "wal_status": wal_status,
        "retained_bytes": retained,
        "behind_bytes": max(behind or 0, unlanded),
        "bound_bytes": bound,
        "is_over": retained is None or max(retained, unlanded) > bound or wal_status == "lost",
    }


def _unlanded(source: str) -> int:
    """Bytes of WAL between what raw is known to have and where the source stands; 0 before anything is known."""
    here, reached = source_position(source), landed_position(source)
    return here["commit_lsn"] - reached["commit_lsn"] if reached and reached["epoch"] == here["epoch"] else 0
