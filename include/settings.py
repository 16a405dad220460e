"""Every setting of the platform, read once from the environment and `.env`, and the secret files beside it.

This is the one module that reads environment variables (prefix `HNAI_`, `__` between levels)
and secret files. Everything else asks `settings` and `secret(name)`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from include.errors import BadSetting, MissingSecret, UnsafeSecret

ROOT = Path(__file__).resolve().parent.parent


class Ports(BaseModel):
    """Loopback ports. `port_shift` is added to each, so that a second platform can run beside the first.

    SeaweedFS opens a gRPC port 10,000 above each of its own and above `s3`.
    """

    airflow: int = 8080
    s3: int = 8333
    iceberg: int = 8181
    postgres: int = 5433
    connect: int = 8083
    seaweed_master: int = 9343
    seaweed_filer: int = 8888
    seaweed_volume: int = 9340
    seaweed_admin: int = 12646  # its gRPC port too stays below those that the system hands to outgoing connections
    mqtt: int = 1883
    nats: int = 4222
    nats_monitor: int = 8223
    opcua_simulator: int = 4840
    modbus_simulator: int = 5020
    mtconnect_simulator: int = 5000
    airflow_task_api: int = Field(default=8794, description="Triggerer log server, where one is started at all.")
    trino: int = 8090
    kafka: int = 9092
    kafka_controller: int = 9093
    nessie: int = 19120
    nessie_management: int = 19121
    broker: int = 6379


class Landing(BaseModel):
    commit_every_s: float = Field(default=2.0, gt=0, description="Longest a captured change waits for its commit.")
    commit_rows: int = Field(default=50_000, gt=0, description="Rows after which a batch is committed at once.")
    catch_up_timeout_s: float = Field(default=120.0, gt=0, description="Longest that anything waits for the stream.")
    retained_wal_mb: int = Field(default=1024, gt=0, description="WAL held back before on-call is alerted.")
    heartbeat_every_s: float = Field(default=2.0, gt=0, description="Time between heartbeats at the source.")
    file_max_mb: int = Field(default=512, gt=0, description="Largest partner file, unpacked.")


class Ot(BaseModel):
    """The OT mirror. What a bridge needs stands first: on a host of its own nothing else is read."""

    broker_url: str | None = Field(default=None, description="mqtt:// or mqtts:// address; the own broker if unset.")
    broker_ca: Path | None = Field(default=None, description="Certificate authority of an mqtts:// broker.")
    broker_listen: str | None = Field(default=None, description="Address for bridges of other hosts; TLS is required.")
    broker_certificate: Path | None = Field(
        default=None, description="The own broker's certificate: it speaks TLS then."
    )
    broker_key: Path | None = Field(default=None, description="The key of that certificate.")
    urls: dict[str, str] = Field(default={}, description="Address by source, in place of the one in its YAML.")
    flush_s: float = Field(default=0.5, gt=0, description="Longest a reading waits in a bridge for others.")
    outbox_mb: int = Field(default=1024, gt=0, description="Disk that a bridge may fill while the broker is away.")
    seal_s: float = Field(default=1.0, gt=0, le=10, description="Age at which the recorder seals a segment.")
    seal_rows: int = Field(default=20_000, gt=0, description="Readings after which a segment is sealed at once.")
    spool_hours: float = Field(default=6.0, ge=0, description="How long a segment is kept after it is in both stores.")
    hot: Literal["postgres", "influx"] = Field(default="postgres", description="Which hot store the recorder fills.")
    influx_url: str = Field(default="http://127.0.0.1:8428", description="Where Influx line protocol is written to.")
    hot_days: int = Field(default=30, gt=0, description="Days that the hot store keeps.")
    drain_minutes: float = Field(default=10.0, gt=0, description="How long one run of mirror_ot goes on committing.")
    commit_every_s: float = Field(default=3.0, gt=0, description="Time between commits to ot.readings.")
    buckets: int = Field(default=4, gt=0, description="Buckets of tags in a day of ot.readings, when it is made.")
    history_hours: float = Field(default=48.0, ge=0, description="History asked of a server when a tag is first seen.")
    stale_s: float = Field(default=600.0, gt=0, description="Silence of a source after which its tags count as stale.")
    kafka_brokers: str = Field(default="", description="host:port,… of a Kafka with our payload; empty: none.")
    kafka_topic: str = Field(default="ot.readings", description="Its topic.")
    kafka_group: str = Field(default="hnai-recorder", description="Consumer group of the recorder.")
    kafka_options: dict[str, str] = Field(default={}, description="Of librdkafka, such as security.protocol.")
    camera_messages: bool = Field(default=False, description="Take results of cameras from the broker into the inbox.")
    may_request_rebirth: bool = Field(default=False, description="Sparkplug: ask edge nodes for births. It is a write.")


class Cluster(BaseModel):
    """The distributed profile's services. An address that is unset is that of this machine's own service."""

    home: Path = Field(default=ROOT / ".cluster", description="Where `make cluster-up` keeps the servers it fetches.")
    trino_url: str | None = Field(default=None, description="Trino's coordinator, http:// or https://.")
    trino_user: str = Field(default="hnai", description="The user that closes and upkeep run as.")
    trino_threads: int = Field(default=4, gt=0, description="Models of one close that Trino builds side by side.")
    connect_url: str | None = Field(default=None, description="Kafka Connect's REST API.")
    kafka_brokers: str | None = Field(default=None, description="host:port,… of Kafka.")
    commit_every_s: float = Field(default=5.0, gt=0, description="Time between commits of Kafka Connect's sink.")
    catalog: Literal["seaweedfs", "nessie", "rest"] = Field(
        default="seaweedfs", description="Which Iceberg REST catalog; Nessie shows one snapshot a table."
    )
    catalog_url: str | None = Field(default=None, description="Address of the catalog, without the trailing /v1.")
    catalog_token_url: str | None = Field(default=None, description="Where it gives OAuth2 tokens, if elsewhere.")
    catalog_scope: str = Field(default="PRINCIPAL_ROLE:ALL", description="OAuth2 scope asked of a `rest` catalog.")
    postgres_host: str | None = Field(default=None, description="Where PostgreSQL is; its port is `ports.postgres`.")
    broker_host: str | None = Field(default=None, description="Where Celery's broker is; its port is `ports.broker`.")
    airflow_url: str | None = Field(default=None, description="Airflow's API as its workers reach it.")
    s3_url: str | None = Field(default=None, description="Address of the object store.")
    s3_region: str = Field(default="us-east-1", description="Region that its clients name.")
    java17: Path | None = Field(default=None, description="Home of the Java for Kafka and Connect, 17 to 23.")
    java25: Path | None = Field(default=None, description="Home of the Java for Trino and Nessie, 24 or later.")
    trino_memory: str = Field(default="3G", description="Heap of Trino.")
    kafka_memory: str = Field(default="512m", description="Heap of Kafka.")
    connect_memory: str = Field(default="1g", description="Heap of Kafka Connect.")
    nessie_memory: str = Field(default="512m", description="Heap of Nessie.")


class Lineage(BaseModel):
    url: str | None = Field(default=None, description="A server with Marquez's API that gets every event as well.")


class Retention(BaseModel):
    snapshots_days: float = Field(default=30.0, gt=0, description="When snapshots of published tables expire.")
    raw_snapshots_hours: float = Field(default=2.0, gt=0, description="When those of raw and ops expire.")
    orphans_days: float = Field(default=1.0, gt=0, description="When a file without a reference is removed.")
    workspaces_days: float = Field(default=7.0, gt=0, description="When the workspace of a close is dropped.")
    runs_days: float = Field(default=30.0, gt=0, description="Age after which Airflow forgets a run, and its logs go.")


class Airflow(BaseModel):
    parallel_tasks: int = Field(default=5, gt=0, description="Tasks that may run at one time; a drain takes one.")
    parallel_builds: int = Field(default=5, gt=0, description="Closes whose models an engine may build at one time.")
    executor: Literal["LocalExecutor", "CeleryExecutor"] = Field(
        default="LocalExecutor", description="Celery spreads tasks over workers; it needs the broker."
    )
    worker_tasks: int = Field(default=4, gt=0, description="Tasks that one Celery worker runs at one time.")
    remote_logs: str | None = Field(default=None, description="Where task logs are kept, s3://bucket/folder.")
    public_url: str | None = Field(default=None, description="Airflow's address as people's browsers reach it.")
    dags_dir: Path = Field(default=ROOT / "dags", description="Folder that Airflow reads its DAGs from.")


class Settings(BaseSettings):
    """Every setting of the platform. Secrets are read from files of mode 0600, never from here."""

    model_config = SettingsConfigDict(
        env_prefix="HNAI_", env_nested_delimiter="__", env_file=ROOT / ".env", frozen=True, extra="ignore"
    )

    profile: Literal["embedded", "distributed"] = "embedded"
    state_dir: Path = Field(default=ROOT / ".hnai", description="The one folder that holds all state.")
    host: str = Field(default="127.0.0.1", description="Address that every service binds.")
    port_shift: int = Field(default=0, ge=0, le=20_000)
    warehouse: str = "lakehouse"
    ports: Ports = Ports()
    landing: Landing = Landing()
    ot: Ot = Ot()
    cluster: Cluster = Cluster()
    retention: Retention = Retention()
    lineage: Lineage = Lineage()
    airflow: Airflow = Airflow()
    fieldops_database: str = "fieldops"
    mes_database: str = "mes"
    lease_s: float = Field(default=60.0, gt=0, description="How long a lease lives unless renewed.")
    engine_threads: int = Field(default=2, gt=0)
    engine_memory: str = Field(default="4GB", description="DuckDB's memory limit per process.")

    def port(self, name: str) -> int:
        """The port of a service, shift included. Raises `AttributeError` for an unknown name."""
        return getattr(self.ports, name) + self.port_shift

    def own(self, name: str) -> str:
        """The http address of a service on this machine."""
        return f"http://{self.host}:{self.port(name)}"

    @property
    def is_distributed(self) -> bool:
        return self.profile == "distributed"

    @property
    def iceberg_uri(self) -> str:
        own = f"{self.own('nessie')}/iceberg" if self.cluster.catalog == "nessie" else self.own("iceberg")
        return self.cluster.catalog_url or own

    @property
    def catalog_token_uri(self) -> str:
        return self.cluster.catalog_token_url or f"{self.iceberg_uri}/v1/oauth/tokens"

    @property
    def s3_uri(self) -> str:
        return self.cluster.s3_url or self.own("s3")

    @property
    def connect_uri(self) -> str:
        return self.cluster.connect_url or self.own("connect")

    @property
    def trino_uri(self) -> str:
        return self.cluster.trino_url or self.own("trino")

    @property
    def kafka_brokers(self) -> str:
        return self.cluster.kafka_brokers or f"{self.host}:{self.port('kafka')}"

    @property
    def airflow_uri(self) -> str:
        return self.cluster.airflow_url or self.own("airflow")

    @property
    def postgres_host(self) -> str:
        return self.cluster.postgres_host or self.host

    @property
    def first_started_at(self) -> datetime | None:
        """When the platform was started for the first time; None before that."""
        path = self.state_dir / "first_start"
        return datetime.fromisoformat(path.read_text().strip()) if path.is_file() else None

    @property
    def ot_dir(self) -> Path:
        """State of the mirror: `<source>/` of each bridge, `spool/` of the recorder, `pki/` of the OPC UA client."""
        return self.state_dir / "ot"

    @property
    def secrets_dir(self) -> Path:
        return self.state_dir / "secrets"

    @property
    def inbox_dir(self) -> Path:
        """Partner files arrive in `inbox/<feed>/` or in `inbox/` itself."""
        return self.state_dir / "inbox"

    @property
    def workspaces_dir(self) -> Path:
        return self.state_dir / "workspaces"

    @property
    def reports_dir(self) -> Path:
        return self.state_dir / "reports"

    @property
    def data_docs_dir(self) -> Path:
        return self.state_dir / "data_docs"


def load() -> Settings:
    """The settings of this process. Raises `BadSetting` naming each variable that cannot be used, and why."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            f"HNAI_{'__'.join(map(str, one['loc'])).upper()}={one['input']}: {one['msg']}" for one in error.errors()
        ]
        raise BadSetting(f"{'; '.join(wrong)}. Change it in the environment or in {ROOT / '.env'}") from None
    except SettingsError as error:  # it names the field alone, "ot" for HNAI_OT__URLS
        field = str(error).partition('"')[2].partition('"')[0].upper()
        raise BadSetting(
            f"A variable HNAI_{field}… must be JSON and is not. Change it in the environment or in {ROOT / '.env'}"
        ) from None


