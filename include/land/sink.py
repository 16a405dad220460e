"""Kafka Connect's half of landing: the Iceberg sink that writes what Debezium put into Kafka, and how far it is in.

Nothing of a table's shape is guessed by the sink. What raw has, and how each column is read, is composed here from
the declaration and the source's catalogue, and our transform (`connect-smt/`) makes each row just that.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import ManifestContent
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import TableProperties
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import LongType

from include import lakehouse
from include.catalog import Source, Table
from include.land import kafka, raw_table
from include.land.raw_table import POSITION
from include.land.source_schema import Column, read_columns, read_identity
from include.land.source_setup import Setup, captured_tables, connect_source, heartbeat_table
from include.land.worker.landing_table import QUARANTINE
from include.land.zones import Zones
from include.settings import secret, settings

_JSON = {
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
}
_BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"
_COMMIT_TIMEOUT_MS = 30_000
_QUARANTINE_NAMES = {"row": "_row", "reason": "_reason"}
_RAW_NAMES = {"row": "=row", "reason": "=reason"}
_WHOLE = "kafka.connect.valid-through-ts"  # only of a round that every writer has answered


def name(source: str) -> str:
    """The sink connector of a source."""
    return f"{source}__sink"


def reference(secret_name: str) -> str:
    """A secret as a connector's configuration names it.

    Kafka's DirectoryConfigProvider gives a file as it is, so the line end that a hand or `make up` left is taken off.
    """
    path, value = settings.secrets_dir.resolve() / secret_name, secret(secret_name)
    if path.read_text() != value:
        half = path.with_name(f".{secret_name}.half")
        half.touch(0o600)
        half.write_text(value)
        half.replace(path)
    return f"${{dir:{path.parent}:{secret_name}}}"


def source_overrides(source: str, epoch: int) -> dict[str, str]:
    """What the source connector needs beyond the embedded worker's: one topic, with one partition, for all tables."""
    start = kafka.prefix(source, epoch)
    return {
        "topic.prefix": start,
        "transforms": "together",
        "transforms.together.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.together.regex": "{}{}".format(start.replace(".", r"\."), r"\.[^.]+\.[^.]+"),  # prefix.schema.table
        "transforms.together.replacement": kafka.changes_topic(source, epoch),
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "-1",
        "producer.override.compression.type": "lz4",
        "producer.override.linger.ms": "5",
        "producer.override.batch.size": "524288",
        **_JSON,
    }


