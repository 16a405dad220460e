"""Secrets made once, at first start: one line each in `secrets/`, readable by their owner alone."""

import base64
import os
import secrets
from collections.abc import Callable

from include.settings import settings


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _token() -> str:
    return secrets.token_urlsafe(32)


SECRETS: dict[str, Callable[[], str]] = {
    "s3_access_key": lambda: secrets.token_hex(10),
    "s3_secret_key": lambda: secrets.token_hex(32),
    "postgres_postgres": _token,
    "postgres_airflow": _token,
    "postgres_hnai": _token,
    "postgres_fieldops": _token,
    "postgres_mes": _token,
    "postgres_cdc": _token,
    "mqtt_bridge": _token,
    "mqtt_recorder": _token,
    "mqtt_camera": _token,
    "mqtt_cameras": _token,
    "ot_field_scada": _token,
    "broker": _token,
    "postgres_marquez": _token,
    "airflow_admin": lambda: secrets.token_urlsafe(12),
    "airflow_fernet": _fernet_key,
    "airflow_secret_key": _token,
    "airflow_jwt": lambda: secrets.token_urlsafe(64),
}


def make_secrets() -> None:
    """Write each secret that does not exist yet. A file appears whole or not at all."""
    for name, make in SECRETS.items():
        path = settings.secrets_dir / name
        if path.exists():
            continue
        half = path.with_name(f".{name}.{os.getpid()}")
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
        half.replace(path)