settings = load()


@lru_cache
def secret(name: str) -> str:
    """The secret `name`, one line of `<state_dir>/secrets/<name>`.

    Raises `MissingSecret` where the platform was never started, and `UnsafeSecret` where others may read the file.
    """
    path = settings.secrets_dir / name
    if not path.is_file():
        raise MissingSecret(name, path)
    if path.stat().st_mode & 0o077:
        raise UnsafeSecret(path)
    return path.read_text().strip()


def has_secret(name: str) -> bool:
    """Whether the secret `name` was written down: for what a system of others may ask for or not."""
    return (settings.secrets_dir / name).is_file()


def trusted_certificates() -> str:
    """The file of certificates that requests trusts; for libraries that check none unless they are given one."""
    from requests.certs import where

    return os.environ.get("REQUESTS_CA_BUNDLE") or where()


@contextmanager
def in_environment(**variables: str) -> Iterator[None]:
    """Variables for a library that takes what is secret from the environment alone; they are gone afterwards."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


def postgres_dsn(user: str, database: str) -> str:
    """A libpq connection string to the platform's PostgreSQL; the password is the secret `postgres_<user>`."""
    return (
        f"host={settings.postgres_host} port={settings.port('postgres')} dbname={database} "
        f"user={user} password={secret(f'postgres_{user}')}"
    )