def describe(source: Source, setup: Setup) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The captured tables as the transform wants them, and the lookups by which their rows find a zone.

    Makes their raw and quarantine tables where they are missing.
    """
    tables = [t for t in captured_tables(source) if t.name not in setup.refused]
    with connect_source(source) as connection:
        columns = read_columns(connection, [(t.schema, t.name) for t in tables])
        zones = Zones(source.name, lambda query: connection.execute(query).fetchall())
        described, lookups = {}, {}
        for table in tables:
            identity = read_identity(connection, table.schema, table.name)
            own = columns.get((table.schema, table.name), ())
            target = raw_table.ensure(table, own)
            _ensure_quarantine(table, target)
            described[f"{table.schema}.{table.name}"] = {
                "identifier": table.identifier,
                "columns": columns_of(table, own, target),
                "identity": sorted(identity) if identity is not None else None,
                "local_times": list(table.local_times),
                "drift": table.drift,
                **_zone(table, zones, lookups),
            }
    return described, lookups


def columns_of(table: Table, own: tuple[Column, ...], target: IcebergTable) -> list[dict[str, str]]:
    """Raw's columns that come from the source, in the source's order; those that it no longer has are read as text."""
    kinds = {f.name: str(f.type).removeprefix("large_") for f in target.schema().as_arrow()}
    types = {c.name: c.type for c in own}
    instants = {f"{name}_utc" for name in table.local_times}
    names = [c.name for c in own if c.name in kinds]
    names += [n for n in kinds if n not in types and n not in POSITION and n not in instants]
    return [{"name": n, "as": _RAW_NAMES.get(n, n), "kind": kinds[n], "type": types.get(n, "text")} for n in names]


def _zone(table: Table, zones: Zones, lookups: dict[str, dict[str, str]]) -> dict[str, Any]:
    if table.zone != "@field":
        return {"zone": table.zone or "UTC"}
    paths = zones.steps(table)
    for step in (step for path in paths for step in path):
        lookups.setdefault(" ".join(step), zones.pairs(step))
    return {"zone_column": table.zone_lookup["column"], "zone_paths": [[" ".join(s) for s in path] for path in paths]}


def _ensure_quarantine(table: Table, raw: IcebergTable) -> None:
    """The quarantine table. A row that is set aside comes as one record for both tables, so what they both call `row`
    or `reason` has a name of its own for each."""
    _call_also(lakehouse.ensure_table(f"quarantine.{table.identifier}", QUARANTINE), _QUARANTINE_NAMES)
    _call_also(raw, _RAW_NAMES)


def _call_also(target: IcebergTable, aliases: dict[str, str]) -> None:
    """Have the sink find columns of `target` by another name too: Iceberg's name mapping holds both."""
    fields = target.schema().fields
    ids = {f.name: f.field_id for f in fields}
    mapping = target.name_mapping()
    known = {name: f.field_id for f in (mapping.root if mapping else ()) for name in f.names}
    if all(known.get(alias) == ids[name] for name, alias in aliases.items() if name in ids):
        return
    named = [{"field-id": f.field_id, "names": [f.name, *filter(None, [aliases.get(f.name)])]} for f in fields]
    tx = target.transaction()
    tx.set_properties(**{TableProperties.DEFAULT_NAME_MAPPING: json.dumps(named)})
    tx.commit_transaction()


def routes(identifiers: Iterable[str]) -> dict[str, str]:
    """The tables that the sink writes, and what a row says in `_route` to get there: `t` raw, `t+` both, `t!` aside."""
    listed = list(identifiers)
    return {f"raw.{i}": rf"{i}\+?" for i in listed} | {f"quarantine.{i}": f"{i}[+!]" for i in listed}


def config(source: Source, setup: Setup, tables: dict[str, Any], lookups: dict[str, dict[str, str]]) -> dict[str, str]:
    """The sink connector's configuration. `RawRow` in `connect-smt/` makes the rows."""
    said, looked_up = (json.dumps(x, separators=(",", ":"), sort_keys=True) for x in (tables, lookups))
    version = hashlib.sha256(f"{setup.epoch} {said} {looked_up}".encode()).hexdigest()[:12]
    targets = routes(t["identifier"] for t in tables.values())
    return {
        "name": name(source.name),
        "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
        "tasks.max": "1",
        "topics": kafka.changes_topic(source.name, setup.epoch),
        "key.converter": _BYTES,
        "value.converter": _BYTES,
        "transforms": "row",
        "transforms.row.type": "hnai.connect.RawRow",
        "transforms.row.tables": said,
        "transforms.row.lookups": looked_up,
        "transforms.row.epoch": str(setup.epoch),
        "transforms.row.version": version,
        "iceberg.tables": ",".join(targets),
        "iceberg.tables.route-field": "_route",
        **{f"iceberg.table.{table}.route-regex": regex for table, regex in targets.items()},
        "iceberg.tables.auto-create-enabled": "false",
        "iceberg.tables.evolve-schema-enabled": "false",
        "iceberg.connect.group-id": kafka.group(source.name, setup.epoch),
        "consumer.override.group.id": kafka.group(source.name, setup.epoch),
        "consumer.override.auto.offset.reset": "none",  # see kafka.ensure_topics
        "consumer.override.session.timeout.ms": "15000",  # a killed worker's partition is free again after this
        "consumer.override.heartbeat.interval.ms": "3000",
        "consumer.override.max.poll.records": "5000",
        "consumer.override.max.partition.fetch.bytes": "16777216",
        "iceberg.kafka.bootstrap.servers": settings.kafka_brokers,
        "iceberg.control.topic": kafka.control_topic(source.name, setup.epoch),
        "iceberg.control.commit.interval-ms": str(int(settings.cluster.commit_every_s * 1000)),
        "iceberg.control.commit.timeout-ms": str(_COMMIT_TIMEOUT_MS),
        "iceberg.control.commit.threads": "4",
        **{f"iceberg.catalog.{key}": value for key, value in _catalog().items()},
    }


