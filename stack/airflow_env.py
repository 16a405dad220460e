"""Airflow's whole configuration, as environment variables. There is no other place that configures it.

Computed at each start from our settings and secrets and given to Airflow's processes alone, so that no configuration
file holds a password.
"""

import json
from pathlib import Path

from include.settings import ROOT, secret, settings
from stack.layout import STATE, child_environment

HOME = STATE / "airflow"
LOG_STORE = "hnai_s3"
ADMIN = "admin"  # its password is the secret `airflow_admin`


def airflow_environment() -> dict[str, str]:
    """Environment of every process of Airflow, and of every task that it runs."""
    options = {
        f"AIRFLOW__{section}__{name}".upper(): _text(value)
        for section, values in _sections().items()
        for name, value in values.items()
    }
    home = {"AIRFLOW_HOME": str(HOME), "AIRFLOW_CONFIG": str(HOME / "airflow.cfg")}
    log_store = {f"AIRFLOW_CONN_{LOG_STORE}".upper(): _log_store()} if settings.airflow.remote_logs else {}
    return {**child_environment(), **home, **log_store, **options}


def broker_url() -> str:
    """The broker between scheduler and Celery workers, password included."""
    host = settings.cluster.broker_host or settings.host
    return f"redis://:{secret('broker')}@{host}:{settings.port('broker')}/0"


def _log_store() -> str:
    """The object store as an Airflow connection, for logs that are kept there."""
    extra = {
        "endpoint_url": settings.s3_uri,
        "region_name": settings.cluster.s3_region,
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    keys = {"login": secret("s3_access_key"), "password": secret("s3_secret_key")}
    return json.dumps({"conn_type": "aws", **keys, "extra": extra})


def _database(driver: str) -> str:
    where = f"{settings.postgres_host}:{settings.port('postgres')}"
    return f"{driver}://airflow:{secret('postgres_airflow')}@{where}/airflow"


def _remote_logs() -> dict[str, object]:
    if not settings.airflow.remote_logs:
        return {}
    return {
        "remote_logging": True,
        "remote_base_log_folder": settings.airflow.remote_logs,
        "remote_log_conn_id": LOG_STORE,
    }


def _celery() -> dict[str, dict[str, object]]:
    return {
        "celery": {
            "broker_url": broker_url(),
            "result_backend": _database("db+postgresql+psycopg2"),
            "worker_concurrency": settings.airflow.worker_tasks,
            "worker_prefetch_multiplier": 1,  # a task waits in the broker, not behind another in a worker
        },
        "workers": {"execution_api_timeout": 30},  # over a network, to an API that many workers ask
    }


def _sections() -> dict[str, dict[str, object]]:
    return {
        "core": {
            "dags_folder": settings.airflow.dags_dir,
            "plugins_folder": ROOT / "plugins",
            "executor": settings.airflow.executor,
            "mp_start_method": "fork",  # tasks then share what the scheduler has imported
            "parallelism": settings.airflow.parallel_tasks,
            "max_active_tasks_per_dag": settings.airflow.parallel_tasks,
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "fernet_key": secret("airflow_fernet"),
            "execution_api_server_url": f"{settings.airflow_uri}/execution/",
            "min_serialized_dag_update_interval": 5,
        },
        "database": {
            "sql_alchemy_conn": _database("postgresql+psycopg2"),
            "load_default_connections": False,
        },
        "api": {
            "host": settings.host,
            "port": settings.port("airflow"),
            "base_url": settings.airflow.public_url or settings.airflow_uri,
            "workers": 1,
            "secret_key": secret("airflow_secret_key"),
            "instance_name": "HNAI Open Data Platform",
        },
        "api_auth": {"jwt_secret": secret("airflow_jwt"), "jwt_issuer": "hnai"},
        "logging": {"base_log_folder": HOME / "logs", "colored_console_log": False, **_remote_logs()},
        **(_celery() if settings.airflow.executor == "CeleryExecutor" else {}),
        "scheduler": {
            # A task whose supervisor was killed runs on unseen; it must be missed within half a minute.
            "task_instance_heartbeat_sec": 5,
            "task_instance_heartbeat_timeout": 20,
            "task_instance_heartbeat_timeout_detection_interval": 5,
            "orphaned_tasks_check_interval": 30,
            "scheduler_heartbeat_sec": 2,
            "task_queued_timeout": 120,  # a broker that was restarted has lost its queue
            "scheduler_idle_sleep_time": 0.3,
            "catchup_by_default": False,
            "enable_health_check": False,
        },
        "dag_processor": {
            "refresh_interval": 5,
            "bundle_refresh_check_interval": 2,
            "min_file_process_interval": 30,
            "parsing_processes": 1,
            "print_stats_interval": 300,
            "disable_bundle_versioning": True,
        },
        "fab": {"config_file": HOME / "webserver_config.py", "enable_proxy_fix": False},
        "openlineage": {
            "namespace": "hnai",
            "transport": json.dumps({"type": "file", "log_file_path": str(lineage_file()), "append": True}),
        },
        "usage_data_collection": {"enabled": False},
        "metrics": {"statsd_on": False},
    }


def lineage_file() -> Path:
    """Where the OpenLineage provider appends its events, one JSON object a line."""
    return STATE.resolve() / "lineage" / "events.jsonl"


def _text(value: object) -> str:
    return str(value) if not isinstance(value, Path) else str(value.resolve())