def _catalog() -> dict[str, str]:
    properties = {
        "type": "rest",
        "uri": settings.iceberg_uri,
        "warehouse": settings.warehouse,
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "client.region": settings.cluster.s3_region,
        "s3.endpoint": settings.s3_uri,
        "s3.path-style-access": "true",
        "s3.access-key-id": reference("s3_access_key"),
        "s3.secret-access-key": reference("s3_secret_key"),
    }
    oauth2 = {"rest.auth.type": "oauth2", "oauth2-server-uri": settings.catalog_token_uri}
    match settings.cluster.catalog:
        case "seaweedfs":
            credential = f"{reference('s3_access_key')}:{reference('s3_secret_key')}"
            return {**properties, **oauth2, "credential": credential, "scope": settings.cluster.catalog_scope}
        case "rest" if (settings.secrets_dir / "catalog_credential").is_file():
            credential = reference("catalog_credential")
            return {**properties, **oauth2, "credential": credential, "scope": settings.cluster.catalog_scope}
        case "rest" if (settings.secrets_dir / "catalog_token").is_file():
            return {**properties, "token": reference("catalog_token")}
    return properties


@dataclass(frozen=True)
class Landed:
    """What a heartbeat in raw proves: everything up to `commit_lsn` is in, and which configuration wrote it."""

    epoch: int
    commit_lsn: int
    versions: frozenset[str]


def landed(source: Source) -> Landed | None:
    """How far all tables of the source are in. None where nothing proves it yet.

    The sink commits table by table, so a heartbeat may be in before rows that were delivered before it. Each snapshot
    says up to which place of the control topic its round of commits had read; once the committer has noted that place
    as done, every table of that round is in.
    """
    identifier = f"raw.{heartbeat_table(source).identifier}"
    if not lakehouse.exists(identifier):
        return None
    target = lakehouse.table(identifier)
    epoch = int(target.properties.get(raw_table.EPOCH, 0))
    done = kafka.committed_up_to(source.name, epoch) if epoch else None
    if done is None:
        return None
    read = f"kafka.connect.offsets.{kafka.control_topic(source.name, epoch)}.{kafka.group(source.name, epoch)}"
    snapshot = target.current_snapshot()
    while snapshot is not None:
        said = snapshot.summary.additional_properties if snapshot.summary else {}
        if read in said and _WHOLE in said and json.loads(said[read]).get("0", done + 1) <= done:
            return _highest(target, snapshot, epoch)
        snapshot = target.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return None


def _highest(target: IcebergTable, snapshot: Snapshot, epoch: int) -> Landed | None:
    """The highest position among the rows that `snapshot` added, told by the statistics of its files."""
    ids = {f.name: f.field_id for f in target.schema().fields}
    highest, versions = [], set()
    for manifest in snapshot.manifests(target.io):
        if manifest.content != ManifestContent.DATA or manifest.added_snapshot_id != snapshot.snapshot_id:
            continue
        for entry in manifest.fetch_manifest_entry(target.io, discard_deleted=True):
            if entry.snapshot_id == snapshot.snapshot_id:
                bounds = entry.data_file.upper_bounds or {}
                highest.append(from_bytes(LongType(), bounds[ids["_commit_lsn"]]))
                versions.add(bounds[ids["_batch_id"]].decode())
    return Landed(epoch, max(highest), frozenset(versions)) if highest else None
